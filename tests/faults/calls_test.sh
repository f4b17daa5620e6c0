#!/bin/sh
# calls_test.sh SYMBOLS WRAPPED HARMLESS
# What the core calls is what nth_call can make fail, or is listed as something that cannot fail: a new call must be
# added to one of the lists, and one that is gone removed from the first. SYMBOLS is what nm -P says of the library; the lists are words in one argument each.
set -eu
symbols=$1
wrapped=$2
harmless=$3
calls=$TEST_TMPDIR/calls
defined=$TEST_TMPDIR/defined
awk 'NF > 2 && $2 != "U" { print $1 }' "$symbols" | sort -u >"$defined"
awk '$2 == "U" { print $1 }' "$symbols" | sort -u | comm -23 - "$defined" >"$calls"
test -s "$calls"
status=0
for call in $(cat "$calls"); do
	case " $wrapped $harmless " in
	*" $call "*) ;;
	*)
		echo "The core calls $call: add it to calls.c and WRAPPED, or say in HARMLESS why it cannot fail." >&2
		status=1
		;;
	esac
done
for call in $wrapped; do
	# Which of the two depends on the C library's checks of arguments.
	case $call in open | __open_2) continue ;; esac
	grep -qx "$call" "$calls" || {
		echo "The core does not call $call any more: remove it from WRAPPED and calls.c." >&2
		status=1
	}
done
echo "$(wc -l <"$calls") calls of the core, $(echo "$wrapped" | wc -w) of them can be made to fail."
exit $status
