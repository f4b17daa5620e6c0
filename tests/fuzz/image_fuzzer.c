/*
 * A segment made of whatever libFuzzer says: guided by what of the core it reached,
 * where mutate.c draws blindly. Started with the vectors as its corpus.
 *
 * Most of its mutations are those of mutations.c, which know the layout; what is
 * behind the header's checksum is reached because the header is sealed again
 * afterwards. Others are libFuzzer's own, in a bucket or a page. libfuzzer_test.sh builds it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/src/hash.h"
#include "tests/fuzz/images.h"

#define LARGEST (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t max_out, unsigned seed);

static struct exercise segment;

static void sweep(void) { names_sweep(false); }

static void begin(void) {
    names_begin();
    if (atexit(sweep) != 0)
        abort();
    exercise_begin(&segment, scratch_path("segment"));
}

static void lay(const uint8_t *data, size_t size) {
    exercise_lay(&segment, size);
    memcpy(segment.file, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct keys keys;
    if (size > LARGEST)
        return 0;
    if (!segment.path)
        begin();
    uint64_t hash = hash_inline(data, size, 0);
    struct conduct conduct = {.replace = hash % 128 == 0, .late = hash >> 8 & 1};
    lay(data, size);
    keys_note(&keys, segment.path);
    exercise_run(&segment, &keys, &conduct);
    return 0;
}

/* The mutations of mutations.c, on any bytes. */
static size_t mutate_knowingly(uint8_t *data, size_t size, size_t max_size, struct random *r) {
    static uint8_t bytes[LARGEST + 16];
    static uint32_t hot[LARGEST / 8 + 1];
    static struct image im = {.bytes = bytes, .hot = hot};
    memcpy(bytes, data, size);
    memset(bytes + size, 0, 16);
    im.size = size;
    image_prepare(&im);
    struct trial t = {.im = &im};
    trial_draw_mutations(&t, r);
    if (trial_size(&t, ~0ULL) > max_size)
        return size;
    trial_write(&t, ~0ULL, data);
    return trial_size(&t, ~0ULL);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    struct random r = {seed};
    max_size = max_size < LARGEST ? max_size : LARGEST;
    uint64_t how = random_below(&r, 16);
    if (size < sizeof(header_t) || how == 0)
        size = LLVMFuzzerMutate(data, size, max_size);
    else if (how < 4) /* in place: everything stays where it is said to be */
        LLVMFuzzerMutate(data + random_below(&r, size / 64) * 64, 64, 64);
    else
        size = mutate_knowingly(data, size, max_size, &r);
    if (random_below(&r, 32))
        seal_header(data, size);
    return size;
}

/* Some pages of another segment, or some of its cache lines, at the same place. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t max_out, unsigned seed) {
    struct random r = {seed};
    size_t size = a_size < max_out ? a_size : max_out, common = size < b_size ? size : b_size;
    size_t unit = random_below(&r, 2) ? SHMKV_PAGE_SIZE : 128;
    memcpy(out, a, size);
    for (uint64_t n = 1 + random_below(&r, 8); n && common >= unit; n--) {
        size_t at = random_below(&r, common / unit) * unit;
        memcpy(out + at, b + at, unit);
    }
    seal_header(out, size);
    return size;
}
