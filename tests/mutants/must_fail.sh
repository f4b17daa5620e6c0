#!/bin/sh
# must_fail.sh [NAME=VALUE...] HARNESS [ARGUMENT...]
# Runs a harness that was linked with a mutant, and fails if the harness passes.
while case $1 in *=*) ;; *) false ;; esac do
	export "$1"
	shift
done
export SHMKV_MUTANT=1
# A harness that crashes does not clean up.
SHMKV_TEST_PREFIX=$(mktemp -u shmkv-test-XXXXXXXXXX)
export SHMKV_TEST_PREFIX
trap 'rm -rf "/dev/shm/$SHMKV_TEST_PREFIX"*' EXIT
"$@"
status=$?
case $status in
0)
	echo "The mutant was not caught: $1 passed." >&2
	exit 1
	;;
# The harness cannot be made here, and has said so.
77) exit 0 ;;
# Not started, or asked wrongly (see docs/testing.md): this says nothing about the mutant.
2 | 126 | 127)
	echo "$1 did not run: status $status." >&2
	exit 1
	;;
esac
echo "Caught: $1 ended with status $status."
