#!/bin/bash
# peers_test.sh WORLD: a process of WORLD (musl, arm64) and one of this machine share a segment. Each in turn
# dies with a lock held, and at every fault point that a put, a delete and a split pass; the other looks, goes
# on, and must find everything whole. Compiles with what tools/lib/packages installs.
set -u
world=$1
dir=$(mktemp -d)
segment=shmkv-test-worlds-$$-$RANDOM
trap 'rm -rf "$dir" "/dev/shm/$segment"' EXIT

need() {
	command -v "$1" >/dev/null || {
		echo "$1 not found, please run 'apt-get install $2'" >&2
		exit 1
	}
}
fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# The source folder, wherever this runs; the generated header lies beside the sources in Bazel's runfiles.
flags=(-std=gnu11 -D_GNU_SOURCE -DSHMKV_FAULT_POINTS -UNDEBUG -O2 -I. -Icore/include -iquote core/src
	core/src/*.c tests/worlds/peer.c)
cp /usr/include/xxhash.h "$dir" || fail "xxhash.h is not in /usr/include: apt-get install libxxhash-dev"
flags+=(-I"$dir")
need gcc gcc
gcc "${flags[@]}" -o "$dir/here" -lpthread || fail "the compiler of this machine"
case $world in
musl)
	need musl-gcc musl-tools
	# The kernel's headers are not musl's; those of libc in the same place come last.
	machine=$(gcc -print-multiarch)
	musl-gcc -static "${flags[@]}" -idirafter /usr/include -idirafter "/usr/include/$machine" -o "$dir/there" ||
		fail "musl-gcc"
	there=("$dir/there")
	;;
arm64)
	need aarch64-linux-gnu-gcc "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
	need qemu-aarch64 qemu-user
	aarch64-linux-gnu-gcc -static "${flags[@]}" -o "$dir/there" -lpthread || fail "aarch64-linux-gnu-gcc"
	there=(qemu-aarch64 "$dir/there")
	;;
*) exit 2 ;;
esac
here=("$dir/here")

deaths=0
# recovered NAME...: the other goes on where the dead one left.
recovered() {
	"${other[@]}" "$segment" work || fail "$*: the other does not go on"
	"${other[@]}" "$segment" check || fail "$*: something was left"
	"${dying[@]}" "$segment" check || fail "$*: something was left, says the world of the dead"
	deaths=$((deaths + 1))
}
passes=(1 60)
both_die() {
	local point pass kind status
	for point in claim-after-live commit-after-entry commit-after-intent commit-before-first commit-before-intent \
		extend-after-allocate group-before-kind record-before-even slab-in-hand; do
		for pass in "${passes[@]}"; do
			rm -f "/dev/shm/$segment"
			"${dying[@]}" "$segment" die "$point" "$pass" 2>/dev/null
			status=$?
			case $status in
			137) recovered "$point, pass $pass" ;;
			3) [ "$pass" != 1 ] || fail "$point is never passed" ;;
			*) fail "$point: status $status" ;;
			esac
		done
	done
	for kind in shard arena space; do
		rm -f "/dev/shm/$segment"
		exec 3< <(exec "${dying[@]}" "$segment" hold "$kind")
		pid=$!
		read -r -u 3 line && [ "$line" = held ] || fail "hold $kind"
		kill -9 "$pid"
		wait "$pid" 2>/dev/null # else its slot may still be held when the other looks
		recovered "$kind lock"
		exec 3<&-
	done
}
dying=("${there[@]}") other=("${here[@]}")
both_die
first=$deaths
dying=("${here[@]}") other=("${there[@]}")
both_die
echo "$world: $first deaths there recovered here, $((deaths - first)) deaths here recovered there"
