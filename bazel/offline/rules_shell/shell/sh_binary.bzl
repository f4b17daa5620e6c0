"""This Bazel's own sh_binary."""

sh_binary = native.sh_binary
