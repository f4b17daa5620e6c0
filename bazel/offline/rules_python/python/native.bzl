"""A file cannot define a name that it also reads from Bazel; so this one reads it."""

native_py_info = PyInfo
