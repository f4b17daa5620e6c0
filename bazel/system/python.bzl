"""@system_python: `python3`, the interpreter, and `headers`, Python.h. SHMKV_PYTHON overrides which one.

An interpreter that has its headers installed is preferred; see find_programs() for the order of search.
"""

load(":common.bzl", "find_programs", "library", "link_directories", "program", "query", "write_build")

# 3.11 is the first with tomllib, which reads spec/layout.toml.
_ASK = """
import sys, sysconfig
paths = sysconfig.get_paths()
if sys.version_info >= (3, 11):
    print("include=" + paths["include"])
    print("platinclude=" + paths["platinclude"])
"""

def _python_impl(rctx):
    best = None
    facts = {}
    for path in find_programs(rctx, "SHMKV_PYTHON", "python3"):
        answer = query(rctx, [path, "-I", "-c", _ASK])
        if answer:
            has_headers = rctx.path(answer["include"]).get_child("Python.h").exists
            if has_headers or not best:
                best = path
                facts = answer if has_headers else {}
            if has_headers:
                break
    includes = link_directories(rctx, [facts["include"], facts["platinclude"]]) if facts else []
    write_build(
        rctx,
        [
            program("python3", best),
            library("headers", facts, hdrs = [d + "/**/*.h" for d in includes], includes = includes),
        ],
        "Python 3.11 or later with Python.h",
        "python3-dev",
    )

system_python = repository_rule(
    implementation = _python_impl,
    configure = True,
    environ = ["PATH", "SHMKV_PYTHON"],
    local = True,
)
