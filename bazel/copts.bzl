"""Compiler and linker flags of all C code in this repository."""

# GNU C11 and _GNU_SOURCE: the core uses Linux calls, whose declarations are hidden otherwise.
# No -Werror here: a newer compiler's new warning must not stop somebody else's build. Ours: --config=dev.
COPTS = [
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wcast-qual",
    "-Wformat=2",
    "-Wmissing-prototypes",
    "-Wpointer-arith",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wundef",
    "-Wvla",
    # A function that another in the same file calls may be inlined even in position-independent code.
    "-fno-semantic-interposition",
]

# Wrappers that SWIG wrote, seen against three languages' headers: nobody can act on their warnings.
GENERATED_COPTS = [
    "-std=gnu11",
    "-w",
]

# Bazel's toolchain links the C++ library into everything; this drops it again where nothing uses it.
LINKOPTS = ["-Wl,--as-needed"]
