/* What may be stored as what. Spec 3.7. */
#include <string.h>

#include "tests/support/checks.h"

static const char *name;
static shmkv_t *kv;

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
}

static void tear_down(void) { finish(kv, name); }

/* ------------------------------------------------------------------------- UTF-8 */

static const struct {
    const char *bytes;
    size_t len;
    bool valid;
} texts[] = {
    {"", 0, true},
    {"plain text that is longer than a word", 37, true},
    {"a\0b", 3, true},
    {"caf\xc3\xa9", 5, true},
    {"1234567\xc3\xa9", 9, true}, /* across the words that are looked at together */
    {"\xe2\x82\xac", 3, true},
    {"\xf0\x9f\x98\x80", 4, true},
    {"\xf4\x8f\xbf\xbf", 4, true}, /* U+10FFFF */
    {"\xed\x9f\xbf", 3, true},     /* the last before the surrogates */
    {"\xee\x80\x80", 3, true},     /* and the first behind them */
    {"\x80", 1, false},            /* begins in the middle */
    {"\xc3", 1, false},            /* ends in the middle */
    {"1234567\xc3", 8, false},
    {"\xe2\x82", 2, false},
    {"\xf0\x9f\x98", 3, false},
    {"\xc3(", 2, false},
    {"\xe2(\xac", 3, false},
    {"\xe2\x82(", 3, false},
    {"\xf0\x9f\x98(", 4, false},
    {"\xc0\xaf", 2, false}, /* longer than need be */
    {"\xc1\xbf", 2, false},
    {"\xe0\x9f\xbf", 3, false},
    {"\xf0\x8f\xbf\xbf", 4, false},
    {"\xed\xa0\x80", 3, false},     /* a surrogate */
    {"\xf4\x90\x80\x80", 4, false}, /* beyond U+10FFFF */
    {"\xf5\x80\x80\x80", 4, false},
    {"\xff", 1, false},
    {"12345678\xff", 9, false},
};

/* proves [LAYOUT-26] */
START_TEST(test_text_and_json_when_not_utf8_are_evalue) {
    const size_t n = texts[_i].len;
    struct shmkv_item item = {.data = texts[_i].bytes, .len = n}, out;
    int expected = texts[_i].valid ? SHMKV_OK : SHMKV_EVALUE;
    char got[64];
    ck_assert_int_eq(utf8_valid((const uint8_t *)texts[_i].bytes, n), texts[_i].valid);
    for (int t = 0; t < 2; t++) {
        item.type = t ? SHMKV_JSON : SHMKV_TEXT;
        ck_assert_err(shmkv_put_item(kv, "k", 1, &item), expected);
        if (!texts[_i].valid)
            continue;
        ck_assert_ok(shmkv_get_item(kv, "k", 1, got, sizeof got, &out));
        ck_assert_int_eq(out.type, item.type);
        ck_assert_uint_eq(out.len, n);
        ck_assert_mem_eq(got, texts[_i].bytes, n);
    }
    item.type = SHMKV_BYTES;
    ck_assert_ok(shmkv_put_item(kv, "k", 1, &item));
}
END_TEST

/* ------------------------------------------------------------------------- lengths */

/* proves [LAYOUT-26] */
START_TEST(test_value_when_its_length_is_not_its_types_is_evalue) {
    static const uint8_t bytes[16] = {0};
    static const struct {
        int type;
        size_t only;
    } fixed[] = {{SHMKV_INT64, 8}, {SHMKV_FLOAT64, 8}, {SHMKV_BOOLEAN, 1}, {SHMKV_NULL, 0}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        for (size_t len = 0; len <= sizeof bytes; len++) {
            const struct shmkv_item item = {.data = bytes, .len = len, .type = fixed[i].type};
            int expected = len == fixed[i].only ? SHMKV_OK : SHMKV_EVALUE;
            ck_assert_err(shmkv_put_item(kv, "k", 1, &item), expected);
        }
    ck_assert_detail("16 bytes are not null");
}
END_TEST

START_TEST(test_boolean_when_neither_0_nor_1_is_evalue) {
    for (unsigned b = 0; b < 256; b++) {
        const uint8_t byte = (uint8_t)b;
        const struct shmkv_item item = {.data = &byte, .len = 1, .type = SHMKV_BOOLEAN};
        ck_assert_err(shmkv_put_item(kv, "k", 1, &item), b < 2 ? SHMKV_OK : SHMKV_EVALUE);
    }
}
END_TEST

START_TEST(test_item_when_of_no_known_type_or_flag_is_eargument) {
    const struct shmkv_item bad[] = {{.type = -1},
                                     {.type = SHMKV_CODED + 1},
                                     {.flags = 4},
                                     {.flags = 1u << 31},
                                     {.data = NULL, .len = 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_err(shmkv_put_item(kv, "k", 1, &bad[i]), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_put_item(kv, "k", 1, NULL), SHMKV_EARGUMENT);
    ck_assert_uint_eq(count_of(kv), 0);
}
END_TEST

/* ----------------------------------------------------------------- of other writers */

/* The second word of the key's record, with other type and length in it. */
static void forge(const char *key, unsigned type, uint64_t len) {
    struct segment *seg = segment_of(kv);
    struct context *ctx = context_of(kv);
    struct place place;
    uint64_t hash = hash_of(kv, key, strlen(key));
    shard_t *shard = &seg->shards[hash_shard(seg, hash)];
    ck_assert_ok(table_find(ctx, shard, hash, key, strlen(key), &place));
    context_release(ctx);
    record_t *rec = record_at(seg, place.word);
    rec->type = (uint8_t)type;
    rec->value_len = (uint32_t)len;
}

/* proves [LAYOUT-26] */
START_TEST(test_value_when_type_is_unknown_or_does_not_fit_is_read_as_bytes) {
    static const struct {
        unsigned type;
        uint64_t len;
        int read;
    } forged[] = {{SHMKV_CODED + 1, 8, SHMKV_BYTES},
                  {SHMKV_CODED, 8, SHMKV_CODED},
                  {255, 8, SHMKV_BYTES},
                  {SHMKV_INT64, 8, SHMKV_INT64},
                  {SHMKV_INT64, 7, SHMKV_BYTES},
                  {SHMKV_FLOAT64, 0, SHMKV_BYTES},
                  {SHMKV_BOOLEAN, 2, SHMKV_BYTES},
                  {SHMKV_NULL, 1, SHMKV_BYTES},
                  {SHMKV_NULL, 0, SHMKV_NULL},
                  {SHMKV_TEXT, 3, SHMKV_TEXT}};
    ck_assert_ok(shmkv_put(kv, "k", 1, "12345678", 8));
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        struct shmkv_item out;
        char got[8];
        forge("k", forged[i].type, forged[i].len);
        ck_assert_ok(shmkv_get_item(kv, "k", 1, got, sizeof got, &out));
        ck_assert_int_eq(out.type, forged[i].read);
        ck_assert_uint_eq(out.len, forged[i].len);
    }
}
END_TEST

static Suite *value_suite(void) {
    Suite *s = suite_create("value");
    TCase *tc = case_new(s, "texts");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_text_and_json_when_not_utf8_are_evalue, 0,
                        sizeof texts / sizeof *texts);
    tc = case_new(s, "types");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_value_when_its_length_is_not_its_types_is_evalue);
    tcase_add_test(tc, test_boolean_when_neither_0_nor_1_is_evalue);
    tcase_add_test(tc, test_item_when_of_no_known_type_or_flag_is_eargument);
    tcase_add_test(tc, test_value_when_type_is_unknown_or_does_not_fit_is_read_as_bytes);
    return s;
}

int main(void) { return suite_main(value_suite()); }
