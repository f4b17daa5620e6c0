"""swig_extension: one SWIG module compiled into an extension of Perl, Python or Ruby."""

load("@rules_cc//cc:defs.bzl", "cc_binary")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")
load("@system_perl//:defs.bzl", PERL_COPTS = "COPTS")
load("//bazel:copts.bzl", "GENERATED_COPTS", "LINKOPTS")

_LANGUAGES = {
    "perl": struct(
        copts = PERL_COPTS,
        headers = Label("@system_perl//:headers"),
        options = ["-perl5"],
    ),
    "python": struct(
        copts = [],
        headers = Label("@system_python//:headers"),
        # Types in C, without a proxy class in Python around each: the fast path.
        options = ["-python", "-builtin"],
    ),
    "ruby": struct(
        copts = [],
        headers = Label("@system_ruby//:headers"),
        options = ["-ruby"],
    ),
}

def _wrapper_impl(ctx):
    # Headers of the library, so that %include can read what it is to wrap.
    headers = [dep[CcInfo].compilation_context for dep in ctx.attr.deps]
    include = [file.dirname for file in [ctx.file.interface] + ctx.files.includes]
    for context in headers:
        include += context.includes.to_list() + context.system_includes.to_list() + context.quote_includes.to_list()
    include.append(ctx.label.workspace_root or ".")

    # SWIG also writes a proxy module, which only some bindings want. The rest is thrown away with
    # the folder.
    proxies = ctx.outputs.wrapper.path + ".proxies"
    arguments = ctx.actions.args()
    arguments.add_all(ctx.attr.options)
    arguments.add("-Werror")
    arguments.add("-DSWIGWORDSIZE64")  # int64_t is long here, not long long
    arguments.add_all(include, format_each = "-I%s", uniquify = True)
    arguments.add("-outdir", proxies)
    arguments.add("-o", ctx.outputs.wrapper)
    arguments.add(ctx.file.interface)

    command = 'mkdir -p "{0}" && "{1}" "$@"'.format(proxies, ctx.file._swig.path)
    outputs = [ctx.outputs.wrapper]
    if ctx.outputs.proxy:
        command += ' && cp "{0}/{1}" "{1}"'.format(proxies, ctx.outputs.proxy.basename, ctx.outputs.proxy.path)
        outputs.append(ctx.outputs.proxy)
    ctx.actions.run_shell(
        outputs = outputs,
        inputs = depset(
            [ctx.file.interface] + ctx.files.includes,
            transitive = [context.headers for context in headers],
        ),
        tools = [ctx.file._swig],
        command = command,
        arguments = [arguments],
        mnemonic = "Swig",
        progress_message = "Wrapping %s" % ctx.file.interface.short_path,
    )

_swig_wrapper = rule(
    doc = "Runs SWIG.",
    implementation = _wrapper_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "includes": attr.label_list(allow_files = True),
        "interface": attr.label(allow_single_file = [".i"], mandatory = True),
        "options": attr.string_list(),
        "proxy": attr.output(),
        "wrapper": attr.output(mandatory = True),
        "_swig": attr.label(default = "@system_swig//:swig", allow_single_file = True),
    },
)

def swig_extension(
        name,
        language,
        interface,
        out,
        includes = [Label("//bindings/swig:shared")],
        deps = [Label("//core:shmkv")],
        srcs = [],
        proxy = None,
        options = [],
        copts = [],
        **kwargs):
    """Wraps an interface file and compiles it into one shared object.

    The C library is linked in statically, and nothing but the entry point is exported, so that
    extensions of several languages, or of several versions, can live in one process.

    Args:
      name: stands for the shared object, and the proxy when there is one.
      language: perl, python or ruby.
      interface: the root .i file of the language.
      out: the shared object, where the language's search path wants it.
      includes: .i files that the root includes, by name relative to their own folder or to the top.
      deps: C libraries that are wrapped.
      srcs: C files and headers to compile along with the wrapper.
      proxy: the module that SWIG writes in the language itself; left out, it is thrown away.
      options: further ones for SWIG.
      copts: further ones for the C compiler.
      **kwargs: visibility and the like.
    """
    how = _LANGUAGES[language]
    wrapper = name + "_wrap.c"
    exports = Label("//bindings/swig:extension.lds")
    tags = kwargs.pop("tags", []) + ["no_sanitizer"]
    _swig_wrapper(
        name = name + "_wrap",
        deps = deps,
        includes = includes,
        interface = interface,
        options = how.options + options,
        proxy = proxy,
        wrapper = wrapper,
    )
    cc_binary(
        name = out,
        srcs = [wrapper] + srcs,
        additional_linker_inputs = [exports],
        # SWIG has one table of types for all its modules of an interpreter, by their names in C, and gives objects
        # of the module loaded last: another one's "Cursor" would be made of ours. So ours has a table of its own.
        copts = GENERATED_COPTS + how.copts + ["-DSWIG_TYPE_TABLE=shmkv"] + copts,
        linkopts = LINKOPTS + ["-Wl,--version-script=$(location %s)" % exports],
        linkshared = True,
        tags = tags,
        deps = deps + [how.headers],
    )
    native.filegroup(
        name = name,
        srcs = [out] + ([proxy] if proxy else []),
        tags = tags,
        **kwargs
    )
