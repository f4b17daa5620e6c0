"""The extension that Bazel itself asks for, making a repository of that name with nothing in it."""

def _empty_impl(rctx):
    rctx.file("BUILD", "")

_empty = repository_rule(implementation = _empty_impl)

def _buildozer_binary_impl(_module_ctx):
    _empty(name = "buildozer_binary")

buildozer_binary = module_extension(implementation = _buildozer_binary_impl)
