"""This Bazel's own sh_test."""

sh_test = native.sh_test
