"""This Bazel's own sh_library."""

sh_library = native.sh_library
