"""@xxhash//:xxhash: the header of xxHash. Used with XXH_INLINE_ALL, so there is nothing to link."""

load(":common.bzl", "find_header", "library", "write_build")

def _xxhash_impl(rctx):
    directory = find_header(rctx, "xxhash.h")
    if directory:
        # Only these two: the directory itself is usually /usr/include. The second is what the first
        # includes in some releases.
        for header in ["xxhash.h", "xxh3.h"]:
            if rctx.path(directory).get_child(header).exists:
                rctx.symlink(directory + "/" + header, "include/" + header)
    write_build(
        rctx,
        [library("xxhash", directory, hdrs = ["include/*.h"], includes = ["include"])],
        "xxhash.h (xxHash 0.8 or later)",
        "libxxhash-dev",
    )

system_xxhash = repository_rule(
    implementation = _xxhash_impl,
    configure = True,
    environ = ["CPATH"],
    local = True,
)
