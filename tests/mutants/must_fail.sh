#!/bin/sh
# Runs a harness that was linked with a mutant, and fails if the harness passes.
"$@"
status=$?
case $status in
0)
	echo "The mutant was not caught: $1 passed." >&2
	exit 1
	;;
# Not started, or asked wrongly (see tests/support): this says nothing about the mutant.
2 | 77 | 126 | 127)
	echo "$1 did not run: status $status." >&2
	exit 1
	;;
esac
echo "Caught: $1 ended with status $status."
