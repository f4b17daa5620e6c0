"""@check//:check: the C unit-test framework. How to link it differs between builds, so pkg-config is asked."""

load(":common.bzl", "find_header", "library", "write_build")

def _check_impl(rctx):
    directory = find_header(rctx, "check.h")
    pkg_config = rctx.which("pkg-config")
    linked = rctx.execute([pkg_config, "--libs", "check"]) if directory and pkg_config else None
    found = linked and linked.return_code == 0
    if found:
        for header in ["check.h", "check_stdint.h"]:
            rctx.symlink(directory + "/" + header, "include/" + header)
    write_build(
        rctx,
        [library(
            "check",
            found,
            hdrs = ["include/*.h"],
            includes = ["include"],
            linkopts = [f for f in linked.stdout.strip().split(" ") if f] if found else [],
        )],
        "Check, the unit-test framework, or pkg-config",
        "check libsubunit-dev pkgconf",
    )

system_check = repository_rule(
    implementation = _check_impl,
    configure = True,
    environ = ["CPATH", "PATH", "PKG_CONFIG_PATH"],
    local = True,
)
