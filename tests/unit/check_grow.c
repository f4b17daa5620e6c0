/* How the index grows. Spec 6.8. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

static unsigned root_depth(uint32_t shard) { return (unsigned)FIELD(seg->shards[shard].root, ROOT_DEPTH); }

/* Groups of a shard, and the deepest. */
static unsigned groups_of(uint32_t shard, unsigned *deepest) {
    uint64_t root = seg->shards[shard].root;
    unsigned n = 0, depth = root_depth(shard);
    *deepest = 0;
    for (uint64_t i = 0; root && i < 1ULL << depth; i++) {
        uint64_t word = directory_words(table_directory(seg, root))[i];
        unsigned local = (unsigned)FIELD(word, DIRECTORY_DEPTH);
        n += i >> local == 0;
        if (local > *deepest)
            *deepest = local;
    }
    return n;
}

static void put_found(struct key_search *s, unsigned n) {
    char key[KEY_TEXT_SIZE];
    for (unsigned i = 0; i < n; i++) {
        key_find(s, key);
        put_text(kv, key, key);
    }
}

/* Every key that the search gives from its beginning is there. */
static void expect_found(struct key_search s, unsigned n) {
    char key[KEY_TEXT_SIZE];
    s.next = 0;
    for (unsigned i = 0; i < n; i++) {
        key_find(&s, key);
        ck_assert_value(kv, key, key);
    }
}

/* -------------------------------------------------------------------- first, chain */

START_TEST(test_shard_when_first_written_gets_one_group_of_depth_0) {
    ck_assert_uint_eq(seg->shards[9].root, 0);
    struct key_search s = search_shard(kv, 9, "k");
    put_found(&s, 1);
    unsigned deepest;
    ck_assert_uint_eq(groups_of(9, &deepest), 1);
    ck_assert_uint_eq(root_depth(9), 0);
    ck_assert_uint_eq(stats_of(kv).shards_used, 1);
    ck_assert_uint_eq(stats_of(kv).group_bytes, SHMKV_PAGE_SIZE);
}
END_TEST

START_TEST(test_bucket_when_full_gets_overflow_buckets) {
    struct key_search s = search_shard(kv, 9, "k");
    s.bucket = 17;
    put_found(&s, 7);
    uint64_t cells = stats_of(kv).cells_used;
    put_found(&s, 1);
    ck_assert_uint_eq(stats_of(kv).cells_used, cells + 2); /* a record, a bucket */
    put_found(&s, 6);
    ck_assert_uint_eq(stats_of(kv).cells_used, cells + 8);
    put_found(&s, 1);
    ck_assert_uint_eq(stats_of(kv).cells_used, cells + 10);
    unsigned deepest;
    ck_assert_uint_eq(groups_of(9, &deepest), 1);
    expect_found(s, 15);
}
END_TEST

/* -------------------------------------------------------------------------- split */

/* proves [LAYOUT-19] [OP-16]: verify looks at every word and every key's place */
START_TEST(test_group_when_full_is_split_and_the_directory_doubled) {
    struct key_search s = search_shard(kv, 9, "k");
    unsigned n = 0, deepest;
    while (root_depth(9) == 0) {
        put_found(&s, 1);
        ck_assert_uint_le(++n, 63 * 7 + 1);
    }
    ck_assert_uint_ge(n, 320);
    ck_assert_uint_eq(groups_of(9, &deepest), 2);
    ck_assert_uint_eq(deepest, 1);
    ck_assert_uint_eq(seg->shards[9].count, n);
    ck_assert_whole(kv);
    expect_found(s, n);
    /* The old group and the old directory are free again. */
    ck_assert_uint_eq(stats_of(kv).group_bytes, 2 * SHMKV_PAGE_SIZE);
}
END_TEST

START_TEST(test_group_when_shallower_than_the_directory_is_split_without_doubling) {
    struct key_search zero = search_shard(kv, 9, "zero"), one = search_shard(kv, 9, "one");
    zero.mask |= 64, one.mask |= 64, one.value |= 64;
    unsigned zeros = 0, ones = 0, deepest;
    for (; root_depth(9) < 2; zeros++)
        put_found(&zero, 1);
    ck_assert_uint_eq(groups_of(9, &deepest), 3);
    for (; groups_of(9, &deepest) == 3; ones++)
        put_found(&one, 1);
    ck_assert_uint_eq(root_depth(9), 2);
    ck_assert_uint_eq(groups_of(9, &deepest), 4);
    expect_found(zero, zeros);
    expect_found(one, ones);
}
END_TEST

START_TEST(test_index_when_it_grows_to_20000_keys_finds_each) {
    for (uint32_t i = 0; i < 20000; i++) {
        ck_assert_ok(shmkv_put(kv, &i, sizeof i, &i, sizeof i));
        if (i % 4000 == 0)
            ck_assert_whole(kv);
    }
    ck_assert_uint_eq(count_of(kv), 20000);
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t got, absent = i + 1000000;
        ck_assert_ok(shmkv_get(kv, &i, sizeof i, &got, sizeof got, NULL));
        ck_assert_uint_eq(got, i);
        ck_assert_err(shmkv_exists(kv, &absent, sizeof absent), SHMKV_ENOTFOUND);
    }
    struct shmkv_stats st = stats_of(kv);
    ck_assert_uint_eq(st.shards_used, SHMKV_DEFAULT_SHARDS);
    ck_assert_uint_ge(st.group_bytes / SHMKV_PAGE_SIZE, SHMKV_DEFAULT_SHARDS);
    ck_assert_whole(kv);
    for (uint32_t i = 0; i < 20000; i++)
        ck_assert_ok(shmkv_delete(kv, &i, sizeof i));
    ck_assert_uint_eq(count_of(kv), 0);
}
END_TEST

/* proves [LAYOUT-21] */
START_TEST(test_index_when_emptied_keeps_its_depth) {
    struct key_search s = search_shard(kv, 9, "k"), again;
    put_found(&s, 1500);
    unsigned depth = root_depth(9), deepest, groups = groups_of(9, &deepest);
    ck_assert_uint_ge(depth, 2);
    again = search_shard(kv, 9, "k");
    char key[KEY_TEXT_SIZE];
    for (int i = 0; i < 1500; i++) {
        key_find(&again, key);
        ck_assert_ok(shmkv_delete(kv, key, strlen(key)));
    }
    ck_assert_uint_eq(root_depth(9), depth);
    ck_assert_uint_eq(groups_of(9, &deepest), groups);
    again = search_shard(kv, 9, "k");
    put_found(&again, 1500);
    ck_assert_uint_eq(root_depth(9), depth);
}
END_TEST

/* -------------------------------------------------------------------------- hostile */

/* Keys made to share shard and low directory bits must not make the directory
 * double for ever: it chains instead. proves [LAYOUT-18] [LAYOUT-22] */
START_TEST(test_keys_when_chosen_to_share_directory_bits_chain) {
    struct key_search s = search_shard(kv, 9, "k");
    s.mask = (1 << 13) - 1; /* 6 bits of the shard, 7 of the directory */
    put_found(&s, 1000);
    unsigned deepest;
    printf("depth %u, %u groups\n", root_depth(9), groups_of(9, &deepest));
    ck_assert_uint_le(1u << root_depth(9), 16 + 16 * (1000 / 128));
    ck_assert_uint_le(stats_of(kv).limit, 4 << 20);
    expect_found(s, 1000);
}
END_TEST

START_TEST(test_keys_when_chosen_to_share_a_bucket_chain) {
    struct key_search s = search_shard(kv, 9, "k");
    s.bucket = 5;
    put_found(&s, 700);
    expect_found(s, 700);
    ck_assert_uint_le(stats_of(kv).limit, 4 << 20);
}
END_TEST

/* A full chain, without a key in it, behind each bucket of the group. */
static struct place tangle_full(const char *key, unsigned links) {
    struct place tangle = tangle_chains(kv, key, links);
    uint64_t word = (tangle.word & CELL_IN_WORD) | (~tangle.word & IN_PLACE(SLOT_TAG));
    uint64_t link = group_bucket(tangle.group, 0)->link;
    for (bucket_t *b; link; link = b->link) {
        b = bucket_at_link(seg, link);
        for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++)
            b->slots[i] = word;
    }
    for (unsigned i = 0; i < SHMKV_GROUP_BUCKETS; i++)
        for (int k = 0; k < SHMKV_BUCKET_SLOTS; k++)
            group_bucket(tangle.group, i)->slots[k] = word;
    return tangle;
}

/* A split would give each of the buckets a chain of its own, and fill the file system. proves [OP-01] */
START_TEST(test_group_when_its_chains_share_a_tail_is_not_split) {
    struct place tangle = tangle_full("tangled", 3000);
    uint64_t limit = seg->space->limit;
    ck_assert_err(shmkv_put(kv, "tangled", 7, "v", 1), SHMKV_ECORRUPT);
    ck_assert_detail("chains do not end");
    ck_assert_uint_le(seg->space->limit, limit + SHMKV_SLICE_SIZE);
    for (unsigned i = 0; i < SHMKV_GROUP_BUCKETS; i++)
        memset(group_bucket(tangle.group, i)->slots, 0, sizeof tangle.last->slots);
    tangle_undo(&tangle);
}
END_TEST

/* A split hashes the keys. proves [OP-01] */
START_TEST(test_group_of_one_long_key_in_all_slots_is_not_split) {
    static struct pile pile;
    char key[KEY_TEXT_SIZE];
    pile_up(kv, &pile);
    struct key_search s = search_shard(kv, PILE_SHARD, "new");
    do
        key_find(&s, key);
    while ((hash_directory(seg, hash_of(kv, key, strlen(key))) & ((1ULL << root_depth(PILE_SHARD)) - 1)) !=
           pile.index);
    ck_assert_err(shmkv_put(kv, key, strlen(key), "v", 1), SHMKV_ECORRUPT);
    ck_assert_detail("longer than the file");
    pile_undo(&pile);
}
END_TEST

/* ------------------------------------------------------------------------- together */

static void put_own_keys(void *arg) {
    uint64_t base = (uint64_t)(uintptr_t)arg << 32;
    shmkv_t *mine = open_ok(name, NULL);
    for (uint64_t i = 0; i < 15000; i++) {
        uint64_t key = base + i;
        ck_assert_ok(shmkv_put(mine, &key, sizeof key, &key, sizeof key));
    }
    ck_assert_ok(shmkv_close(mine));
}

START_TEST(test_index_when_four_processes_grow_it_has_all_their_keys) {
    pid_t pids[4];
    for (uintptr_t i = 0; i < 4; i++)
        pids[i] = child_start(put_own_keys, (void *)(i + 1));
    for (int i = 0; i < 4; i++)
        ck_assert(child_succeeded(pids[i]));
    ck_assert_uint_eq(count_of(kv), 60000);
    for (uint64_t p = 1; p <= 4; p++)
        for (uint64_t i = 0; i < 15000; i++) {
            uint64_t key = (p << 32) + i;
            ck_assert_ok(shmkv_exists(kv, &key, sizeof key));
        }
}
END_TEST

/* ------------------------------------------------------------------ what is gone */

#define FRESH 1000000 /* keys that have expired as soon as they are there */
#define LASTING 5000

static void put_number(uint64_t n, unsigned flags, uint64_t expires_ns) {
    const struct shmkv_item item = {.data = &n, .len = sizeof n, .flags = flags, .expires_ns = expires_ns};
    ck_assert_ok(shmkv_put_item(kv, &n, sizeof n, &item));
}

static int put_three(void *arg, shmkv_txn_t *txn) {
    for (size_t i = 0; i < 3; i++)
        ck_assert_ok(shmkv_txn_put(txn, i, arg));
    return SHMKV_OK;
}

static void put_three_together(uint64_t n) {
    const uint64_t numbers[3] = {n, n + 1, n + 2};
    const struct shmkv_bytes keys[3] = {
        {&numbers[0], sizeof n}, {&numbers[1], sizeof n}, {&numbers[2], sizeof n}};
    struct shmkv_item item = {.data = "v", .len = 1, .expires_ns = 1};
    ck_assert_ok(shmkv_transaction(kv, 3, keys, put_three, &item));
}

/* Nobody sweeps. proves [OP-32] */
START_TEST(test_index_does_not_grow_by_what_has_expired) {
    for (uint64_t n = 0; n < LASTING; n++)
        put_number(n, 0, 0);
    uint64_t next = LASTING;
    for (; next < 50000; next++)
        put_number(next, 0, 1);
    struct shmkv_stats early = stats_of(kv);
    for (; next < FRESH; next += _i ? 3 : 1)
        if (_i)
            put_three_together(next);
        else
            put_number(next, 0, 1);
    struct shmkv_stats late = stats_of(kv);
    ck_assert_uint_le(late.limit, 2 * early.limit);
    ck_assert_uint_le(late.entries, 2 * early.entries);
    ck_assert_uint_le(late.group_bytes, 2 * early.group_bytes);
    for (uint64_t n = 0; n < LASTING; n++)
        ck_assert_ok(shmkv_exists(kv, &n, sizeof n));
    ck_assert_whole(kv);
}
END_TEST

#define BOUND 20000

static struct gate bound;

static void bind_some(void *from) {
    kv = open_ok(name, NULL);
    for (uint64_t n = 0; n < BOUND; n++)
        put_number(*(uint64_t *)from + n, SHMKV_BOUND, 0);
    gate_open(&bound);
    for (;;)
        pause();
}

START_TEST(test_index_does_not_grow_by_what_was_bound_to_the_dead) {
    uint64_t first = 0;
    bound = gate_new();
    for (int round = 0; round < 6; round++) {
        uint64_t before = stats_of(kv).limit;
        pid_t pid = child_start(bind_some, &first);
        ck_assert(gate_wait_from(&bound, pid));
        ck_assert(child_kill(pid));
        first += BOUND;
        if (round > 1)
            ck_assert_uint_le(stats_of(kv).limit, before + before / 4);
    }
    ck_assert_uint_le(count_of(kv), 2 * BOUND);
    ck_assert_whole(kv);
}
END_TEST

static Suite *grow_suite(void) {
    Suite *s = suite_create("grow");
    TCase *tc = case_new(s, "first group and chains");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_shard_when_first_written_gets_one_group_of_depth_0);
    tcase_add_test(tc, test_bucket_when_full_gets_overflow_buckets);
    tc = case_new(s, "split");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_group_when_full_is_split_and_the_directory_doubled);
    tcase_add_test(tc, test_group_when_shallower_than_the_directory_is_split_without_doubling);
    tcase_add_test(tc, test_index_when_it_grows_to_20000_keys_finds_each);
    tcase_add_test(tc, test_index_when_emptied_keeps_its_depth);
    tc = case_new(s, "what is gone");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_index_does_not_grow_by_what_has_expired, 0, 2);
    tcase_add_test(tc, test_index_does_not_grow_by_what_was_bound_to_the_dead);
    tc = case_new(s, "hostile keys");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_keys_when_chosen_to_share_directory_bits_chain);
    tcase_add_test(tc, test_group_when_its_chains_share_a_tail_is_not_split);
    tcase_add_test(tc, test_group_of_one_long_key_in_all_slots_is_not_split);
    tcase_add_test(tc, test_keys_when_chosen_to_share_a_bucket_chain);
    tc = case_new(s, "together");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_index_when_four_processes_grow_it_has_all_their_keys);
    return s;
}

int main(void) { return suite_main(grow_suite()); }
