"""Tests in Perl, Python and Ruby, each in its language's own framework. They print how many cases ran."""

load(":lang_binary.bzl", "LAUNCH_ATTRS", "launch")
load(":lang_library.bzl", "INTERPRETERS", "without_sanitizer")

def _test_impl(ctx):
    return launch(ctx, [ctx.file.runner] + ctx.files.srcs, return_to_caller = False)

_test = rule(
    doc = "Runs the test files under a runner that fails when it finds no test in them.",
    implementation = _test_impl,
    attrs = dict(LAUNCH_ATTRS, runner = attr.label(allow_single_file = True, mandatory = True)),
    test = True,
)

def shmkv_perl_test(name, **kwargs):
    """TAP, judged as prove does: a wrong plan, or a crash after the last case, fails too."""
    _test(name = name, interpreter = INTERPRETERS["perl"], runner = Label("//bazel/runners:perl.pl"), **without_sanitizer(kwargs))

def shmkv_python_test(name, **kwargs):
    """unittest, in srcs named test_*.py; others are helpers to import."""
    _test(name = name, interpreter = INTERPRETERS["python"], runner = Label("//bazel/runners:python.py"), **without_sanitizer(kwargs))

def shmkv_ruby_test(name, **kwargs):
    """minitest, in srcs named test_*.rb; others are helpers to require_relative."""
    _test(name = name, interpreter = INTERPRETERS["ruby"], runner = Label("//bazel/runners:ruby.rb"), **without_sanitizer(kwargs))
