/* Put and delete, of every size. Spec 6.3, 6.4. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/checks.h"

#define MIB (1u << 20)
#define LARGEST (5 * MIB)

static const char *name;
static shmkv_t *kv;
static uint8_t *expected, *got;

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
    expected = malloc(LARGEST);
    got = malloc(LARGEST + 16);
}

static void tear_down(void) {
    finish(kv, name);
    free(expected);
    free(got);
}

static const uint8_t *bytes_of(uint64_t seed, size_t len) {
    for (size_t i = 0; i < len; i++)
        expected[i] = (uint8_t)((seed + i) * 0x9e3779b1u >> 24);
    return expected;
}

static void put_sized(const void *key, size_t key_len, size_t len, uint64_t seed) {
    ck_assert_ok(shmkv_put(kv, key, key_len, bytes_of(seed, len), len));
}

static void expect_sized(const void *key, size_t key_len, size_t len, uint64_t seed) {
    size_t n = 0;
    memset(got, 0xa5, len + 16);
    ck_assert_ok(shmkv_get(kv, key, key_len, got, len, &n));
    ck_assert_uint_eq(n, len);
    ck_assert_mem_eq(got, bytes_of(seed, len), len);
    for (size_t i = len; i < len + 16; i++)
        ck_assert_uint_eq(got[i], 0xa5);
}

/* ------------------------------------------------------------------------- sizes */

/* Of values, and around every class limit for a key of one byte. */
static size_t sizes[200], size_count;

static void note_sizes(void) {
    static const size_t some[] = {0,    1,    2,    7,     8,     9,     15,      16,          17,      31,     32,
                                  33,   63,   64,   65,    255,   256,   257,     264,         4095,    4096,   4097,
                                  65535, 65536, 65537, MIB - 1, MIB, MIB + 1, LARGEST};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        sizes[size_count++] = some[i];
    for (unsigned cls = SHMKV_BUCKET_CLASS + 1; cls < SHMKV_CLASS_COUNT; cls++)
        for (int d = -1; d <= 1; d++)
            sizes[size_count++] = (size_t)((int)shmkv_class_sizes[cls] - 24 + d);
}

/* proves [LAYOUT-25] */
START_TEST(test_value_of_each_size_comes_back_and_is_seen_by_others) {
    size_t len = sizes[_i];
    put_sized("k", 1, len, 1);
    expect_sized("k", 1, len, 1);
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(kv));
    kv = open_mode(name, SHMKV_READONLY);
    expect_sized("k", 1, len, 1);
    ck_assert_ok(shmkv_close(kv));
    kv = open_ok(name, NULL);
    ck_assert_ok(shmkv_delete(kv, "k", 1));
    ck_assert_value(kv, "k", NULL);
    ck_assert_uint_eq(stats_of(kv).large_bytes, 0);
}
END_TEST

START_TEST(test_key_of_each_size_up_to_64_kib_works) {
    static const size_t lengths[] = {1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 255, 256, 257, 263, 1000, 16000, 65535, 65536};
    static uint8_t key[65536];
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        put_sized(key, lengths[i], 10 + i, lengths[i]);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        expect_sized(key, lengths[i], 10 + i, lengths[i]);
    ck_assert_uint_eq(count_of(kv), sizeof lengths / sizeof *lengths);
    ck_assert_whole(kv);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        ck_assert_ok(shmkv_delete(kv, key, lengths[i]));
    ck_assert_uint_eq(count_of(kv), 0);
}
END_TEST

START_TEST(test_longest_key_with_a_large_value_works) {
    static uint8_t key[65536];
    put_sized(key, sizeof key, MIB, 5);
    expect_sized(key, sizeof key, MIB, 5);
    put_sized(key, sizeof key, 0, 6);
    expect_sized(key, sizeof key, 0, 6);
}
END_TEST

START_TEST(test_keys_and_values_are_any_bytes) {
    for (unsigned b = 0; b < 256; b++) {
        uint8_t key[3] = {(uint8_t)b, 0, (uint8_t)~b};
        for (size_t n = 1; n <= 3; n++)
            ck_assert_ok(shmkv_put(kv, key, n, key, n));
    }
    /* The first two bytes of one are no other's. */
    ck_assert_uint_eq(count_of(kv), 3 * 256);
    for (unsigned b = 0; b < 256; b++) {
        uint8_t key[3] = {(uint8_t)b, 0, (uint8_t)~b}, value[3];
        for (size_t n = 1; n <= 3; n++) {
            size_t len;
            ck_assert_ok(shmkv_get(kv, key, n, value, sizeof value, &len));
            ck_assert_uint_eq(len, n);
            ck_assert_mem_eq(value, key, n);
        }
    }
}
END_TEST

/* --------------------------------------------------------------------- bad arguments */

START_TEST(test_key_when_empty_or_too_long_is_ekey) {
    static char key[65537];
    const struct {
        const void *key;
        size_t len;
    } bad[] = {{"", 0}, {NULL, 0}, {NULL, 5}, {key, 65537}, {key, SIZE_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_err(shmkv_put(kv, bad[i].key, bad[i].len, "v", 1), SHMKV_EKEY);
        ck_assert_err(shmkv_get(kv, bad[i].key, bad[i].len, key, 1, NULL), SHMKV_EKEY);
        ck_assert_err(shmkv_exists(kv, bad[i].key, bad[i].len), SHMKV_EKEY);
        ck_assert_err(shmkv_delete(kv, bad[i].key, bad[i].len), SHMKV_EKEY);
    }
    ck_assert_uint_eq(count_of(kv), 0);
}
END_TEST

START_TEST(test_value_when_too_long_is_evalue_before_anything_is_read) {
    ck_assert_err(shmkv_put(kv, "k", 1, "v", 1ULL << 32), SHMKV_EVALUE);
    ck_assert_err(shmkv_put(kv, "k", 1, "v", SIZE_MAX), SHMKV_EVALUE);
    ck_assert_err(shmkv_put(kv, "k", 1, NULL, 1), SHMKV_EARGUMENT);
    ck_assert_uint_eq(count_of(kv), 0);
    ck_assert_ok(shmkv_put(kv, "k", 1, NULL, 0));
    ck_assert_value(kv, "k", "");
}
END_TEST

START_TEST(test_write_through_a_read_only_handle_is_ereadonly) {
    put_text(kv, "k", "v");
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    ck_assert_err(shmkv_put(reader, "k", 1, "w", 1), SHMKV_EREADONLY);
    ck_assert_err(shmkv_delete(reader, "k", 1), SHMKV_EREADONLY);
    ck_assert_value(reader, "k", "v");
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

/* ------------------------------------------------------------------------- overwrites */

START_TEST(test_overwrite_from_any_class_to_any_other_gives_back_the_old_cell) {
    struct random r = random_begin("overwrites");
    size_t len = 0;
    for (uint64_t round = 0; round < 3000; round++) {
        size_t next = sizes[random_below(&r, size_count)];
        if (next > 100000)
            next = 100000;
        put_sized("k", 1, next, round);
        expect_sized("k", 1, next, round);
        len = next;
    }
    (void)len;
    ck_assert_uint_eq(count_of(kv), 1);
    ck_assert_ok(shmkv_delete(kv, "k", 1));
    ck_assert_ok(shmkv_close(kv));
    kv = open_ok(name, NULL);
    ck_assert_uint_eq(stats_of(kv).cells_used, 1); /* the directory */
    ck_assert_uint_eq(stats_of(kv).large_bytes, 0);
}
END_TEST

START_TEST(test_overwrites_of_a_hot_key_need_no_more_space) {
    put_sized("k", 1, 32, 0);
    uint64_t limit = 0;
    for (uint64_t i = 0; i < 50000; i++) {
        put_sized("k", 1, 32, i);
        if (i == 10)
            limit = stats_of(kv).limit;
    }
    ck_assert_uint_eq(stats_of(kv).limit, limit);
    ck_assert_uint_le(stats_of(kv).cells_used, 3);
}
END_TEST

/* proves [LAYOUT-23] */
START_TEST(test_version_of_a_record_is_new_with_every_put) {
    struct segment *seg = segment_of(kv);
    uint64_t last = 0;
    for (int i = 0; i < 100; i++) {
        put_text(kv, "k", "same");
        struct place place;
        struct context *ctx = context_of(kv);
        uint64_t hash = hash_of(kv, "k", 1);
        ck_assert_ok(table_find(ctx, &seg->shards[hash_shard(seg, hash)], hash, "k", 1, &place));
        context_release(ctx);
        uint64_t version = record_at(seg, place.word)->version;
        ck_assert_uint_ne(version, 0);
        ck_assert_uint_eq(version & 1, 0);
        ck_assert_uint_gt(version, last);
        last = version;
    }
}
END_TEST

/* ----------------------------------------------------------------------------- delete */

START_TEST(test_delete_of_an_absent_key_is_enotfound) {
    ck_assert_err(shmkv_delete(kv, "k", 1), SHMKV_ENOTFOUND);
    put_text(kv, "k", "v");
    ck_assert_ok(shmkv_delete(kv, "k", 1));
    ck_assert_err(shmkv_delete(kv, "k", 1), SHMKV_ENOTFOUND);
    ck_assert_uint_eq(count_of(kv), 0);
}
END_TEST

START_TEST(test_delete_and_put_in_turns_need_no_more_space) {
    put_sized("k", 1, 5000, 0);
    uint64_t limit = stats_of(kv).limit;
    for (uint64_t i = 0; i < 5000; i++) {
        ck_assert_ok(shmkv_delete(kv, "k", 1));
        put_sized("k", 1, 5000, i);
    }
    ck_assert_uint_eq(stats_of(kv).limit, limit);
}
END_TEST

/* --------------------------------------------------------------------- against a model */

#define MODEL_KEYS 400

START_TEST(test_operations_at_random_agree_with_a_model) {
    struct random r = random_begin("model");
    static struct {
        bool present;
        size_t len;
        uint64_t seed;
    } model[MODEL_KEYS];
    uint64_t present = 0;
    for (uint64_t step = 0; step < 30000; step++) {
        uint64_t key = random_below(&r, MODEL_KEYS), what = random_below(&r, 10);
        if (what < 5) {
            size_t len = sizes[random_below(&r, size_count)];
            if (len > 20000)
                len = step % 100 ? len % 3000 : len % 70000;
            put_sized(&key, sizeof key, len, step);
            present += !model[key].present;
            model[key].present = true, model[key].len = len, model[key].seed = step;
        } else if (what < 8) {
            int err = shmkv_delete(kv, &key, sizeof key);
            ck_assert_err(err, model[key].present ? SHMKV_OK : SHMKV_ENOTFOUND);
            present -= model[key].present;
            model[key].present = false;
        } else if (model[key].present) {
            expect_sized(&key, sizeof key, model[key].len, model[key].seed);
        } else {
            ck_assert_err(shmkv_exists(kv, &key, sizeof key), SHMKV_ENOTFOUND);
        }
        if (step % 3000 == 0) {
            ck_assert_uint_eq(count_of(kv), present);
            ck_assert_whole(kv);
        }
        if (step % 7000 == 0) { /* detach, attach, look again */
            ck_assert_ok(shmkv_close(kv));
            kv = open_ok(name, NULL);
        }
    }
    for (uint64_t key = 0; key < MODEL_KEYS; key++)
        if (model[key].present)
            expect_sized(&key, sizeof key, model[key].len, model[key].seed);
}
END_TEST

/* ---------------------------------------------------------------- a hostile peer */

/* proves [OP-01]: what a peer stores into our own slot does not lead a write
 * outside the mapping. */
START_TEST(test_put_when_own_cell_was_scribbled_over_is_damage) {
    const uint64_t far = 40ULL << 30, classes[] = {0, 4, SHMKV_CLASS_COUNT, 63};
    put_text(kv, "key", "value");
    struct context *ctx = context_of(kv);
    uint64_t kept = ctx->own->cell;
    context_release(ctx);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        ctx->own->cell = far | MAKE(CELL_CLASS, classes[i]);
        ck_assert_int_lt(shmkv_put(kv, "key", 3, "other", 5), 0);
    }
    ctx->own->cell = kept;
    ck_assert_value(kv, "key", "value");
}
END_TEST

START_TEST(test_offset_that_wraps_around_is_outside) {
    struct segment *seg = segment_of(kv);
    ck_assert_ptr_null(seg_at(seg, UINT64_MAX - SHMKV_PAGE_SIZE + 1, 2 * SHMKV_PAGE_SIZE));
    ck_assert_ptr_null(seg_at(seg, SHMKV_PAGE_SIZE, UINT64_MAX));
}
END_TEST

static Suite *write_suite(void) {
    Suite *s = suite_create("write");
    note_sizes();
    TCase *tc = case_new(s, "sizes");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_value_of_each_size_comes_back_and_is_seen_by_others, 0, (int)size_count);
    tcase_add_test(tc, test_key_of_each_size_up_to_64_kib_works);
    tcase_add_test(tc, test_longest_key_with_a_large_value_works);
    tcase_add_test(tc, test_keys_and_values_are_any_bytes);
    tc = case_new(s, "bad arguments");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_key_when_empty_or_too_long_is_ekey);
    tcase_add_test(tc, test_value_when_too_long_is_evalue_before_anything_is_read);
    tcase_add_test(tc, test_write_through_a_read_only_handle_is_ereadonly);
    tc = case_new(s, "overwrites");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_overwrite_from_any_class_to_any_other_gives_back_the_old_cell);
    tcase_add_test(tc, test_overwrites_of_a_hot_key_need_no_more_space);
    tcase_add_test(tc, test_version_of_a_record_is_new_with_every_put);
    tc = case_new(s, "delete");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_delete_of_an_absent_key_is_enotfound);
    tcase_add_test(tc, test_delete_and_put_in_turns_need_no_more_space);
    tcase_add_test(tc, test_put_when_own_cell_was_scribbled_over_is_damage);
    tcase_add_test(tc, test_offset_that_wraps_around_is_outside);
    tc = case_new(s, "model");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_operations_at_random_agree_with_a_model);
    return s;
}

int main(void) { return suite_main(write_suite()); }
