"""The module extension behind MODULE.bazel: the same repositories as bazel/deps.bzl makes for WORKSPACE."""

load("//bazel/system:bench_peers.bzl", "system_bench_peers")
load("//bazel/system:check.bzl", "system_check")
load("//bazel/system:perl.bzl", "system_perl")
load("//bazel/system:python.bzl", "system_python")
load("//bazel/system:ruby.bzl", "system_ruby")
load("//bazel/system:swig.bzl", "system_swig")
load("//bazel/system:xxhash.bzl", "system_xxhash")

def _system_impl(_module_ctx):
    system_bench_peers(name = "bench_peers")
    system_check(name = "check")
    system_perl(name = "system_perl")
    system_python(name = "system_python")
    system_ruby(name = "system_ruby")
    system_swig(name = "system_swig")
    system_xxhash(name = "xxhash")

system = module_extension(implementation = _system_impl)
