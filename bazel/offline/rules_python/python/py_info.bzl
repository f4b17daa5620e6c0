"""This Bazel's own PyInfo, where current rules_python has it."""

load(":native.bzl", "native_py_info")

PyInfo = native_py_info
