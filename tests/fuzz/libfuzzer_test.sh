#!/bin/bash
# libfuzzer_test.sh TARGET SECONDS [CORPUS...]: builds the fuzz target TARGET (model, images) and the core with clang,
# libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer, and lets it run. SKIPPED where there is no libFuzzer.
set -u
target=$1 seconds=$2
shift 2
dir=$(mktemp -d)
fuzzer=
# The segment of one that crashed is left behind.
trap 'rm -rf "$dir" ${fuzzer:+/dev/shm/shmkv-test-$fuzzer-*}' EXIT
trap 'kill "$fuzzer" 2>/dev/null; exit 1' TERM INT

cat >"$dir/empty.c" <<'C'
int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size);
int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size) { return (void)data, (void)size, 0; }
C
sanitizers=fuzzer,address,undefined
clang -fsanitize=$sanitizers "$dir/empty.c" -o "$dir/empty" 2>"$dir/log" || {
	head -n 3 "$dir/log"
	echo "SKIPPED: no clang with libFuzzer; on Debian: apt-get install clang libclang-rt-14-dev"
	exit 0
}
cp /usr/include/xxhash.h "$dir" || exit 1
case $target in
model) sources=(tests/fuzz/model.c) ;;
images)
	sources=(tests/fuzz/{image_fuzzer,images,mutations,exercise,guarded}.c
		-Wl,--wrap=mmap,--wrap=munmap,--wrap=getrandom)
	;;
*) exit 2 ;;
esac
clang -fsanitize=$sanitizers -fno-sanitize-recover=all -O1 -g -std=gnu11 -D_GNU_SOURCE -DLIBFUZZER -UNDEBUG \
	-Icore/include -I. -I"$dir" -iquote core/src \
	"${sources[@]}" tests/support/support.c core/src/*.c -lpthread -o "$dir/$target" || exit 1

# Where a test leaves files, if it has such a place. In it: the input of a crash.
artifacts=${TEST_UNDECLARED_OUTPUTS_DIR:-$dir}
corpus=${SHMKV_FUZZ_CORPUS:-$dir/corpus}
mkdir -p "$corpus"
"$dir/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -max_len=$((256 << 10)) -print_final_stats=1 \
	-artifact_prefix="$artifacts/" "$corpus" "$@" >"$dir/log" 2>&1 &
fuzzer=$!
wait "$fuzzer"
status=$?
grep -E -v '^#[0-9]+.(NEW|REDUCE|pulse|RELOAD)' "$dir/log" | tail -n 60
exit $status
