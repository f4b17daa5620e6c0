"""stage: copies what was built into the layout in which it is used outside Bazel.

    bin/                 programs
    include/             headers, by the path that follows the last include/
    lib/                 libraries
    perl/ python/ ruby/  what goes on each language's search path
    share/man/           manual pages, where man looks for them once bin/ is in PATH
"""

load(":lang_library.bzl", "LanguageInfo")

def _stage_impl(ctx):
    places = []
    for file in ctx.files.programs:
        places.append((file, "bin/" + file.basename))
    for file in ctx.files.headers:
        places.append((file, "include/" + file.short_path.rpartition("include/")[2]))
    for file in ctx.files.libraries:
        places.append((file, "lib/" + file.basename.replace(".pic.a", ".a")))
    for file in ctx.files.manuals:
        places.append((file, "share/man/man%s/%s" % (file.extension, file.basename)))
    for target in ctx.attr.languages:
        info = target[LanguageInfo]
        for file in target[DefaultInfo].files.to_list():
            places.append((file, info.language + file.short_path[len(info.root):]))

    outputs = []
    for file, place in places:
        output = ctx.actions.declare_file(ctx.label.name + "/" + place)
        outputs.append(output)
        arguments = ctx.actions.args()
        arguments.add(file)
        arguments.add(output)

        # A copy and not a link: programs that resolve links would look for their neighbours elsewhere.
        ctx.actions.run_shell(
            outputs = [output],
            inputs = [file],
            arguments = [arguments],
            command = 'cp -f "$1" "$2"',
            mnemonic = "Stage",
        )
    return [DefaultInfo(files = depset(outputs))]

stage = rule(
    implementation = _stage_impl,
    attrs = {
        "headers": attr.label_list(allow_files = [".h"]),
        "languages": attr.label_list(providers = [LanguageInfo]),
        "libraries": attr.label_list(allow_files = [".a", ".so"]),
        "manuals": attr.label_list(allow_files = True),
        "programs": attr.label_list(),
    },
)
