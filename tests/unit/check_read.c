/* Get without a lock: whole values, whatever the writers do. Spec 6.2. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* ------------------------------------------------------------------------- buffers */

START_TEST(test_get_when_the_buffer_fits_exactly_copies_all) {
    char buf[5] = "....";
    size_t len = 0;
    put_text(kv, "k", "1234");
    ck_assert_ok(shmkv_get(kv, "k", 1, buf, 4, &len));
    ck_assert_uint_eq(len, 4);
    ck_assert_mem_eq(buf, "1234", 5);
}
END_TEST

START_TEST(test_get_when_the_buffer_is_too_small_copies_nothing_and_tells_the_size) {
    char buf[5] = "....";
    size_t len = 0;
    put_text(kv, "k", "1234");
    ck_assert_err(shmkv_get(kv, "k", 1, buf, 3, &len), SHMKV_ETOOSMALL);
    ck_assert_uint_eq(len, 4);
    ck_assert_mem_eq(buf, "....", 5);
}
END_TEST

START_TEST(test_get_without_a_buffer_asks_for_the_size) {
    size_t len = 0;
    put_text(kv, "k", "1234");
    ck_assert_err(shmkv_get(kv, "k", 1, NULL, 0, &len), SHMKV_ETOOSMALL);
    ck_assert_uint_eq(len, 4);
    ck_assert_err(shmkv_get(kv, "k", 1, NULL, 4, &len), SHMKV_EARGUMENT);
    put_text(kv, "empty", "");
    ck_assert_ok(shmkv_get(kv, "empty", 5, NULL, 0, &len));
    ck_assert_uint_eq(len, 0);
}
END_TEST

START_TEST(test_get_without_a_place_for_the_length_works) {
    char buf[4];
    put_text(kv, "k", "1234");
    ck_assert_ok(shmkv_get(kv, "k", 1, buf, sizeof buf, NULL));
    ck_assert_mem_eq(buf, "1234", 4);
}
END_TEST

START_TEST(test_get_into_an_unaligned_buffer_writes_only_the_value) {
    char value[301];
    for (size_t len = 0; len < sizeof value; len += 7) {
        memset(value, (int)('a' + len % 26), len);
        ck_assert_ok(shmkv_put(kv, "key", 3, value, len));
        for (size_t shift = 0; shift < 8; shift++) {
            char buf[320];
            memset(buf, '#', sizeof buf);
            size_t got;
            ck_assert_ok(shmkv_get(kv, "key", 3, buf + shift, len, &got));
            ck_assert_uint_eq(got, len);
            ck_assert_mem_eq(buf + shift, value, len);
            for (size_t i = 0; i < sizeof buf; i++)
                ck_assert(i - shift < len || buf[i] == '#');
        }
    }
}
END_TEST

START_TEST(test_get_of_an_absent_key_is_enotfound) {
    char buf[8];
    ck_assert_err(shmkv_get(kv, "k", 1, buf, sizeof buf, NULL), SHMKV_ENOTFOUND);
    ck_assert_err(shmkv_exists(kv, "k", 1), SHMKV_ENOTFOUND);
    put_text(kv, "k", "v");
    ck_assert_ok(shmkv_exists(kv, "k", 1));
    ck_assert_err(shmkv_exists(kv, "K", 1), SHMKV_ENOTFOUND);
    ck_assert_err(shmkv_exists(kv, "k\0", 2), SHMKV_ENOTFOUND);
}
END_TEST

/* -------------------------------------------------------------- optional part of records */

static record_t *record_of(const char *key) {
    struct place place;
    uint64_t hash = hash_of(kv, key, strlen(key));
    struct context *ctx = context_of(kv);
    ck_assert_ok(table_find(ctx, &seg->shards[hash_shard(seg, hash)], hash, key, strlen(key), &place));
    context_release(ctx);
    return record_at(seg, place.word);
}

/* Turn a record with room for it into one with expiry and owner. */
static void add_extra(const char *key, const char *value, uint64_t expiry_ns, uint64_t owner) {
    char padded[64] = "";
    ck_assert_ok(shmkv_put(kv, key, strlen(key), padded, sizeof padded));
    record_t *rec = record_of(key);
    extra_t extra = {expiry_ns, owner};
    rec->flags = SHMKV_RECORD_FLAG_EXTRA;
    rec->value_len = (uint32_t)strlen(value);
    memcpy((uint8_t *)rec + SHMKV_RECORD_HEADER_SIZE, &extra, sizeof extra);
    memcpy((uint8_t *)rec + SHMKV_RECORD_HEADER_SIZE + SHMKV_RECORD_EXTRA_SIZE, key, strlen(key));
    memcpy((uint8_t *)rec + record_value_offset(strlen(key), true), value, strlen(value));
}

static uint64_t wall_clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* proves [OP-07] */
START_TEST(test_get_of_an_entry_that_has_expired_is_enotfound) {
    add_extra("never", "v", 0, 0);
    add_extra("later", "v", wall_clock_ns() + 3600000000000u, 0);
    add_extra("past", "v", wall_clock_ns() - 1, 0);
    ck_assert_value(kv, "never", "v");
    ck_assert_value(kv, "later", "v");
    ck_assert_value(kv, "past", NULL);
    ck_assert_err(shmkv_exists(kv, "past", 4), SHMKV_ENOTFOUND);
    put_text(kv, "past", "again");
    ck_assert_value(kv, "past", "again");
}
END_TEST

/* proves [OP-08] */
START_TEST(test_get_of_an_entry_whose_owner_has_gone_is_enotfound) {
    shmkv_t *other = open_ok(name, NULL);
    struct context *ctx = context_of(other);
    uint64_t generation = FIELD(ctx->own->state, OWNER_STATE_GENERATION);
    uint64_t slot = ctx->slot;
    context_release(ctx);
    add_extra("mine", "v", 0, generation << 32 | (slot + 1));
    add_extra("of another generation", "v", 0, (generation + 1) << 32 | (slot + 1));
    add_extra("of nobody", "v", 0, generation << 32 | 0xffffff);
    ck_assert_value(kv, "mine", "v");
    ck_assert_value(kv, "of another generation", NULL);
    ck_assert_value(kv, "of nobody", NULL);
    ck_assert_ok(shmkv_close(other));
    ck_assert_value(kv, "mine", NULL);
}
END_TEST

START_TEST(test_get_when_a_slot_has_marks_finds_the_entry) {
    put_text(kv, "k", "v");
    struct place place;
    uint64_t hash = hash_of(kv, "k", 1);
    struct context *ctx = context_of(kv);
    ck_assert_ok(table_find(ctx, &seg->shards[hash_shard(seg, hash)], hash, "k", 1, &place));
    context_release(ctx);
    *place.slot |= 1;
    ck_assert_value(kv, "k", "v");
    put_text(kv, "k", "w");
    ck_assert_value(kv, "k", "w");
    *place.slot |= 1;
    ck_assert_ok(shmkv_delete(kv, "k", 1));
    ck_assert_value(kv, "k", NULL);
}
END_TEST

/* ------------------------------------------------------------------------ the stopped */

static struct gate ready, go;

/* Stand in the middle of a put, its intent declared and its slot not yet stored. */
static void stop_inside(void *arg) {
    bool committed = arg != NULL;
    shmkv_t *mine = open_ok(name, NULL);
    struct segment *s = segment_of(mine);
    struct context *ctx = context_of(mine);
    uint64_t hash = hash_of(mine, "k", 1);
    uint32_t index = hash_shard(s, hash);
    struct domain d = shard_domain(s, index);
    /* A second record of the key, built from the first one's bytes. */
    struct place place;
    ck_assert_ok(lock_take(ctx, &d));
    ck_assert_ok(table_find(ctx, &s->shards[index], hash, "k", 1, &place));
    lock_release(ctx, &d);
    ck_assert_ok(cell_take(ctx, (unsigned)FIELD(place.word, SLOT_CLASS), &ctx->own->cell));
    record_t *old = record_at(s, place.word);
    record_t *rec = (record_t *)(void *)(s->base + (ctx->own->cell & OFFSET_IN_WORD));
    memcpy(rec, old, shmkv_class_sizes[FIELD(place.word, SLOT_CLASS)]);
    rec->version = ctx->own->version += 2;
    memcpy((uint8_t *)rec + record_value_offset(1, false), "new", 3);
    ck_assert_ok(lock_take(ctx, &d));
    uint64_t word = (ctx->own->cell & CELL_IN_WORD) | hash_tag(hash);
    entry_t *e = d.entries;
    e[0] = (entry_t){seg_offset(s, place.slot), word};
    e[1] = (entry_t){seg_offset(s, &ctx->own->cell), place.word & CELL_IN_WORD};
    e[2] = (entry_t){seg_offset(s, &s->shards[index].changes), s->shards[index].changes + 1};
    *d.intent = MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_COUNT, 3) | MAKE(INTENT_OWNER, ctx->slot + 1) |
                MAKE(INTENT_OP, SHMKV_OP_PUT);
    if (committed)
        store_release_u64(place.slot, word);
    gate_open(&ready);
    gate_wait(&go);
}

static void expect_readers_go_on(void *committed) {
    ready = gate_new();
    go = gate_new();
    put_text(kv, "k", "old");
    const char *expected = committed ? "new" : "old";
    pid_t pid = child_start(stop_inside, committed);
    ck_assert(gate_wait(&ready));
    ck_assert(child_stop(pid));
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    for (int i = 0; i < 1000; i++)
        ck_assert_value(reader, "k", expected);
    ck_assert_whole(reader);
    shmkv_snapshot_t *s;
    ck_assert_ok(shmkv_snapshot(reader, &s));
    ck_assert_uint_eq(shmkv_snapshot_count(s), 1);
    shmkv_snapshot_free(s);
    ck_assert(child_kill(pid));
    ck_assert_value(reader, "k", expected);
    ck_assert_whole(reader);
    put_text(kv, "other", "v");
    shmkv_t *second = open_ok(name, NULL); /* reaps */
    ck_assert_value(reader, "k", expected);
    ck_assert_ok(shmkv_close(second));
    ck_assert_ok(shmkv_close(reader));
}

/* proves [OP-03] [CRASH-07] */
START_TEST(test_get_when_a_writer_is_stopped_before_its_commit_is_old) { expect_readers_go_on(NULL); }
END_TEST

START_TEST(test_get_when_a_writer_is_stopped_after_its_commit_is_new) { expect_readers_go_on(&ready); }
END_TEST

/* -------------------------------------------------------------------------- many keys */

#define SOME 500

/* Keys of 1 to 40 bytes, of which every third is absent, with values of 0 to 40 KB. */
static void fill_some(char keys[SOME][41], struct shmkv_bytes asked[SOME]) {
    static char value[40000];
    for (unsigned i = 0; i < SOME; i++) {
        int len = snprintf(keys[i], 41, "%u%.*s", i, (int)(i % 36), "....................................");
        asked[i] = (struct shmkv_bytes){keys[i], (size_t)len};
        memset(value, 'a' + (int)i % 26, sizeof value);
        if (i % 3)
            ck_assert_ok(shmkv_put(kv, keys[i], (size_t)len, value, i % 50 == 1 ? sizeof value : i % 70));
    }
}

static void check_as_get(const struct shmkv_bytes *key, const struct shmkv_item *item) {
    static char value[40000];
    size_t len;
    ck_assert_err(shmkv_get(kv, key->data, key->len, value, sizeof value, &len), item->result);
    if (item->result == SHMKV_OK) {
        ck_assert_uint_eq(item->len, len);
        ck_assert(memcmp(item->data, value, len) == 0);
        ck_assert_int_eq(item->type, SHMKV_BYTES);
        ck_assert_uint_eq(item->expires_ns, 0);
        ck_assert_uint_eq(item->flags, 0);
        ck_assert_uint_ne(item->version, 0);
    } else {
        ck_assert_ptr_null(item->data);
    }
}

START_TEST(test_get_many_is_the_same_as_a_get_of_each) {
    static char keys[SOME][41], buf[SOME * 2000];
    struct shmkv_bytes asked[SOME];
    struct shmkv_item items[SOME];
    fill_some(keys, asked);
    for (size_t n = 0; n <= SOME; n = n < 70 ? n + 1 : n + 43) {
        size_t done = 77;
        const char *end = buf;
        memset(items, 0xff, sizeof items);
        ck_assert_ok(shmkv_get_many(kv, n, asked, items, buf, sizeof buf, &done));
        ck_assert_uint_eq(done, n);
        for (size_t i = 0; i < n; i++) {
            check_as_get(&asked[i], &items[i]);
            ck_assert(items[i].result || items[i].data == end);
            end += items[i].len;
        }
    }
}
END_TEST

START_TEST(test_get_many_when_the_buffer_is_full_tells_the_size_and_goes_on_from_there) {
    static char keys[SOME][41], buf[40000];
    struct shmkv_bytes asked[SOME];
    struct shmkv_item items[SOME];
    fill_some(keys, asked);
    size_t from = 0, room = 0, calls = 0;
    for (; from < SOME; calls++) {
        size_t done;
        memset(buf, '#', sizeof buf);
        int err = shmkv_get_many(kv, SOME - from, asked + from, items + from, buf, room, &done);
        for (size_t i = from; i < from + done; i++)
            check_as_get(&asked[i], &items[i]);
        ck_assert(memchr(buf + room, 'a', sizeof buf - room) == NULL);
        from += done;
        if (from == SOME)
            break;
        ck_assert_int_eq(err, SHMKV_ETOOSMALL);
        ck_assert_int_eq(items[from].result, SHMKV_ETOOSMALL);
        room = items[from].len; /* just enough for this one */
    }
    ck_assert_uint_gt(calls, 10);
}
END_TEST

START_TEST(test_get_many_gives_what_goes_with_the_value) {
    const char *keys[] = {"plain", "of an hour", "past", "nobody's"};
    struct shmkv_bytes asked[4];
    struct shmkv_item items[4];
    char buf[100];
    uint64_t hour = wall_clock_ns() + 3600000000000u;
    put_text(kv, keys[0], "v");
    record_of(keys[0])->type = SHMKV_TEXT;
    add_extra(keys[1], "w", hour, 0);
    add_extra(keys[2], "x", 1, 0);
    add_extra(keys[3], "y", 0, 0xffffff);
    for (int i = 0; i < 4; i++)
        asked[i] = (struct shmkv_bytes){keys[i], strlen(keys[i])};
    ck_assert_ok(shmkv_get_many(kv, 4, asked, items, buf, sizeof buf, NULL));
    ck_assert_int_eq(items[0].type, SHMKV_TEXT);
    ck_assert_uint_eq(items[0].version, record_of(keys[0])->version);
    ck_assert_uint_eq(items[1].expires_ns, hour);
    ck_assert_uint_eq(items[1].version, record_of(keys[1])->version);
    ck_assert_mem_eq(items[1].data, "w", 1);
    ck_assert_int_eq(items[2].result, SHMKV_ENOTFOUND);
    ck_assert_int_eq(items[3].result, SHMKV_ENOTFOUND);
}
END_TEST

START_TEST(test_get_many_with_wrong_arguments_says_so) {
    struct shmkv_bytes asked[3] = {{"a", 1}, {"", 0}, {"b", 1}};
    struct shmkv_item items[3];
    char buf[10];
    size_t done;
    put_text(kv, "a", "v");
    ck_assert_err(shmkv_get_many(kv, 3, asked, items, buf, sizeof buf, &done), SHMKV_EKEY);
    ck_assert_uint_eq(done, 1);
    ck_assert_int_eq(items[0].result, SHMKV_OK);
    ck_assert_int_eq(items[1].result, SHMKV_EKEY);
    ck_assert_err(shmkv_get_many(kv, 1, NULL, items, buf, sizeof buf, &done), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_get_many(kv, 1, asked, NULL, buf, sizeof buf, &done), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_get_many(kv, 1, asked, items, NULL, 1, &done), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_get_many(NULL, 1, asked, items, buf, sizeof buf, &done), SHMKV_ECLOSED);
    ck_assert_uint_eq(done, 0);
    ck_assert_ok(shmkv_get_many(kv, 0, NULL, NULL, NULL, 0, &done));
}
END_TEST

/* ------------------------------------------------------------------------------ races */

/* Values that tell whether they are torn: every word is the first one. */
#define HOT_KEYS 3
#define READS 300000

static size_t size_of_round(uint64_t round) {
    static const size_t sizes[] = {8, 24, 40, 200, 264, 304, 1200, 4000, 20000, 64};
    return sizes[round % (sizeof sizes / sizeof *sizes)];
}

/* How keys are read: one at a time, of a length that has a straight line of its own and of
 * one that has not, or many together. */
static const struct way {
    size_t key_len;
    bool many;
} ways[] = {{8, false}, {16, false}, {16, true}};

struct race {
    volatile int stop;
    struct way way;
};

static void write_rounds(void *arg) {
    struct race *race = arg;
    static uint64_t value[2500];
    shmkv_t *mine = open_ok(name, NULL);
    for (uint64_t round = 1; !race->stop; round++) {
        uint64_t key[2] = {round % HOT_KEYS, 0};
        size_t size = size_of_round(round / HOT_KEYS);
        for (size_t i = 0; i < size / 8; i++)
            value[i] = round;
        ck_assert_ok(shmkv_put(mine, key, race->way.key_len, value, size));
        if (round % 17 == 0) {
            key[0] = HOT_KEYS + round % 5;
            shmkv_delete(mine, key, race->way.key_len);
            ck_assert_ok(shmkv_put(mine, key, race->way.key_len, value, size));
        }
    }
    ck_assert_ok(shmkv_close(mine));
}

/* Whole, and what was written for this key. */
static void check_round(uint64_t key, const uint64_t *value, size_t len) {
    bool torn = false; /* an assertion each would take longer than the reading */
    for (size_t i = 1; i < len / 8; i++)
        torn |= value[i] != value[0];
    ck_assert(!torn);
    if (key < HOT_KEYS && value[0]) {
        ck_assert_uint_eq(value[0] % HOT_KEYS, key);
        ck_assert_uint_eq(len, size_of_round(value[0] / HOT_KEYS));
    }
}

#define MANY (HOT_KEYS + 5)

/* All keys, one after the other or together. Returns how many values differ from the last. */
static unsigned read_round(shmkv_t *reader, struct way way, uint64_t last[MANY]) {
    static uint64_t buf[2500 * MANY], keys[MANY][2];
    struct shmkv_bytes asked[MANY];
    struct shmkv_item items[MANY];
    unsigned changes = 0;
    uint64_t *at = buf;
    for (uint64_t k = 0; k < MANY; k++) {
        keys[k][0] = k;
        asked[k] = (struct shmkv_bytes){keys[k], way.key_len};
        items[k].data = at;
        if (way.many)
            continue;
        items[k].result = shmkv_get(reader, keys[k], way.key_len, at, 20000, &items[k].len);
        at += 2500;
    }
    if (way.many)
        ck_assert_ok(shmkv_get_many(reader, MANY, asked, items, buf, sizeof buf, NULL));
    for (uint64_t k = 0; k < MANY; k++) {
        if (items[k].result == SHMKV_ENOTFOUND && k >= HOT_KEYS)
            continue;
        ck_assert_ok(items[k].result);
        const uint64_t *value = items[k].data;
        check_round(k, value, items[k].len);
        changes += value[0] != last[k];
        last[k] = value[0];
    }
    return changes;
}

/* proves [OP-04] [OP-05] [OP-06] [OP-10] [LOCK-26] [LOCK-27] [LAYOUT-03] */
START_TEST(test_get_while_two_processes_overwrite_is_never_torn_and_never_missing) {
    struct race *race = shared_memory(sizeof *race);
    race->way = ways[_i];
    for (uint64_t k = 0; k < HOT_KEYS; k++) {
        uint64_t zero = 0, key[2] = {k, 0};
        ck_assert_ok(shmkv_put(kv, key, race->way.key_len, &zero, sizeof zero));
    }
    pid_t pids[2];
    for (int i = 0; i < 2; i++)
        pids[i] = child_start(write_rounds, race);
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    uint64_t last[MANY] = {0}, changes = 0, until = now_ms() + 20000;
    int reads;
    for (reads = 0; reads < READS && now_ms() < until; reads += MANY)
        changes += read_round(reader, race->way, last);
    race->stop = 1;
    ck_assert(child_succeeded(pids[0]) && child_succeeded(pids[1]));
    printf("%d reads, %llu saw a change\n", reads, (unsigned long long)changes);
    ck_assert_uint_gt(changes, 100);
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

static Suite *read_suite(void) {
    Suite *s = suite_create("read");
    TCase *tc = case_new(s, "buffers");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_get_when_the_buffer_fits_exactly_copies_all);
    tcase_add_test(tc, test_get_when_the_buffer_is_too_small_copies_nothing_and_tells_the_size);
    tcase_add_test(tc, test_get_without_a_buffer_asks_for_the_size);
    tcase_add_test(tc, test_get_without_a_place_for_the_length_works);
    tcase_add_test(tc, test_get_into_an_unaligned_buffer_writes_only_the_value);
    tcase_add_test(tc, test_get_of_an_absent_key_is_enotfound);
    tc = case_new(s, "optional parts");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_get_of_an_entry_that_has_expired_is_enotfound);
    tcase_add_test(tc, test_get_of_an_entry_whose_owner_has_gone_is_enotfound);
    tcase_add_test(tc, test_get_when_a_slot_has_marks_finds_the_entry);
    tc = case_new(s, "stopped writers");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_get_when_a_writer_is_stopped_before_its_commit_is_old);
    tcase_add_test(tc, test_get_when_a_writer_is_stopped_after_its_commit_is_new);
    tc = case_new(s, "many keys");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_get_many_is_the_same_as_a_get_of_each);
    tcase_add_test(tc, test_get_many_when_the_buffer_is_full_tells_the_size_and_goes_on_from_there);
    tcase_add_test(tc, test_get_many_gives_what_goes_with_the_value);
    tcase_add_test(tc, test_get_many_with_wrong_arguments_says_so);
    tc = case_new(s, "races");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_get_while_two_processes_overwrite_is_never_torn_and_never_missing, 0,
                        (int)(sizeof ways / sizeof *ways));
    return s;
}

int main(void) { return suite_main(read_suite()); }
