"""Mutants: the core with one promise broken on purpose, to see that a test notices."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library")
load("@rules_shell//shell:sh_test.bzl", "sh_test")
load(":copts.bzl", "COPTS", "LINKOPTS")

def mutant(name, source):
    """Compiles core/src/<source> as tests/mutants/<name>.patch changes it.

    Only that file: linked before the library, its functions take the place of the library's own. There is a
    second variant, <name>_faults, for programs that use the library with crash points.

    Args:
      name: says what is broken.
      source: the file in core/src.
    """
    original = "//core:src/" + source
    patched = name + "/" + source
    native.genrule(
        name = name + "_source",
        testonly = True,
        srcs = [
            name + ".patch",
            original,
        ],
        outs = [patched],
        # Not a line of fuzz: a patch that no longer fits has to be looked at.
        cmd = "cat $(location %s) > $@ && patch --quiet --fuzz=0 $@ $(location %s.patch)" % (original, name),
    )
    for suffix, core, defines in [
        ("", "//core:internal_checked", []),
        ("_faults", "//core:internal_faults", ["SHMKV_FAULT_POINTS"]),
    ]:
        cc_library(
            name = name + suffix,
            testonly = True,
            srcs = [patched],
            # The core's files find their headers beside them.
            # What a mutant no longer uses is nobody's concern.
            copts = COPTS + ["-UNDEBUG", "-w", "-iquote", "core/src"],
            alwayslink = True,
            linkstatic = True,
            local_defines = defines,
            visibility = ["//tests:__subpackages__"],
            deps = [core],
        )

def caught_tests(harness, mutants, srcs, deps, copts = [], linkopts = [], suffix = "", tags = [], **kwargs):
    """One test for each mutant: the harness, linked with the mutant, must fail.

    Not under a sanitizer: it would only say in another way that they fail.

    Args:
      harness: the name of the harness; the tests are called <harness>_catches_<mutant>.
      mutants: {name in //tests/mutants: arguments}. Those with a "=" are for the environment. A setting just large
        enough to notice.
      srcs: the harness's, as of its cc_test.
      deps: the harness's.
      copts: the harness's, after the repository's own.
      linkopts: the harness's, after the repository's own.
      suffix: "_faults" where the harness uses the library with crash points.
      tags: of the tests.
      **kwargs: of the tests.
    """
    for mutant, args in mutants.items():
        name = "%s_catches_%s" % (harness, mutant)
        cc_binary(
            name = name + "_run",
            testonly = True,
            srcs = srcs,
            copts = COPTS + ["-UNDEBUG"] + copts,
            linkopts = LINKOPTS + linkopts,
            linkstatic = True,
            # First: what the mutant defines is not taken from the library any more.
            deps = [
                "//tests/mutants:" + mutant + suffix,
                "//core:internal_faults" if suffix else "//core:internal_checked",
            ] + deps,
        )
        environment = ["'%s'" % arg for arg in args if "=" in arg]
        sh_test(
            name = name,
            srcs = [Label("//tests/mutants:must_fail.sh")],
            args = environment + ["$(location :%s_run)" % name] + [arg for arg in args if "=" not in arg],
            data = [":%s_run" % name],
            tags = depset(tags + ["no_sanitizer"]).to_list(),
            **kwargs
        )
