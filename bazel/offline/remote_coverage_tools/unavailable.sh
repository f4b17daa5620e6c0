#!/bin/sh
echo "bazel coverage needs tools that Bazel downloads" >&2
exit 1
