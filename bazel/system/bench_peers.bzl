"""@bench_peers: `lmdb`, `tdb` and `boost`, the stores that //tests/bench compares with.

They are optional: one that is not installed is an empty library, and the benchmark says that it skips it.
One that is defines SHMKV_BENCH_<NAME>.
"""

load(":common.bzl", "find_header")

_BEGIN = """\
load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])
"""

_LIBRARY = """
cc_library(
    name = {name},
    hdrs = {hdrs},
    defines = {defines},
    includes = {includes},
    linkopts = {linkopts},
)
"""

def _library(name, found, hdrs = [], linkopts = []):
    return _LIBRARY.format(
        name = repr(name),
        hdrs = repr(hdrs),
        defines = repr(["SHMKV_BENCH_" + name.upper()] if found else []),
        includes = repr(["include"] if hdrs else []),
        linkopts = repr(linkopts if found else []),
    )

def _c_library(rctx, name):
    header = name + ".h"
    directory = find_header(rctx, header)
    if directory:
        rctx.symlink(directory + "/" + header, "include/" + header)
    return _library(name, directory, ["include/" + header] if directory else [], ["-l" + name])

def _boost(rctx):
    # Headers only, and thousands of them: used where they are, so it must be where every compiler looks.
    found = rctx.path("/usr/include/boost/interprocess/managed_mapped_file.hpp").exists
    return _library("boost", found)

def _bench_peers_impl(rctx):
    rctx.file("BUILD", _BEGIN + _c_library(rctx, "lmdb") + _c_library(rctx, "tdb") + _boost(rctx))
    rctx.file("WORKSPACE", "")

system_bench_peers = repository_rule(
    implementation = _bench_peers_impl,
    configure = True,
    environ = ["CPATH"],
    local = True,
)
