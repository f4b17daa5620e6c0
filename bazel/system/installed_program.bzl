"""A program that is installed on this system, as something that a target can run.

A script and not a link: Python and Ruby find their own files by where they are. A rule of our own
because filegroup has no target_compatible_with in Bazel 4.
"""

def _installed_program_impl(ctx):
    script = ctx.actions.declare_file("bin/" + ctx.label.name)
    ctx.actions.write(script, '#!/bin/sh\nexec "%s" "$@"\n' % ctx.attr.path, is_executable = True)
    return [DefaultInfo(executable = script)]

installed_program = rule(
    implementation = _installed_program_impl,
    attrs = {"path": attr.string()},
    executable = True,
)
