#!/bin/sh
# exports_test.sh LIBRARY LIST: the library's dynamic symbols are those of the list; it needs no library but libc.
library=$1 list=$2
status=0
nm -D -g --defined-only "$library" | sed 's/.* //' | LC_ALL=C sort >"$TEST_TMPDIR/exported"
LC_ALL=C sort "$list" >"$TEST_TMPDIR/listed"
diff -u "$TEST_TMPDIR/listed" "$TEST_TMPDIR/exported" || status=1
if readelf -d "$library" | grep NEEDED | grep -v -e '\[libc\.' -e '\[ld-'; then
	echo "the library must need nothing but libc"
	status=1
fi
echo "$(wc -l <"$TEST_TMPDIR/listed") symbols compared"
exit $status
