"""check_test: a C unit test with Check. Check prints how many checks ran."""

load("@rules_cc//cc:defs.bzl", "cc_test")
load(":copts.bzl", "COPTS")

def check_test(name, srcs, deps = [], copts = [], size = "small", **kwargs):
    """A cc_test that has Check.

    Args:
      name: by custom check_<module>.
      srcs: C files, one of them with main().
      deps: usually //core:internal_checked and //tests/support.
      copts: after the repository's own.
      size: as of any test. Check's own limit of 4 seconds a case is multiplied by ten, for slow machines.
      **kwargs: as of cc_test.
    """
    env = {"CK_TIMEOUT_MULTIPLIER": "10"}
    env.update(kwargs.pop("env", {}))
    cc_test(
        name = name,
        srcs = srcs,
        copts = COPTS + ["-UNDEBUG"] + copts,
        env = env,
        linkstatic = True,
        size = size,
        deps = deps + [Label("@check")],
        **kwargs
    )
