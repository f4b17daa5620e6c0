"""@system_perl: `perl`, the interpreter, `headers`, perl.h, and COPTS in defs.bzl. SHMKV_PERL overrides which one."""

load(":common.bzl", "find_programs", "library", "link_directories", "program", "query", "write_build")

_ASK = 'use Config; print "core=$Config{archlibexp}/CORE\\nccflags=$Config{ccflags}\\n"'

def _perl_impl(rctx):
    programs = find_programs(rctx, "SHMKV_PERL", "perl")
    facts = query(rctx, [programs[0], "-e", _ASK]) if programs else {}
    headers = facts and rctx.path(facts["core"]).get_child("perl.h").exists
    includes = link_directories(rctx, [facts["core"]]) if headers else []

    # An extension must be compiled as the interpreter was: the flags decide the size of its structs.
    copts = [flag for flag in facts.get("ccflags", "").split(" ") if flag[:2] in ["-D", "-f", "-m"]]
    rctx.file("defs.bzl", "COPTS = %r\n" % copts)
    write_build(
        rctx,
        [
            program("perl", programs[0] if facts else None),
            library("headers", headers, hdrs = [d + "/**/*.h" for d in includes], includes = includes),
        ],
        "Perl with perl.h",
        "perl libperl-dev",
    )

system_perl = repository_rule(
    implementation = _perl_impl,
    configure = True,
    environ = ["PATH", "SHMKV_PERL"],
    local = True,
)
