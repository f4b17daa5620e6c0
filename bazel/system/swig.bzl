"""@system_swig//:swig: the wrapper generator. SHMKV_SWIG overrides which one."""

load(":common.bzl", "find_programs", "program", "write_build")

def _swig_impl(rctx):
    programs = find_programs(rctx, "SHMKV_SWIG", "swig")
    write_build(
        rctx,
        [program("swig", programs[0] if programs else None)],
        "swig (SWIG 4.1 or later)",
        "swig",
    )

system_swig = repository_rule(
    implementation = _swig_impl,
    configure = True,
    environ = ["PATH", "SHMKV_SWIG"],
    local = True,
)
