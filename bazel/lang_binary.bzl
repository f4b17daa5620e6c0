"""Programs in Perl, Python and Ruby, run by the interpreters found on this system."""

load(":lang_library.bzl", "INTERPRETERS", "LanguageInfo", "SEARCH_PATH", "without_sanitizer")

_LAUNCHER = """\
#!/bin/sh
# Written by bazel/lang_binary.bzl.
here=$PWD
cd "${{TEST_SRCDIR:-$0.runfiles}}/{workspace}" || exit 1
top=$PWD
{exports}
{return_to_caller}
exec "$top/{interpreter}" {files} "$@"
"""

def _quote(text):
    return "'" + text.replace("'", "'\\''") + "'"

def launch(ctx, files, return_to_caller):
    """Makes the script that runs files[0] with the other files as its arguments."""
    infos = [dep[LanguageInfo] for dep in ctx.attr.deps]
    exports = []
    for language, variable in SEARCH_PATH.items():
        roots = ["$top/" + info.root for info in infos if info.language == language]
        exports.append('export %s="%s"' % (variable, ":".join(roots)))
    for info in infos:
        exports.append('export SHMKV_%s="$top/%s"' % (info.language.upper(), info.interpreter.short_path))
    for name, value in ctx.attr.env.items():
        exports.append("export %s=%s" % (name, _quote(ctx.expand_location(value, ctx.attr.data))))

    launcher = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        launcher,
        _LAUNCHER.format(
            workspace = ctx.workspace_name,
            exports = "\n".join(exports),
            return_to_caller = 'cd "$here" || exit 1' if return_to_caller else "",
            interpreter = ctx.executable.interpreter.short_path,
            files = " ".join(['"$top"/' + _quote(file.short_path) for file in files]),
        ),
        is_executable = True,
    )
    runfiles = ctx.runfiles(files = files + ctx.files.srcs + ctx.files.data + [ctx.executable.interpreter])
    for target in ctx.attr.deps + ctx.attr.data:
        runfiles = runfiles.merge(target[DefaultInfo].default_runfiles)
    return [DefaultInfo(executable = launcher, runfiles = runfiles)]

LAUNCH_ATTRS = {
    "data": attr.label_list(allow_files = True),
    "deps": attr.label_list(
        doc = "libraries of any language; SHMKV_PERL, SHMKV_PYTHON, SHMKV_RUBY name their interpreters",
        providers = [LanguageInfo],
    ),
    "env": attr.string_dict(doc = "variables; $(location x) is relative to where a test starts"),
    "interpreter": attr.label(cfg = "target", executable = True, mandatory = True),
    "srcs": attr.label_list(allow_files = True, mandatory = True),
}

def _binary_impl(ctx):
    return launch(ctx, ctx.files.srcs[:1], return_to_caller = True)

_binary = rule(
    doc = "A script: the first of srcs. The others lie beside it.",
    implementation = _binary_impl,
    attrs = LAUNCH_ATTRS,
    executable = True,
)

def shmkv_perl_binary(name, **kwargs):
    _binary(name = name, interpreter = INTERPRETERS["perl"], **without_sanitizer(kwargs))

def shmkv_python_binary(name, **kwargs):
    _binary(name = name, interpreter = INTERPRETERS["python"], **without_sanitizer(kwargs))

def shmkv_ruby_binary(name, **kwargs):
    _binary(name = name, interpreter = INTERPRETERS["ruby"], **without_sanitizer(kwargs))
