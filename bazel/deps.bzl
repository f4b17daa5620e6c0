"""shmkv_dependencies(): the repositories that shmkv needs, for a WORKSPACE file.

Call it last: what a workspace has defined before stays as it is.
"""

load("//bazel/system:bench_peers.bzl", "system_bench_peers")
load("//bazel/system:check.bzl", "system_check")
load("//bazel/system:perl.bzl", "system_perl")
load("//bazel/system:python.bzl", "system_python")
load("//bazel/system:ruby.bzl", "system_ruby")
load("//bazel/system:swig.bzl", "system_swig")
load("//bazel/system:xxhash.bzl", "system_xxhash")

def _stand_in_impl(rctx):
    offline = rctx.path(Label("//bazel:deps.bzl")).dirname.get_child("offline")
    for entry in offline.get_child(rctx.attr.folder).readdir():
        rctx.symlink(entry, entry.basename)

# Links bazel/offline/<folder>. Not local_repository, whose path cannot follow shmkv into another workspace.
_stand_in = repository_rule(
    implementation = _stand_in_impl,
    attrs = {"folder": attr.string()},
    local = True,
)

def shmkv_dependencies():
    """Defines the repositories that are not defined yet."""
    existing = native.existing_rules()
    for name, rule in [
        ("bench_peers", system_bench_peers),
        ("check", system_check),
        ("system_perl", system_perl),
        ("system_python", system_python),
        ("system_ruby", system_ruby),
        ("system_swig", system_swig),
        ("xxhash", system_xxhash),
    ]:
        if name not in existing:
            rule(name = name)

    # Bazel's own rule sets, which it would otherwise download. See bazel/offline/README.md.
    for name in ["remote_coverage_tools", "rules_cc", "rules_java", "rules_python", "rules_shell"]:
        if name not in existing:
            _stand_in(name = name, folder = name)
