/* A segment that is a cache: bounds, and what goes when they are reached. Spec 6.16. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define BOUND 200

static const char *name;
static shmkv_t *kv;
static unsigned marked(void);

static shmkv_t *cache_of(uint64_t max_entries, uint64_t max_bytes) {
    struct shmkv_options opts = {
        .size = sizeof opts, .max_entries = max_entries, .max_bytes = max_bytes};
    return open_ok(name, &opts);
}

static void set_up(void) {
    name = unique_name();
    kv = cache_of(BOUND, 0);
}

static void tear_down(void) { finish(kv, name); }

#define KEY_SIZE 32
static const char *key_of(const char *prefix, unsigned i) {
    static char key[KEY_SIZE];
    snprintf(key, sizeof key, "%s-%u", prefix, i);
    return key;
}

static int put_key(const char *prefix, unsigned i, size_t len) {
    static const uint8_t value[1 << 20];
    const char *key = key_of(prefix, i);
    return shmkv_put(kv, key, strlen(key), value, len);
}

/* A get, as a user does it: it marks. */
static bool got(const char *prefix, unsigned i) {
    uint8_t value[128];
    size_t len;
    const char *key = key_of(prefix, i);
    int err = shmkv_get(kv, key, strlen(key), value, sizeof value, &len);
    ck_assert(err == SHMKV_OK || err == SHMKV_ENOTFOUND || err == SHMKV_ETOOSMALL);
    return err != SHMKV_ENOTFOUND;
}

/* Is it there? Without marking: a cursor does not. */
static unsigned found_with(const char *prefix) {
    shmkv_cursor_t *c;
    const void *key, *val;
    size_t key_len, val_len;
    unsigned n = 0;
    ck_assert_ok(shmkv_cursor_open(kv, SHMKV_KEYS_ONLY, &c));
    while (shmkv_cursor_next(c, &key, &key_len, &val, &val_len) == SHMKV_OK)
        n += key_len > strlen(prefix) && memcmp(key, prefix, strlen(prefix)) == 0;
    shmkv_cursor_close(c);
    return n;
}

static void put_many(const char *prefix, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        ck_assert_ok(put_key(prefix, i, 8));
}

/* ------------------------------------------------------------------------- bounds */

START_TEST(test_a_bound_on_entries_is_reached_and_kept) {
    /* proves [EVICT-01] */
    ck_assert_uint_eq(info_of(kv).max_entries, BOUND);
    ck_assert_uint_eq(info_of(kv).evicts, 1);
    for (unsigned i = 0; i < 10 * BOUND; i++) {
        ck_assert_ok(put_key("k", i, 8));
        ck_assert_uint_le(count_of(kv), BOUND);
        ck_assert(got("k", i));
    }
    ck_assert_uint_eq(count_of(kv), BOUND);
    ck_assert_uint_eq(stats_of(kv).evictions, 9 * BOUND);
}
END_TEST

START_TEST(test_replacing_evicts_nobody) {
    put_many("k", BOUND);
    for (unsigned i = 0; i < 3 * BOUND; i++)
        ck_assert_ok(put_key("k", i % BOUND, i % 64));
    ck_assert_uint_eq(count_of(kv), BOUND);
    ck_assert_uint_eq(stats_of(kv).evictions, 0);
}
END_TEST

START_TEST(test_large_bounds_are_kept_in_sum) {
    const uint64_t bound = 20000;
    finish(kv, name);
    kv = cache_of(bound, 0);
    ck_assert_uint_gt(info_of(kv).shard_count, 1);
    put_many("k", 30000);
    ck_assert_uint_le(count_of(kv), bound);
    ck_assert_uint_gt(count_of(kv), bound / 10 * 9);
    ck_assert_uint_eq(count_of(kv) + stats_of(kv).evictions, 30000);
}
END_TEST

START_TEST(test_a_bound_on_bytes_is_kept) {
    const uint64_t bound = 1 << 20;
    finish(kv, name);
    kv = cache_of(0, bound);
    uint64_t most = 0;
    for (unsigned i = 0; i < 3000; i++) {
        ck_assert_ok(put_key("k", i * 7 % 1000, i * 61 % 20000));
        uint64_t bytes = stats_of(kv).entry_bytes;
        ck_assert_uint_le(bytes, bound);
        most = bytes > most ? bytes : most;
    }
    ck_assert_uint_gt(most, bound / 10 * 9);
    ck_assert_whole(kv);
    uint64_t removed;
    ck_assert_ok(shmkv_clear(kv, &removed));
    ck_assert_uint_eq(stats_of(kv).entry_bytes, 0);
}
END_TEST

START_TEST(test_what_can_never_fit_is_refused) {
    const uint64_t bound = 64 << 10;
    finish(kv, name);
    kv = cache_of(0, bound);
    put_many("k", 10);
    ck_assert_err(put_key("large", 0, 70000), SHMKV_EVALUE);
    ck_assert_detail("max_bytes");
    ck_assert_uint_eq(found_with("k"), 10);
    /* A replacement of its own entry is measured by what it becomes. */
    ck_assert_ok(put_key("large", 0, 50000));
    ck_assert_ok(put_key("large", 0, 60000));
    ck_assert_uint_eq(found_with("large"), 1);
}
END_TEST

START_TEST(test_an_ordinary_segment_evicts_nothing) {
    finish(kv, name);
    kv = open_ok(
        name, &(struct shmkv_options){.size = sizeof(struct shmkv_options), .max_size = 1 << 20});
    unsigned n = 0;
    while (put_key("k", n, 1000) == SHMKV_OK)
        n++;
    ck_assert_err(put_key("k", n, 1000), SHMKV_ENOSPC);
    ck_assert_uint_eq(count_of(kv), n);
    ck_assert_uint_eq(info_of(kv).ro_compat, 0);
    ck_assert_uint_eq(info_of(kv).evicts, 0);
    ck_assert_uint_eq(stats_of(kv).evictions, 0);
    ck_assert_uint_eq(stats_of(kv).entry_bytes, 0);
}
END_TEST

/* ---------------------------------------------------------------------- no more room */

static void open_full(uint64_t max_size) {
    finish(kv, name);
    kv = open_ok(name, &(struct shmkv_options){
                           .size = sizeof(struct shmkv_options), .max_size = max_size, .evict = 1});
}

START_TEST(test_a_full_segment_evicts_if_it_is_to) {
    open_full(2 << 20);
    for (unsigned i = 0; i < 20000; i++) {
        ck_assert_ok(put_key("k", i, 100));
        ck_assert(got("k", i));
    }
    ck_assert_uint_gt(stats_of(kv).evictions, 0);
    ck_assert_uint_gt(count_of(kv), 4000);
    ck_assert_uint_le(stats_of(kv).limit, 2 << 20);
}
END_TEST

START_TEST(test_a_full_segment_makes_room_for_large_values) {
    open_full(2 << 20);
    for (unsigned i = 0; i < 5000; i++)
        ck_assert_ok(put_key("k", i, 100));
    /* Not in a run that must be had in one piece; but in cells of another size. */
    for (unsigned i = 0; i < 200; i++)
        ck_assert_ok(put_key("large", i, 4000));
    ck_assert_uint_ge(found_with("large"), 20);
}
END_TEST

/* A shard that gets its first entry when there is no page left for its index. */
START_TEST(test_a_full_segment_makes_room_for_a_first_entry) {
    open_full(16 << 20);
    struct segment *seg = segment_of(kv);
    ck_assert_uint_gt(seg->shard_count, 1);
    for (unsigned i = 0; stats_of(kv).evictions < 10; i++) {
        const char *key = key_of("k", i);
        if (hash_shard(seg, hash_bytes(key, strlen(key), seg->seed)) == 0)
            ck_assert_ok(put_key("k", i, 200000));
    }
    /* And the pages that are left over, two entries in each. */
    for (unsigned i = 0; stats_of(kv).free_bytes > 0; i++) {
        ck_assert_uint_lt(i, 10000);
        const char *key = key_of("page", i);
        if (hash_shard(seg, hash_bytes(key, strlen(key), seg->seed)) == 0)
            ck_assert_ok(put_key("page", i, 1900));
    }
    ck_assert_uint_eq(stats_of(kv).shards_used, 1);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_ok(put_key("small", i, 8));
    ck_assert_uint_eq(stats_of(kv).shards_used, seg->shard_count);
}
END_TEST

START_TEST(test_another_writer_may_evict_what_we_stored) {
    open_full(2 << 20);
    shmkv_t *mine = kv, *other = open_ok(name, NULL);
    for (unsigned i = 0; i < 10000; i++)
        ck_assert_ok(put_key("mine", i, 100));
    kv = other;
    for (unsigned i = 0; i < 10000; i++)
        ck_assert_ok(put_key("other", i, 100));
    kv = mine;
    ck_assert_uint_gt(found_with("other"), 3000);
    ck_assert_ok(shmkv_close(other));
}
END_TEST

/* What has expired makes room in a segment of any kind. */
START_TEST(test_expired_entries_make_room) {
    finish(kv, name);
    kv = open_ok(
        name, &(struct shmkv_options){.size = sizeof(struct shmkv_options), .max_size = 1 << 20});
    static const uint8_t value[1000];
    const struct shmkv_item expired = {.data = value, .len = sizeof value, .expires_ns = 1};
    unsigned n = 0;
    int err;
    do {
        const char *key = key_of("expired", n++);
        err = shmkv_put_item(kv, key, strlen(key), &expired);
    } while (!err && n < 2000);
    /* It is swept every time it is full, and so never is. */
    ck_assert_ok(err);
    put_many("k", 50);
    ck_assert_uint_eq(found_with("k"), 50);
}
END_TEST

/* ------------------------------------------------------------------------------ which */

START_TEST(test_what_is_read_survives_a_scan) {
    const unsigned hot = 50;
    put_many("hot", hot);
    put_many("cold", BOUND - hot);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < hot; i++)
            ck_assert_msg(got("hot", i), "hot %u has gone in round %u", i, round);
        /* Fewer than there are cold ones: what was read has its second chance. */
        for (unsigned i = 0; i < 100; i++)
            ck_assert_ok(put_key("scan", round * 100 + i, 8));
    }
    ck_assert_uint_eq(stats_of(kv).evictions, 1000);
}
END_TEST

/* The same by those ways of reading that are not a get. */
START_TEST(test_every_read_counts_as_use) {
    put_many("hot", 4);
    put_many("cold", BOUND - 4);
    for (unsigned round = 0; round < 10; round++) {
        char keys[4][KEY_SIZE];
        struct shmkv_bytes two[2];
        struct shmkv_item items[2];
        uint8_t buf[64];
        for (unsigned i = 0; i < 4; i++)
            snprintf(keys[i], KEY_SIZE, "%s", key_of("hot", i));
        for (unsigned i = 0; i < 2; i++)
            two[i] = (struct shmkv_bytes){keys[i], strlen(keys[i])};
        ck_assert_ok(shmkv_get_many(kv, 2, two, items, buf, sizeof buf, NULL));
        ck_assert_ok(items[0].result);
        ck_assert_ok(items[1].result);
        ck_assert_ok(shmkv_exists(kv, keys[2], strlen(keys[2])));
        ck_assert_ok(shmkv_replace(kv, keys[3], strlen(keys[3]), &items[0], NULL));
        for (unsigned i = 0; i < 100; i++)
            ck_assert_ok(put_key("scan", round * 100 + i, 8));
    }
}
END_TEST

/* A cursor sees all and spoils nothing. */
START_TEST(test_walking_is_no_use) {
    put_many("hot", 50);
    put_many("cold", BOUND - 50);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 50; i++)
            ck_assert(got("hot", i));
        found_with("k");
        shmkv_snapshot_t *snapshot;
        ck_assert_ok(shmkv_snapshot(kv, &snapshot));
        shmkv_snapshot_free(snapshot);
        for (unsigned i = 0; i < 100; i++)
            ck_assert_ok(put_key("scan", round * 100 + i, 8));
    }
    ck_assert_uint_eq(found_with("hot"), 50);
}
END_TEST

/* The same by a walk that reads the values, too. */
START_TEST(test_walking_with_values_marks_nothing) {
    put_many("k", 20);
    for (unsigned i = 0; i < 10; i++)
        ck_assert(got("k", i));
    shmkv_cursor_t *c;
    const void *key, *val;
    size_t key_len, val_len;
    unsigned n = 0;
    ck_assert_ok(shmkv_cursor_open(kv, 0, &c));
    for (; shmkv_cursor_next(c, &key, &key_len, &val, &val_len) == SHMKV_OK; n++)
        ck_assert_uint_eq(val_len, 8);
    shmkv_cursor_close(c);
    ck_assert_uint_eq(n, 20);
    ck_assert_uint_eq(marked(), 10);
}
END_TEST

/* The only entry, wherever the hand stands. @p cls: what is wanted rather. */
static void evict_the_only_one(unsigned bucket, bool mark, unsigned cls) {
    struct segment *seg = segment_of(kv);
    put_many("k", 1);
    if (mark)
        ck_assert(got("k", 0));
    seg->shards[0].hand = MAKE(HAND_BUCKET, bucket);
    struct context *ctx = context_of(kv);
    int err = evict_one(ctx, 0, cls, &ctx->own->victim);
    ck_assert_msg(err == SHMKV_OK, "%s, class %u, hand at bucket %u: %d", mark ? "marked" : "plain",
                  cls, bucket, err);
    ck_assert_ok(cell_return(ctx, &ctx->own->victim));
    context_release(ctx);
    ck_assert_uint_eq(count_of(kv), 0);
}

START_TEST(test_the_only_entry_is_found) {
    /* proves [EVICT-07] */
    for (unsigned bucket = 0; bucket < SHMKV_GROUP_BUCKETS; bucket++) {
        evict_the_only_one(bucket, false, 0);
        evict_the_only_one(bucket, true, 0);
        evict_the_only_one(bucket, false, 20);
        evict_the_only_one(bucket, true, 20);
    }
}
END_TEST

START_TEST(test_a_cache_of_one) {
    finish(kv, name);
    kv = cache_of(1, 0);
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert_ok(put_key("k", i, 8));
        ck_assert(got("k", i));
    }
    ck_assert_uint_eq(count_of(kv), 1);
}
END_TEST

static atomic_bool read_enough;
static void *read_for_ever(void *arg) {
    uint64_t value;
    size_t len;
    const char *key = key_of("hot", 0);
    while (!atomic_load(&read_enough))
        shmkv_get(kv, key, strlen(key), &value, sizeof value, &len);
    return arg;
}

/* However fast it is marked again. */
START_TEST(test_what_is_always_read_goes_at_last) {
    put_many("hot", 1);
    struct segment *seg = segment_of(kv);
    pthread_t reader;
    const char *key = "hot-0";
    uint64_t hash = hash_bytes(key, strlen(key), seg->seed);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_for_ever, NULL), 0);
    struct context *ctx = context_of(kv);
    for (unsigned i = 0; i < 20000; i++) {
        struct place p;
        ck_assert_ok(shmkv_put(kv, key, strlen(key), key, 5));
        ck_assert_ok(evict_one(ctx, 0, 0, &ctx->own->victim));
        ck_assert_ok(cell_return(ctx, &ctx->own->victim));
        ck_assert_ok(shmkv_put(kv, key, strlen(key), key, 5));
        struct domain d = shard_domain(seg, 0);
        ck_assert_ok(lock_take(ctx, &d));
        ck_assert_ok(table_find(ctx, &seg->shards[0], hash, key, strlen(key), &p));
        ck_assert_ok(
            evict_from_chain(ctx, &d, group_bucket(p.group, hash_bucket(hash)), &ctx->own->victim));
        lock_release(ctx, &d);
        ck_assert_ok(cell_return(ctx, &ctx->own->victim));
    }
    context_release(ctx);
    atomic_store(&read_enough, true);
    ck_assert_int_eq(pthread_join(reader, NULL), 0);
}
END_TEST

START_TEST(test_a_search_of_slots_without_end_ends) {
    /* proves [OP-01] */
    struct place tangle = tangle_chains(kv, key_of("k", 0), 3000);
    struct context *ctx = context_of(kv);
    ck_assert_err(evict_one(ctx, 0, 0, &ctx->own->victim), SHMKV_ECORRUPT);
    ck_assert_detail("slots do not end");
    context_release(ctx);
    tangle_undo(&tangle);
}
END_TEST

/* Popularity as 1/rank, the keys of a cache four times too small. Who keeps the newest
 * hits 68 times of 100; with a second chance it is 75. */
#define KEYS 800
#define DRAWS 40000

static unsigned draw(uint64_t *state) {
    static double sums[KEYS];
    if (!sums[0]) {
        double sum = 0;
        for (unsigned i = 0; i < KEYS; i++)
            sums[i] = sum += 1.0 / (i + 1);
    }
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    double at = (double)(*state >> 11) / (double)(1ULL << 53) * sums[KEYS - 1];
    unsigned i = 0;
    while (sums[i] <= at && i < KEYS - 1)
        i++;
    return i;
}

/* The newest are kept, whatever is read. */
static unsigned hits_of_fifo(void) {
    uint64_t state = 42;
    unsigned hits = 0, next = 0, in[BOUND];
    memset(in, 0xff, sizeof in);
    for (unsigned n = 0; n < DRAWS; n++) {
        unsigned i = draw(&state), k = 0;
        while (k < BOUND && in[k] != i)
            k++;
        hits += k < BOUND;
        if (k == BOUND)
            in[next++ % BOUND] = i;
    }
    return hits;
}

START_TEST(test_popular_keys_are_kept) {
    uint64_t state = 42;
    unsigned hits = 0, fifo = hits_of_fifo();
    for (unsigned n = 0; n < DRAWS; n++) {
        unsigned i = draw(&state);
        if (got("k", i))
            hits++;
        else
            ck_assert_ok(put_key("k", i, 8));
    }
    ck_assert_msg(hits > fifo + DRAWS / 20, "%u hits of %u; the newest alone would have %u", hits,
                  DRAWS, fifo);
}
END_TEST

/* [EVICT-02] */
START_TEST(test_bound_entries_and_locks_stay) {
    uint64_t token;
    struct shmkv_item bound = {.data = "mine", .len = 4, .flags = SHMKV_BOUND};
    for (unsigned i = 0; i < 20; i++) {
        const char *key = key_of("bound", i);
        ck_assert_ok(shmkv_put_item(kv, key, strlen(key), &bound));
    }
    ck_assert_ok(shmkv_lock(kv, "lock", 4, 0, &token));
    put_many("k", 5 * BOUND);
    ck_assert_uint_eq(found_with("bound"), 20);
    ck_assert_uint_eq(count_of(kv), BOUND);
    ck_assert_ok(shmkv_unlock(kv, "lock", 4, token));
}
END_TEST

START_TEST(test_only_bound_entries_is_full) {
    struct shmkv_item bound = {.data = "mine", .len = 4, .flags = SHMKV_BOUND};
    for (unsigned i = 0; i < BOUND; i++) {
        const char *key = key_of("bound", i);
        ck_assert_ok(shmkv_put_item(kv, key, strlen(key), &bound));
    }
    ck_assert_err(put_key("k", 0, 8), SHMKV_ENOSPC);
    ck_assert_detail("bound to processes");
    /* A lock is no entry, and what is there may be replaced. */
    uint64_t token;
    ck_assert_ok(shmkv_lock(kv, "lock", 4, 0, &token));
    ck_assert_ok(shmkv_unlock(kv, "lock", 4, token));
    ck_assert_ok(put_key("bound", 7, 8));
    ck_assert_ok(put_key("k", 0, 8));
    ck_assert_uint_eq(stats_of(kv).evictions, 1);
}
END_TEST

START_TEST(test_the_expired_go_first) {
    struct shmkv_item expired = {.data = "gone", .len = 4, .expires_ns = 1};
    put_many("k", BOUND - 50);
    for (unsigned i = 0; i < 50; i++) {
        const char *key = key_of("expired", i);
        ck_assert_ok(shmkv_put_item(kv, key, strlen(key), &expired));
    }
    /* Those that are met before the 50 are used up go themselves. All is marked. */
    for (unsigned i = 0; i < BOUND - 50; i++)
        ck_assert(got("k", i));
    ck_assert_ok(put_key("new", 0, 8));
    ck_assert_uint_eq(stats_of(kv).evictions, 0);
    ck_assert_uint_eq(found_with("k"), BOUND - 50);
}
END_TEST

/* ------------------------------------------------------------------------------ marks */

/* How many slots of the segment have the mark. */
static unsigned marked(void) {
    struct segment *seg = segment_of(kv);
    unsigned n = 0;
    for (uint64_t off = seg->data_offset; off < seg->space->limit;) {
        run_t *run = seg_at(seg, off, SHMKV_PAGE_SIZE);
        if (FIELD(run->head, RUN_KIND) == SHMKV_RUN_KIND_GROUP)
            for (unsigned b = 0; b < SHMKV_GROUP_BUCKETS; b++)
                for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++)
                    n += group_bucket(run, b)->slots[i] & 1;
        off += FIELD(run->head, RUN_PAGES) * SHMKV_PAGE_SIZE;
    }
    return n;
}

START_TEST(test_a_read_marks_once) {
    put_many("k", 20);
    ck_assert_uint_eq(marked(), 0);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 10; i++)
            ck_assert(got("k", i));
    ck_assert_uint_eq(marked(), 10);
    ck_assert(!got("absent", 0));
    ck_assert_uint_eq(marked(), 10);
}
END_TEST

/* Already marked: nothing is written. A store to what the process sees would kill it. */
START_TEST(test_a_read_of_what_is_marked_stores_nothing) {
    put_many("k", 20);
    for (unsigned i = 0; i < 20; i++)
        ck_assert(got("k", i));
    struct segment *seg = segment_of(kv);
    ck_assert_int_eq(mprotect(seg->base, seg->space->limit, PROT_READ), 0);
    for (unsigned i = 0; i < 20; i++)
        ck_assert(got("k", i));
    ck_assert_int_eq(mprotect(seg->base, seg->space->limit, PROT_READ | PROT_WRITE), 0);
}
END_TEST

START_TEST(test_a_read_only_handle_marks_nothing) {
    put_many("k", 20);
    shmkv_t *writer = kv;
    kv = open_mode(name, SHMKV_READONLY);
    for (unsigned i = 0; i < 20; i++)
        ck_assert(got("k", i));
    ck_assert_ok(shmkv_close(kv));
    kv = writer;
    ck_assert_uint_eq(marked(), 0);
}
END_TEST

START_TEST(test_a_frozen_segment_is_not_marked) {
    put_many("k", 20);
    ck_assert_ok(shmkv_freeze(kv));
    for (unsigned i = 0; i < 20; i++)
        ck_assert(got("k", i));
    ck_assert_uint_eq(marked(), 0);
}
END_TEST

/* A mark set late, on a slot that is about something else by then. */
START_TEST(test_a_late_mark_changes_no_entry) {
    put_many("k", 1);
    struct segment *seg = segment_of(kv);
    struct context *ctx = context_of(kv);
    const char *key = key_of("k", 0);
    struct place p;
    uint64_t hash = hash_bytes(key, strlen(key), seg->seed);
    ck_assert_ok(table_find(ctx, &seg->shards[hash_shard(seg, hash)], hash, key, strlen(key), &p));
    context_release(ctx);
    /* Replaced meanwhile; then withdrawn. */
    ck_assert_ok(put_key("k", 0, 60));
    uint64_t now = *p.slot;
    slot_mark(seg, p.slot, p.word);
    ck_assert_uint_eq(*p.slot, now);
    ck_assert_ok(shmkv_delete(kv, key, strlen(key)));
    slot_mark(seg, p.slot, p.word);
    ck_assert_uint_eq(*p.slot, 0);
}
END_TEST

/* Dead right after a commit, and a get came by before anybody took the lock. */
START_TEST(test_a_mark_does_not_undo_a_commit) {
    put_many("k", 1);
    struct segment *seg = segment_of(kv);
    struct context *ctx = context_of(kv);
    const char *key = key_of("k", 0);
    struct place p;
    uint64_t hash = hash_bytes(key, strlen(key), seg->seed);
    shard_t *shard = &seg->shards[hash_shard(seg, hash)];
    ck_assert_ok(table_find(ctx, shard, hash, key, strlen(key), &p));
    context_release(ctx);
    /* As if it had been put just now: the slot is stored, the count is not. */
    shard->count = 0;
    shard->entries[0] = (entry_t){seg_offset(seg, p.slot), p.word};
    shard->entries[1] = (entry_t){seg_offset(seg, &shard->count), 1};
    shard->intent = MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_COUNT, 2) | MAKE(INTENT_OWNER, 1) |
                    MAKE(INTENT_OP, SHMKV_OP_PUT);
    ck_assert(got("k", 0));
    ck_assert_uint_eq(*p.slot, p.word | USED_MARK);
    ck_assert_whole(kv);
    ck_assert_ok(put_key("other", 0, 8));
    ck_assert_uint_eq(count_of(kv), 2);
}
END_TEST

/* [EVICT-05] */
START_TEST(test_a_group_that_was_split_stays_one) {
    finish(kv, name);
    kv = cache_of(2000, 0);
    put_many("k", 20000);
    struct segment *seg = segment_of(kv);
    unsigned left = 0;
    for (uint64_t off = seg->data_offset; off < seg->space->limit;) {
        run_t *run = seg_at(seg, off, SHMKV_PAGE_SIZE);
        left += FIELD(run->head, RUN_KIND) == SHMKV_RUN_KIND_LEFT;
        off += FIELD(run->head, RUN_PAGES) * SHMKV_PAGE_SIZE;
    }
    ck_assert_uint_gt(left, 0);
    ck_assert_whole(kv);
}
END_TEST

/* ----------------------------------------------------------------- other operations */

static int store_all(void *arg, shmkv_txn_t *txn) {
    unsigned n = *(unsigned *)arg;
    for (unsigned i = 0; i < n; i++)
        ck_assert_ok(shmkv_txn_put(txn, i, &(struct shmkv_item){.data = "all", .len = 3}));
    return SHMKV_OK;
}

static int transact(const char *prefix, unsigned n) {
    static char keys[BOUND + 1][KEY_SIZE];
    struct shmkv_bytes bytes[BOUND + 1];
    for (unsigned i = 0; i < n; i++) {
        snprintf(keys[i], KEY_SIZE, "%s", key_of(prefix, i));
        bytes[i] = (struct shmkv_bytes){keys[i], strlen(keys[i])};
    }
    return shmkv_transaction(kv, n, bytes, store_all, &n);
}

START_TEST(test_a_transaction_keeps_the_bound) {
    put_many("k", BOUND);
    ck_assert_ok(transact("all", 30));
    ck_assert_uint_eq(count_of(kv), BOUND);
    ck_assert_uint_eq(found_with("all"), 30);
    ck_assert_uint_eq(stats_of(kv).evictions, 30);
    /* Some of its keys may be in its own way. */
    ck_assert_ok(transact("all", BOUND));
    ck_assert_uint_eq(found_with("all"), BOUND);
    ck_assert_err(transact("more", BOUND + 1), SHMKV_ENOSPC);
    ck_assert_detail("part of the bound");
    ck_assert_uint_eq(found_with("all"), BOUND);
}
END_TEST

START_TEST(test_a_transaction_counts_bytes) {
    finish(kv, name);
    kv = cache_of(0, 64 << 10);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_ok(put_key("k", i, 100));
    for (unsigned round = 0; round < 5; round++) {
        ck_assert_ok(transact("all", 50 + 10 * round));
        ck_assert_uint_le(stats_of(kv).entry_bytes, 64 << 10);
        ck_assert_whole(kv);
        put_many("k", 100);
    }
}
END_TEST

/* The index cannot grow: its keys take the places of others. */
START_TEST(test_a_transaction_in_a_full_segment_evicts) {
    open_full(2 << 20);
    for (unsigned i = 0; i < 20000; i++)
        ck_assert_ok(put_key("k", i, 8));
    for (unsigned round = 0; round < 200; round++) {
        char prefix[16];
        snprintf(prefix, sizeof prefix, "round%u.", round);
        ck_assert_ok(transact(prefix, 30));
        ck_assert_uint_eq(found_with(prefix), 30);
    }
    ck_assert_uint_le(stats_of(kv).limit, 2 << 20);
}
END_TEST

START_TEST(test_conditions_and_numbers_keep_the_bound) {
    for (unsigned i = 0; i < 3 * BOUND; i++) {
        const char *key = key_of("n", i);
        int64_t sum;
        ck_assert_ok(shmkv_incr_i64(kv, key, strlen(key), 1, 0, &sum));
        ck_assert_int_eq(sum, 1);
        key = key_of("a", i);
        ck_assert_ok(
            shmkv_add(kv, key, strlen(key), &(struct shmkv_item){.data = "x", .len = 1}, NULL));
        ck_assert_uint_le(count_of(kv), BOUND);
    }
    ck_assert_uint_eq(stats_of(kv).evictions, 5 * BOUND);
}
END_TEST

START_TEST(test_a_fresh_segment_of_a_load_is_bounded_too) {
    put_many("k", BOUND);
    int fd = memfd_create("dump", MFD_CLOEXEC);
    ck_assert_ok(shmkv_dump(kv, fd, 0, NULL));
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    ck_assert_ok(shmkv_load(kv, fd, SHMKV_LOAD_REPLACE, NULL));
    ck_assert_uint_eq(info_of(kv).max_entries, BOUND);
    put_many("more", BOUND);
    ck_assert_uint_eq(count_of(kv), BOUND);
    close(fd);
}
END_TEST

/* ------------------------------------------------------------------- several processes */

#define WRITERS 4

static void write_much(void *arg) {
    unsigned me = *(unsigned *)arg;
    kv = open_ok(name, NULL);
    uint64_t state = me + 1;
    for (unsigned n = 0; n < 20000; n++) {
        unsigned i = draw(&state);
        if (!got("k", i))
            ck_assert_ok(put_key("k", i, 8 + i % 50));
        if (n % 64 == 0)
            ck_assert_uint_le(count_of(kv), BOUND);
    }
    ck_assert_ok(shmkv_close(kv));
}

START_TEST(test_processes_share_a_cache) {
    pid_t pids[WRITERS];
    unsigned numbers[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        pids[i] = child_start(write_much, &numbers[i]);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        ck_assert(child_succeeded(pids[i]));
    ck_assert_uint_eq(count_of(kv), BOUND);
    ck_assert_whole(kv);
}
END_TEST

static void write_for_ever(void *arg) {
    uint64_t state = *(unsigned *)arg;
    kv = open_ok(name, NULL);
    for (;;) {
        unsigned i = draw(&state);
        if (!got("k", i))
            ck_assert_ok(put_key("k", i, i % 7 ? 8 + i % 50 : 20000));
    }
}

/* Wherever it is killed, nothing is lost and the bounds are kept. */
START_TEST(test_writers_are_killed_at_any_time) {
    finish(kv, name);
    kv = cache_of(BOUND, 1 << 20);
    for (unsigned round = 0; round < 30; round++) {
        unsigned numbers[2] = {2 * round, 2 * round + 1};
        pid_t pids[2];
        uint64_t enough = stats_of(kv).evictions + 200 + round;
        for (int i = 0; i < 2; i++)
            pids[i] = child_start(write_for_ever, &numbers[i]);
        for (uint64_t begun = now_ms(); stats_of(kv).evictions < enough;)
            ck_assert_uint_lt(now_ms() - begun, 20000);
        for (int i = 0; i < 2; i++)
            ck_assert(child_kill(pids[i]));
        ck_assert_whole(kv);
        ck_assert_ok(put_key("after", round, 8));
        ck_assert_uint_le(count_of(kv), BOUND);
        ck_assert_uint_le(stats_of(kv).entry_bytes, 1 << 20);
        ck_assert_whole(kv);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("evict");
    TCase *tc = case_new(suite, "bounds");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_a_bound_on_entries_is_reached_and_kept);
    tcase_add_test(tc, test_replacing_evicts_nobody);
    tcase_add_test(tc, test_large_bounds_are_kept_in_sum);
    tcase_add_test(tc, test_a_bound_on_bytes_is_kept);
    tcase_add_test(tc, test_what_can_never_fit_is_refused);
    tcase_add_test(tc, test_an_ordinary_segment_evicts_nothing);
    tcase_add_test(tc, test_a_full_segment_evicts_if_it_is_to);
    tcase_add_test(tc, test_a_full_segment_makes_room_for_large_values);
    tcase_add_test(tc, test_a_full_segment_makes_room_for_a_first_entry);
    tcase_add_test(tc, test_another_writer_may_evict_what_we_stored);
    tcase_add_test(tc, test_expired_entries_make_room);
    tc = case_new(suite, "choice");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_what_is_read_survives_a_scan);
    tcase_add_test(tc, test_every_read_counts_as_use);
    tcase_add_test(tc, test_walking_is_no_use);
    tcase_add_test(tc, test_walking_with_values_marks_nothing);
    tcase_add_test(tc, test_the_only_entry_is_found);
    tcase_add_test(tc, test_a_cache_of_one);
    tcase_add_test(tc, test_what_is_always_read_goes_at_last);
    tcase_add_test(tc, test_a_search_of_slots_without_end_ends);
    tcase_add_test(tc, test_popular_keys_are_kept);
    tcase_add_test(tc, test_bound_entries_and_locks_stay);
    tcase_add_test(tc, test_only_bound_entries_is_full);
    tcase_add_test(tc, test_the_expired_go_first);
    tc = case_new(suite, "marks");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_a_read_marks_once);
    tcase_add_test(tc, test_a_read_of_what_is_marked_stores_nothing);
    tcase_add_test(tc, test_a_read_only_handle_marks_nothing);
    tcase_add_test(tc, test_a_frozen_segment_is_not_marked);
    tcase_add_test(tc, test_a_late_mark_changes_no_entry);
    tcase_add_test(tc, test_a_mark_does_not_undo_a_commit);
    tcase_add_test(tc, test_a_group_that_was_split_stays_one);
    tc = case_new(suite, "operations");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_a_transaction_keeps_the_bound);
    tcase_add_test(tc, test_a_transaction_counts_bytes);
    tcase_add_test(tc, test_a_transaction_in_a_full_segment_evicts);
    tcase_add_test(tc, test_conditions_and_numbers_keep_the_bound);
    tcase_add_test(tc, test_a_fresh_segment_of_a_load_is_bounded_too);
    tcase_add_test(tc, test_processes_share_a_cache);
    tcase_add_test(tc, test_writers_are_killed_at_any_time);
    return suite_main(suite);
}
