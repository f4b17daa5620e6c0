/* Where keys are found, and what damage on the way there does. Spec 3.6, 6.2, 6.3. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/checks.h"

static const char *name;
static shmkv_t *kv;
static struct segment *seg;

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
    seg = segment_of(kv);
}

static void tear_down(void) { finish(kv, name); }

static struct place place_of(const char *key) {
    struct place place;
    uint64_t hash = hash_of(kv, key, strlen(key));
    struct context *ctx = context_of(kv);
    ck_assert_ok(
        table_find(ctx, &seg->shards[hash_shard(seg, hash)], hash, key, strlen(key), &place));
    context_release(ctx);
    return place;
}

/* ----------------------------------------------------------------------- placement */

/* proves [LAYOUT-20] [OP-12] */
START_TEST(test_key_goes_to_the_shard_bucket_and_tag_of_its_hash) {
    put_text(kv, "some key", "v");
    uint64_t hash = hash_of(kv, "some key", 8);
    struct place place = place_of("some key");
    ck_assert_uint_ne(place.word, 0);
    ck_assert_uint_eq(FIELD(place.word, SLOT_TAG), hash >> 48);
    ck_assert_uint_eq(FIELD(place.group->head, RUN_INDEX), hash & 63);
    bucket_t *bucket = group_bucket(place.group, (unsigned)(((hash >> 32 & 0xffff) * 63) >> 16));
    ck_assert_ptr_eq(place.slot, &bucket->slots[0]);
    ck_assert_uint_eq(seg->shards[hash & 63].count, 1);
}
END_TEST

START_TEST(test_key_when_absent_is_given_the_first_empty_slot) {
    struct key_search s = {.seed = seg->seed, .bucket = -1, .prefix = "k"};
    char first[KEY_TEXT_SIZE], key[KEY_TEXT_SIZE];
    key_find(&s, first);
    s = search_like(kv, first, 0, true, "b");
    char keys[6][KEY_TEXT_SIZE];
    put_text(kv, first, "v");
    for (int i = 0; i < 6; i++) {
        key_find(&s, keys[i]);
        put_text(kv, keys[i], "v");
    }
    bucket_t *bucket = (bucket_t *)(void *)place_of(first).slot;
    ck_assert_ok(shmkv_delete(kv, keys[1], strlen(keys[1])));
    ck_assert_ok(shmkv_delete(kv, keys[3], strlen(keys[3])));
    key_find(&s, key);
    ck_assert_ptr_eq(place_of(key).slot, &bucket->slots[2]);
    put_text(kv, key, "w");
    ck_assert_uint_ne(bucket->slots[2], 0);
    ck_assert_value(kv, key, "w");
}
END_TEST

START_TEST(test_count_and_changes_follow_every_commit) { /* proves [OP-13] */
    put_text(kv, "k", "v");
    shard_t *shard = &seg->shards[hash_of(kv, "k", 1) & 63];
    uint64_t changes = shard->changes;
    put_text(kv, "k", "w");
    ck_assert_uint_eq(shard->count, 1);
    ck_assert_uint_eq(shard->changes, changes + 1);
    ck_assert_ok(shmkv_delete(kv, "k", 1));
    ck_assert_uint_eq(shard->count, 0);
    ck_assert_uint_eq(shard->changes, changes + 2);
    ck_assert_err(shmkv_delete(kv, "k", 1), SHMKV_ENOTFOUND);
    ck_assert_uint_eq(shard->changes, changes + 2);
}
END_TEST

/* ----------------------------------------------------------------------- collisions */

/* Pairs of numbers whose hashes agree in shard, bucket and tag, by birthday. */
struct hashed {
    uint64_t same, key;
};

static int by_hash(const void *a, const void *b) {
    uint64_t x = ((const struct hashed *)a)->same, y = ((const struct hashed *)b)->same;
    return (x > y) - (x < y);
}

START_TEST(test_keys_when_shard_bucket_and_tag_agree_are_told_apart) {
    enum { N = 200000 };
    struct hashed *all = calloc(N, sizeof *all);
    for (uint64_t i = 0; i < N; i++) {
        uint64_t hash = hash_bytes(&i, sizeof i, seg->seed);
        all[i] = (struct hashed){(hash & 63) | hash_bucket(hash) << 6 | (hash >> 48) << 12, i};
    }
    qsort(all, N, sizeof *all, by_hash);
    unsigned pairs = 0;
    for (uint64_t i = 1; i < N && pairs < 40; i++) {
        if (all[i].same != all[i - 1].same)
            continue;
        pairs++;
        uint64_t a = all[i - 1].key, b = all[i].key, got;
        ck_assert_ok(shmkv_put(kv, &a, sizeof a, &a, sizeof a));
        ck_assert_err(shmkv_exists(kv, &b, sizeof b), SHMKV_ENOTFOUND);
        ck_assert_err(shmkv_delete(kv, &b, sizeof b), SHMKV_ENOTFOUND);
        ck_assert_ok(shmkv_put(kv, &b, sizeof b, &b, sizeof b));
        ck_assert_ok(shmkv_get(kv, &a, sizeof a, &got, sizeof got, NULL));
        ck_assert_uint_eq(got, a);
        ck_assert_ok(shmkv_get(kv, &b, sizeof b, &got, sizeof got, NULL));
        ck_assert_uint_eq(got, b);
        ck_assert_ok(shmkv_delete(kv, &a, sizeof a));
        ck_assert_ok(shmkv_exists(kv, &b, sizeof b));
    }
    printf("%u pairs\n", pairs);
    ck_assert_uint_gt(pairs, 10);
    free(all);
}
END_TEST

START_TEST(test_keys_when_one_is_the_beginning_of_another_are_told_apart) {
    char key[100];
    memset(key, 'a', sizeof key);
    for (size_t n = 1; n <= sizeof key; n++)
        ck_assert_ok(shmkv_put(kv, key, n, &n, sizeof n));
    for (size_t n = 1; n <= sizeof key; n++) {
        size_t got;
        ck_assert_ok(shmkv_get(kv, key, n, &got, sizeof got, NULL));
        ck_assert_uint_eq(got, n);
    }
    ck_assert_uint_eq(count_of(kv), sizeof key);
}
END_TEST

/* --------------------------------------------------------------------------- damage */

static char *key = (char *)(uintptr_t) "the key";

/* Readers and writers of the key say ECORRUPT, or at least verify does and nobody
 * crashes; then the word is put right. proves [OP-01] [OP-02] [LAYOUT-04] */
static void expect_damage(uint64_t *word, uint64_t wrong, bool sure) {
    uint64_t right = *word;
    char buf[64];
    size_t len;
    *word = wrong;
    uint64_t problems;
    int verified = shmkv_verify(kv, NULL, NULL, &problems);
    int got = shmkv_get(kv, key, strlen(key), buf, sizeof buf, &len);
    int put = sure ? shmkv_put(kv, key, strlen(key), "new", 3) : SHMKV_OK;
    shmkv_cursor_t *c;
    ck_assert_ok(shmkv_cursor_open(kv, 0, &c));
    const void *k, *v;
    size_t kl, vl;
    int walked;
    unsigned steps = 0;
    while ((walked = shmkv_cursor_next(c, &k, &kl, &v, &vl)) == SHMKV_OK)
        ck_assert_uint_lt(++steps, 1000);
    shmkv_cursor_close(c);
    shmkv_snapshot_t *snapshot;
    int snapped = shmkv_snapshot(kv, &snapshot);
    if (!snapped)
        shmkv_snapshot_free(snapshot);
    /* A put that worked has replaced the damage. */
    if (*word == wrong)
        *word = right;
    if (sure) {
        ck_assert_msg(got == SHMKV_ECORRUPT, "get with 0x%llx: %s", (unsigned long long)wrong,
                      result_name(got));
        ck_assert_msg(put == SHMKV_ECORRUPT, "put with 0x%llx: %s", (unsigned long long)wrong,
                      result_name(put));
        ck_assert_msg(walked == SHMKV_ECORRUPT, "cursor with 0x%llx: %s", (unsigned long long)wrong,
                      result_name(walked));
        ck_assert_msg(snapped == SHMKV_ECORRUPT, "snapshot with 0x%llx: %s",
                      (unsigned long long)wrong, result_name(snapped));
    }
    ck_assert_msg(verified == SHMKV_ECORRUPT, "verify with 0x%llx: %s", (unsigned long long)wrong,
                  result_name(verified));
}

static const uint64_t *wild_offsets(size_t *n) {
    static uint64_t wild[6];
    wild[0] = 0x1000;                              /* the owner slots */
    wild[1] = seg->data_offset - SHMKV_PAGE_SIZE;  /* before the first run */
    wild[2] = info_of(kv).file_size;               /* just beyond the file */
    wild[3] = 1ULL << 34;                          /* in the reservation, beyond the file */
    wild[4] = SHMKV_MAX_SEGMENT - SHMKV_PAGE_SIZE; /* beyond the reservation */
    wild[5] = 0x10;                                /* the header */
    *n = 6;
    return wild;
}

START_TEST(test_find_when_the_root_is_damaged_is_ecorrupt) {
    put_text(kv, key, "v");
    uint64_t *root = &seg->shards[hash_of(kv, key, strlen(key)) & 63].root;
    size_t n;
    const uint64_t *wild = wild_offsets(&n);
    for (size_t i = 0; i < n; i++)
        expect_damage(root, (*root & ~OFFSET_IN_WORD) | wild[i], true);
    expect_damage(root, *root | IN_PLACE(ROOT_DEPTH), true);
    expect_damage(root, *root | MAKE(ROOT_DEPTH, 26), true);
    expect_damage(root, *root | IN_PLACE(ROOT_CLASS), false);
}
END_TEST

START_TEST(test_find_when_a_directory_word_is_damaged_is_ecorrupt) {
    put_text(kv, key, "v");
    uint64_t root = seg->shards[hash_of(kv, key, strlen(key)) & 63].root;
    uint64_t *word = &directory_words(table_directory(seg, root))[0];
    size_t n;
    const uint64_t *wild = wild_offsets(&n);
    for (size_t i = 0; i < n; i++)
        expect_damage(word, wild[i] & PAGE_IN_WORD, true);
    expect_damage(word, *word | IN_PLACE(DIRECTORY_DEPTH), true);
    expect_damage(word, 0, true);
}
END_TEST

START_TEST(test_put_when_a_directory_word_leads_to_a_slab_is_ecorrupt) {
    put_text(kv, key, "v");
    uint64_t root = seg->shards[hash_of(kv, key, strlen(key)) & 63].root;
    uint64_t *word = &directory_words(table_directory(seg, root))[0], right = *word;
    uint64_t slab = place_of(key).word & PAGE_IN_WORD;
    run_t *run = seg_at(seg, slab, sizeof *run);
    ck_assert_uint_eq(FIELD(head_of(run), RUN_KIND), SHMKV_RUN_KIND_SLAB);
    *word = slab;
    ck_assert_err(shmkv_put(kv, key, strlen(key), "w", 1), SHMKV_ECORRUPT);
    ck_assert_detail("leads to no group");
    *word = right;
    ck_assert_value(kv, key, "v");
}
END_TEST

/* Words that do not follow from each other could make a walk look at each of them for
 * each of them: 2^50 looks. Its budget ends that. */
START_TEST(test_groups_when_a_directory_makes_no_sense_cost_no_more_than_the_budget) {
    uint64_t group = seg->data_offset, words[8], budget = 3;
    struct group_view view;
    put_text(kv, key, "v"); /* so that the offsets are in the file */
    for (uint64_t i = 0; i < 8; i++)
        words[i] = group + i * SHMKV_PAGE_SIZE; /* depth 0, and all different */
    ck_assert_int_eq(group_view_at(seg, words, 3, 0, 0, 7, &budget, &view), E_RETRY);
    ck_assert_uint_eq(budget, 0);
    for (uint64_t i = 0; i < 8; i++)
        words[i] = group;
    budget = 3;
    ck_assert_int_eq(group_view_at(seg, words, 3, 0, 0, 0, &budget, &view), SHMKV_OK);
    ck_assert_uint_eq(budget, 0);
    ck_assert(!view.exact); /* not known, so every key is looked at */
    budget = group_view_budget(3);
    ck_assert_int_eq(group_view_at(seg, words, 3, 0, 0, 0, &budget, &view), SHMKV_OK);
    ck_assert(view.exact);
    ck_assert_int_eq(group_view_at(seg, words, 3, 0, 0, 5, &budget, &view), SHMKV_OK);
    ck_assert_ptr_null(view.group); /* seen before */
    ck_assert_uint_gt(budget, 0);
}
END_TEST

START_TEST(test_find_when_a_slot_is_damaged_is_ecorrupt) {
    put_text(kv, key, "v");
    uint64_t *slot = place_of(key).slot;
    size_t n;
    const uint64_t *wild = wild_offsets(&n);
    for (size_t i = 0; i < n; i++)
        expect_damage(slot, (*slot & ~OFFSET_IN_WORD) | wild[i], true);
    expect_damage(slot, *slot | IN_PLACE(SLOT_CLASS), true);
}
END_TEST

START_TEST(test_find_when_a_link_is_damaged_is_ecorrupt) {
    /* The key does not stand in the bucket, so that all must follow the link. */
    struct key_search s = search_like(kv, key, 0, true, "b");
    char other[KEY_TEXT_SIZE];
    for (int i = 0; i < 7; i++) {
        key_find(&s, other);
        put_text(kv, other, "v");
    }
    put_text(kv, key, "v");
    bucket_t *bucket =
        group_bucket(place_of(key).group, hash_bucket(hash_of(kv, key, strlen(key))));
    ck_assert_uint_ne(bucket->link, 0);
    size_t n;
    const uint64_t *wild = wild_offsets(&n);
    for (size_t i = 0; i < n; i++)
        expect_damage(&bucket->link, (bucket->link & ~OFFSET_IN_WORD) | round_up(wild[i], 64),
                      true);
    expect_damage(&bucket->link, bucket->link + 8, true); /* off its line */
    /* A loop: the overflow bucket leads to itself, and the key is not in it. */
    bucket_t *overflow = bucket_at_link(seg, bucket->link);
    uint64_t slot = overflow->slots[0];
    overflow->slots[0] = 0;
    for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++)
        overflow->slots[i] = bucket->slots[0];
    expect_damage(&overflow->link, bucket->link, true);
    memset(overflow->slots, 0, sizeof overflow->slots);
    overflow->slots[0] = slot;
}
END_TEST

START_TEST(test_find_when_a_record_is_damaged_is_ecorrupt) {
    put_text(kv, key, "v");
    record_t *rec = record_at(seg, place_of(key).word);
    expect_damage(&rec->version, rec->version + 1, false);
    rec = record_at(seg, place_of(key).word);
    uint64_t *lengths = (uint64_t *)(void *)&rec->value_len;
    expect_damage(lengths, *lengths | 0xffffffff, true);
    expect_damage(lengths, *lengths | 0xffffULL << 32, true);
    expect_damage(lengths, ~0ULL, true);
}
END_TEST

/* A large record that claims to reach beyond its run. proves [LAYOUT-16] */
START_TEST(test_find_when_a_large_record_is_too_long_for_its_run_is_ecorrupt) {
    static char value[100000];
    ck_assert_ok(shmkv_put(kv, key, strlen(key), value, sizeof value));
    record_t *rec = record_at(seg, place_of(key).word);
    uint64_t *lengths = (uint64_t *)(void *)&rec->value_len;
    expect_damage(lengths, (*lengths & ~0xffffffffULL) | 110000, true);
    expect_damage(lengths, *lengths | 0xffffffff, true);
}
END_TEST

static Suite *table_suite(void) {
    Suite *s = suite_create("table");
    TCase *tc = case_new(s, "placement");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_key_goes_to_the_shard_bucket_and_tag_of_its_hash);
    tcase_add_test(tc, test_key_when_absent_is_given_the_first_empty_slot);
    tcase_add_test(tc, test_count_and_changes_follow_every_commit);
    tc = case_new(s, "collisions");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_keys_when_shard_bucket_and_tag_agree_are_told_apart);
    tcase_add_test(tc, test_keys_when_one_is_the_beginning_of_another_are_told_apart);
    tc = case_new(s, "damage");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_find_when_the_root_is_damaged_is_ecorrupt);
    tcase_add_test(tc, test_find_when_a_directory_word_is_damaged_is_ecorrupt);
    tcase_add_test(tc, test_put_when_a_directory_word_leads_to_a_slab_is_ecorrupt);
    tcase_add_test(tc, test_groups_when_a_directory_makes_no_sense_cost_no_more_than_the_budget);
    tcase_add_test(tc, test_find_when_a_slot_is_damaged_is_ecorrupt);
    tcase_add_test(tc, test_find_when_a_link_is_damaged_is_ecorrupt);
    tcase_add_test(tc, test_find_when_a_record_is_damaged_is_ecorrupt);
    tcase_add_test(tc, test_find_when_a_large_record_is_too_long_for_its_run_is_ecorrupt);
    return s;
}

int main(void) { return suite_main(table_suite()); }
