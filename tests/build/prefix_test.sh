#!/bin/sh
# prefix_test.sh LIBRARY.a...: a program that links the static library meets only names that begin with shmkv_.
for library; do
	case $library in *.a) ;; *) continue ;; esac
	names=$(nm -g --defined-only "$library" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort -u)
	[ -n "$names" ] || { echo "$library defines nothing"; exit 1; }
	others=$(echo "$names" | grep -v '^shmkv_')
	if [ -n "$others" ]; then
		echo "$library defines names of others; list them in core/src/namespace.h:"
		echo "$others"
		exit 1
	fi
	echo "$(echo "$names" | wc -l) names looked at in $library"
	seen=1
done
[ -n "${seen:-}" ]
