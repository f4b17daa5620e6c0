"""This Bazel's own CcInfo, where current rules_cc has it."""

load("//cc:native.bzl", "native_cc_info")

CcInfo = native_cc_info
