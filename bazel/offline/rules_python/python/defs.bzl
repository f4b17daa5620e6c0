"""The Python rules of this Bazel, under the name that current Bazel has for them."""

py_binary = native.py_binary
py_library = native.py_library
py_test = native.py_test
