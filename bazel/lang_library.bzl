"""Libraries in Perl, Python and Ruby, for the interpreters found on this system."""

load("@rules_python//python:py_info.bzl", "PyInfo")

LanguageInfo = provider(
    doc = "A library in an interpreted language.",
    fields = {
        "interpreter": "the File that runs it",
        "language": "perl, python or ruby",
        "root": "the folder to put on the search path, as a short_path",
    },
)

# The variable that each language reads its search path from.
SEARCH_PATH = {
    "perl": "PERL5LIB",
    "python": "PYTHONPATH",
    "ruby": "RUBYLIB",
}

INTERPRETERS = {
    "perl": Label("@system_perl//:perl"),
    "python": Label("@system_python//:python3"),
    "ruby": Label("@system_ruby//:ruby"),
}

def without_sanitizer(kwargs):
    """Marks a target that --config=asan and its like leave out; .bazelrc says why."""
    return dict(kwargs, tags = kwargs.get("tags", []) + ["no_sanitizer"])

def _library_impl(ctx):
    repository = ctx.label.workspace_root.replace("external/", "../")
    root = "/".join([part for part in [repository, ctx.label.package, ctx.attr.root] if part])
    for file in ctx.files.srcs:
        if not file.short_path.startswith(root + "/"):
            fail("%s is outside of the root, %s" % (file.short_path, root))
    interpreter = ctx.executable.interpreter
    providers = [
        DefaultInfo(
            files = depset(ctx.files.srcs),
            runfiles = ctx.runfiles(files = ctx.files.srcs + [interpreter]),
        ),
        LanguageInfo(interpreter = interpreter, language = ctx.attr.language, root = root),
    ]
    if ctx.attr.language == "python":
        # For py_binary and py_test of other people. With WORKSPACE these need legacy_create_init = 0, or Bazel
        # makes a package out of the folder of this repository, which has the name of ours.
        providers.append(PyInfo(
            imports = depset([root[3:] if root.startswith("../") else ctx.workspace_name + "/" + root]),
            transitive_sources = depset([file for file in ctx.files.srcs if file.extension == "py"]),
        ))
    return providers

_library = rule(
    doc = "Files in an interpreted language, with the native extension among them.",
    implementation = _library_impl,
    attrs = {
        "interpreter": attr.label(cfg = "target", executable = True, mandatory = True),
        "language": attr.string(mandatory = True, values = SEARCH_PATH.keys()),
        "root": attr.string(doc = "the folder, below the package's, that goes on the search path"),
        "srcs": attr.label_list(allow_files = True, mandatory = True),
    },
)

def shmkv_perl_library(name, **kwargs):
    _library(name = name, language = "perl", interpreter = INTERPRETERS["perl"], **without_sanitizer(kwargs))

def shmkv_python_library(name, **kwargs):
    _library(name = name, language = "python", interpreter = INTERPRETERS["python"], **without_sanitizer(kwargs))

def shmkv_ruby_library(name, **kwargs):
    _library(name = name, language = "ruby", interpreter = INTERPRETERS["ruby"], **without_sanitizer(kwargs))
