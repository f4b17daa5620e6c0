/*
 * What the crash tests do and what must hold afterwards: see scenarios.h.
 */
#include "tests/crash/scenarios.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYSTANDERS 40
#define LARGEST (1 << 20)
/* Sizes of values that have a run of their own, barely: every 64 bytes copied are a state more. */
#define LARGE 17000
#define LARGER 30000
#define SEED 0x5eed /* of every prepared segment, so that each run does the same */

const struct scenario *scenario;
const char *const subject = "subject";
const char *seg_path, *base_path, *crashed_path;
static uint64_t base_entries;
/* A key of each shard that no scenario uses otherwise. */
static char touch_keys[SHMKV_DEFAULT_SHARDS][KEY_TEXT_SIZE];

/* A value that is no other key's and no other size's. The last is kept: a child that
 * is stepped through should not have to make it. */
static void fill_value(uint8_t *value, const char *key, long size) {
    uint64_t seed = hash_bytes(key, strlen(key), (uint64_t)size);
    for (long i = 0; i < size; i++)
        value[i] = (uint8_t)((seed >> (i & 7) * 8) ^ (uint64_t)i >> 3);
}

/* Sizes that are none: from NUMBER on the integer itself; APPENDED is a value of 20
 * bytes with one of 281 behind it. */
#define NUMBER (1L << 30)
#define APPENDED (1L << 29)

static size_t length_of(long size) { return size >= NUMBER ? 8 : size == APPENDED ? 301 : (size_t)size; }

static const uint8_t *value_of(const char *key, long size) {
    static uint8_t value[LARGEST];
    static uint64_t made_for;
    uint64_t seed = hash_bytes(key, strlen(key), (uint64_t)size);
    if (seed == made_for)
        return value;
    made_for = seed;
    if (size >= NUMBER) {
        memcpy(value, &size, 8);
    } else if (size == APPENDED) {
        fill_value(value, key, 20);
        fill_value(value + 20, key, 281);
    } else {
        fill_value(value, key, size);
    }
    return value;
}

static struct shmkv_item item_of(long size) {
    static uint8_t values[2][LARGEST]; /* of two sizes at a time */
    static long sizes[2] = {ABSENT, ABSENT};
    int i = sizes[0] != size && (sizes[1] == size || sizes[0] != ABSENT);
    if (size != ABSENT && sizes[i] != size)
        memcpy(values[i], value_of(subject, sizes[i] = size), length_of(size));
    return (struct shmkv_item){.data = values[i],
                               .len = size == ABSENT ? 0 : length_of(size),
                               .type = size >= NUMBER ? SHMKV_INT64 : SHMKV_BYTES};
}

void make_value_ready(void) {
    if (scenario->act != PUT_OR_DELETE) {
        item_of(scenario->before);
        item_of(scenario->after);
    } else if (scenario->after != ABSENT) {
        value_of(subject, scenario->after);
    }
}

static void put_sized(shmkv_t *kv, const char *key, long size) {
    if (size >= NUMBER)
        ck_assert_ok(shmkv_put_i64(kv, key, strlen(key), size));
    else
        ck_assert_ok(shmkv_put(kv, key, strlen(key), value_of(key, size), (size_t)size));
}

bool is_value(const char *key, long size, const void *got, size_t len) {
    return len == length_of(size) && memcmp(got, value_of(key, size), len) == 0;
}

bool has_value(shmkv_t *kv, const char *key, long size) {
    static uint8_t got[LARGEST];
    size_t len;
    int err = shmkv_get(kv, key, strlen(key), got, sizeof got, &len);
    ck_assert_msg(err == SHMKV_OK || err == SHMKV_ENOTFOUND, "get %s: %s (%s)", key,
                  result_name(err), shmkv_error_detail());
    if (size == ABSENT || err)
        return size == ABSENT && err;
    return is_value(key, size, got, len);
}

static long bystander_size(int i) { return i % 5 == 0 ? 3000 : i % 3 == 0 ? 200 : i; }

void each_bystander(shmkv_t *kv, bool put) {
    for (int i = 0; i < BYSTANDERS; i++) {
        char key[KEY_TEXT_SIZE];
        snprintf(key, sizeof key, "bystander-%d", i);
        if (put)
            put_sized(kv, key, bystander_size(i));
        else
            ck_assert_msg(has_value(kv, key, bystander_size(i)), "%s has changed", key);
    }
}

/* Keys that a scenario needs to be there; like the subject in some hash bits. */
static void put_companion(shmkv_t *kv, struct key_search *search, long size) {
    char key[KEY_TEXT_SIZE];
    key_find(search, key);
    put_sized(kv, key, size);
}

static shard_t *subject_shard(shmkv_t *kv) {
    struct segment *seg = segment_of(kv);
    return &seg->shards[hash_shard(seg, hash_of(kv, subject, strlen(subject)))];
}

static struct place subject_place(shmkv_t *kv) {
    struct place place;
    struct context *ctx = context_of(kv);
    ck_assert_ok(table_find(ctx, subject_shard(kv), hash_of(kv, subject, strlen(subject)), subject,
                            strlen(subject), &place));
    context_release(ctx);
    return place;
}

static unsigned group_entries_of(const run_t *group, shmkv_t *kv) {
    unsigned n = 0;
    for (unsigned i = 0; i < SHMKV_GROUP_BUCKETS; i++)
        for (bucket_t *b = group_bucket((run_t *)(uintptr_t)group, i); b;
             b = b->link ? bucket_at_link(segment_of(kv), b->link) : NULL)
            for (int k = 0; k < SHMKV_BUCKET_SLOTS; k++)
                n += b->slots[k] != 0;
    return n;
}

void prepare_nothing(shmkv_t *kv) { (void)kv; }
static void prepare_bystanders(shmkv_t *kv) { each_bystander(kv, true); }

/* Fill the subject's bucket, and the overflow that it may have. */
static void fill_bucket(shmkv_t *kv, unsigned depth) {
    struct key_search same_bucket = search_like(kv, subject, depth, true, "bucket");
    do
        put_companion(kv, &same_bucket, 8);
    while (subject_place(kv).slot);
}

static void prepare_chain(shmkv_t *kv) {
    each_bystander(kv, true);
    fill_bucket(kv, 0);
}

/* As many entries in the subject's group as make it split when a bucket is full. */
static void fill_group(shmkv_t *kv, unsigned depth) {
    struct key_search same_group = search_like(kv, subject, depth, false, "group");
    while (!subject_place(kv).group || group_entries_of(subject_place(kv).group, kv) < 320)
        put_companion(kv, &same_group, 8);
    fill_bucket(kv, depth);
    ck_assert_uint_eq(subject_place(kv).depth, depth);
}

static void prepare_split(shmkv_t *kv) {
    each_bystander(kv, true);
    fill_group(kv, 0);
    ck_assert_uint_eq(subject_place(kv).root_depth, 0);
}

/* Likewise, but the directory is deeper than the group already. */
static void prepare_split_without_doubling(shmkv_t *kv) {
    each_bystander(kv, true);
    struct key_search other_half = search_like(kv, subject, 1, false, "other");
    other_half.value ^= SHMKV_DEFAULT_SHARDS;
    while (subject_place(kv).root_depth < 2)
        put_companion(kv, &other_half, 8);
    ck_assert_uint_eq(subject_place(kv).depth, 1);
    fill_group(kv, 1);
}

/* The subject is alone in one of two slabs of its class in the arena's list. */
static void prepare_retire(shmkv_t *kv) {
    each_bystander(kv, true);
    put_sized(kv, "slab-1", 1900);
    put_sized(kv, "slab-2", 1900);
    put_sized(kv, subject, 1900);
    ck_assert_ok(shmkv_delete(kv, "slab-1", 6));
}

/* Nothing large has room any more. */
static void prepare_full(shmkv_t *kv) {
    each_bystander(kv, true);
    put_sized(kv, "filler", (long)(stats_of(kv).free_bytes - 2 * SHMKV_PAGE_SIZE));
    ck_assert_uint_lt(stats_of(kv).free_bytes, LARGE);
}

/* What a transaction changes besides the subject: one is replaced, one is new, and
 * would be put into the subject's bucket, and one goes. */
#define PARTNERS 3
static const struct {
    long before, after;
} partners[PARTNERS] = {{300, 20}, {ABSENT, 50}, {20, ABSENT}};
static char partner_keys[PARTNERS][KEY_TEXT_SIZE];

static void put_partners(shmkv_t *kv) {
    struct key_search same_bucket = search_like(kv, subject, 8, true, "partner");
    for (int i = 0; i < PARTNERS; i++) {
        if (i == 1)
            key_find(&same_bucket, partner_keys[i]);
        else
            snprintf(partner_keys[i], KEY_TEXT_SIZE, "companion-%d", i);
        if (partners[i].before != ABSENT)
            put_sized(kv, partner_keys[i], partners[i].before);
    }
}

static void prepare_transaction(shmkv_t *kv) {
    each_bystander(kv, true);
    put_partners(kv);
}

static void prepare_transaction_that_chains(shmkv_t *kv) {
    each_bystander(kv, true);
    put_partners(kv);
    fill_bucket(kv, 0);
}

static void prepare_transaction_that_splits(shmkv_t *kv) {
    each_bystander(kv, true);
    put_partners(kv);
    fill_group(kv, 0);
}

/* Of those that are there: what has expired still counts. */
static unsigned expired_entries;

static void put_expired(shmkv_t *kv, const char *key) {
    const struct shmkv_item expired = {.data = "gone", .len = 4, .expires_ns = 1};
    ck_assert_ok(shmkv_put_item(kv, key, strlen(key), &expired));
    expired_entries++;
}

/* The subject has expired, and still has its slot. */
static void prepare_expired(shmkv_t *kv) {
    each_bystander(kv, true);
    put_expired(kv, subject);
}

/* The subject's bucket is full, and its group would split, were it not for one that has expired,
 * in another bucket. */
static void prepare_expired_group(shmkv_t *kv) {
    each_bystander(kv, true);
    fill_bucket(kv, 0);
    struct key_search same_group = search_like(kv, subject, 0, false, "group");
    uint64_t bucket = hash_bucket(hash_of(kv, subject, strlen(subject)));
    char key[KEY_TEXT_SIZE];
    for (unsigned n; (n = group_entries_of(subject_place(kv).group, kv)) < 320;) {
        key_find(&same_group, key);
        if (hash_bucket(hash_of(kv, key, strlen(key))) == bucket)
            continue;
        if (n < 319)
            put_sized(kv, key, 8);
        else
            put_expired(kv, key);
    }
    ck_assert_ptr_null(subject_place(kv).slot);
}

/* Somebody waits for the subject, and somebody for anything. */
static void prepare_sleepers(shmkv_t *kv) {
    each_bystander(kv, true);
    subject_shard(kv)->waiters = MAKE(WAITERS_KEY, 1) | MAKE(WAITERS_STORE, 1);
}

/* The subject's shard has as many entries as it may, and the hand points at one of those that are
 * there to be evicted. The bystanders are marked: they have a second chance, and those others none. */
#define EVICT_ENTRIES 12 /* of a shard */
static void prepare_evict(shmkv_t *kv) {
    each_bystander(kv, true);
    each_bystander(kv, false);
    struct key_search of_shard = search_shard(kv, (uint32_t)(subject_shard(kv) - segment_of(kv)->shards), "victim");
    char key[KEY_TEXT_SIZE];
    while (subject_shard(kv)->count < EVICT_ENTRIES) {
        key_find(&of_shard, key);
        put_sized(kv, key, 8);
    }
    struct place place;
    struct context *ctx = context_of(kv);
    uint64_t hash = hash_of(kv, key, strlen(key));
    ck_assert_ok(table_find(ctx, subject_shard(kv), hash, key, strlen(key), &place));
    context_release(ctx);
    bucket_t *b = group_bucket(place.group, hash_bucket(hash));
    ck_assert(place.slot - b->slots < SHMKV_BUCKET_SLOTS);
    subject_shard(kv)->hand =
        MAKE(HAND_BUCKET, hash_bucket(hash)) | MAKE(HAND_PLACE, (uint64_t)(place.slot - b->slots));
}
static bool evicting(void) { return scenario->prepare == prepare_evict; }

/* Bounds on a segment of the usual number of shards. */
static void set_bounds(const char *path) {
    const uint64_t features = SHMKV_RO_COMPAT_EVICTS, entries = EVICT_ENTRIES * SHMKV_DEFAULT_SHARDS,
                   bytes = 1ULL << 30;
    file_patch(path, offsetof(header_t, ro_compat), &features, sizeof features);
    file_patch(path, offsetof(header_t, max_entries), &entries, sizeof entries);
    file_patch(path, offsetof(header_t, max_bytes), &bytes, sizeof bytes);
}

const struct scenario scenarios[] = {
    {"attach and detach", prepare_bystanders, ABSENT, ABSENT, 8, PUT_OR_DELETE},
    {"put the first key of a segment", prepare_nothing, ABSENT, 20, 200, PUT_OR_DELETE},
    {"put a new key", prepare_bystanders, ABSENT, 20, 40, PUT_OR_DELETE},
    {"put a key that somebody waits for", prepare_sleepers, ABSENT, 20, 45, PUT_OR_DELETE},
    {"overwrite within a class", prepare_bystanders, 20, 21, 50, PUT_OR_DELETE},
    {"overwrite by a larger class", prepare_bystanders, 20, 300, 90, PUT_OR_DELETE},
    {"overwrite by a smaller class", prepare_bystanders, 2000, 0, 50, PUT_OR_DELETE},
    {"overwrite by a large value", prepare_bystanders, 20, LARGE, 310, PUT_OR_DELETE},
    {"overwrite a large value by another", prepare_bystanders, LARGER, LARGE, 320, PUT_OR_DELETE},
    {"overwrite a large value by a small one", prepare_bystanders, LARGE, 20, 55, PUT_OR_DELETE},
    {"delete", prepare_bystanders, 20, ABSENT, 35, PUT_OR_DELETE},
    {"delete a large value", prepare_bystanders, LARGE, ABSENT, 40, PUT_OR_DELETE},
    {"delete the last of a slab", prepare_retire, 1900, ABSENT, 35, PUT_OR_DELETE},
    {"extend the segment", prepare_full, ABSENT, LARGE, 320, PUT_OR_DELETE},
    {"chain an overflow bucket", prepare_chain, ABSENT, 20, 100, PUT_OR_DELETE},
    {"double a directory and split a group", prepare_split, ABSENT, 20, 700, PUT_OR_DELETE},
    {"split a group", prepare_split_without_doubling, ABSENT, 20, 700, PUT_OR_DELETE},
    {"sweep a group instead of splitting it", prepare_expired_group, ABSENT, 20, 700, PUT_OR_DELETE},
    {"add", prepare_bystanders, ABSENT, 20, 40, ADD},
    {"add over an expired entry", prepare_expired, ABSENT, 20, 40, ADD},
    {"get or set", prepare_bystanders, ABSENT, 20, 40, GET_OR_SET},
    {"replace", prepare_bystanders, 20, 300, 90, REPLACE},
    {"swap", prepare_bystanders, 20, 21, 50, SWAP},
    {"swap a large value for a small one", prepare_bystanders, LARGE, 20, 55, SWAP},
    {"take", prepare_bystanders, 20, ABSENT, 35, TAKE},
    {"take a large value", prepare_bystanders, LARGE, ABSENT, 40, TAKE},
    {"compare and swap by version", prepare_bystanders, 20, 300, 90, CAS},
    {"compare and swap by value", prepare_bystanders, 2000, 20, 55, CAS_VALUE},
    {"delete if of this version", prepare_bystanders, 20, ABSENT, 35, DELETE_IF},
    {"delete if of this value", prepare_bystanders, 2000, ABSENT, 40, DELETE_VALUE},
    {"increment", prepare_bystanders, NUMBER, NUMBER + 1, 50, INCR},
    {"increment what is absent", prepare_bystanders, ABSENT, NUMBER + 1, 40, INCR},
    {"append", prepare_bystanders, 20, APPENDED, 90, APPEND},
    {"update by a function", prepare_bystanders, 20, 21, 50, UPDATE},
    {"touch", prepare_bystanders, 300, 300, 380, TOUCH},
    {"sweep an expired entry", prepare_expired, ABSENT, ABSENT, 170, SWEEP},
    {"pop", prepare_nothing, 20, ABSENT, 82, POP},
    {"clear", prepare_nothing, 20, ABSENT, 82, CLEAR},
    {"lock by name and unlock", prepare_bystanders, ABSENT, ABSENT, 54, LOCK},
    {"put many", prepare_bystanders, 20, 300, 165, MANY},
    {"delete many", prepare_bystanders, 20, ABSENT, 40, MANY},
    {"put a new key and evict another", prepare_evict, ABSENT, 20, 60, PUT_OR_DELETE},
    {"transact", prepare_transaction, 20, 300, 270, TRANSACT},
    {"transact with large values", prepare_transaction, LARGER, LARGE, 560, TRANSACT},
    {"transact and delete", prepare_transaction, 20, ABSENT, 240, TRANSACT},
    {"transact and chain an overflow bucket", prepare_transaction_that_chains, ABSENT, 20, 315, TRANSACT},
    {"transact and split a group", prepare_transaction_that_splits, ABSENT, 20, 910, TRANSACT},
};
_Static_assert(sizeof scenarios / sizeof *scenarios == SCENARIO_COUNT, "SCENARIO_COUNT");

void prepare_base(void) {
    base_path = scratch_path("base");
    crashed_path = scratch_path("crashed");
    seg_path = scratch_path("seg");
    ck_assert_ok(shmkv_close(open_ok(base_path, NULL)));
    uint64_t seed = SEED;
    file_patch(base_path, offsetof(header_t, hash_seed), &seed, sizeof seed);
    if (evicting())
        set_bounds(base_path);
    header_reseal(base_path);

    shmkv_t *kv = open_ok(base_path, NULL);
    expired_entries = 0;
    scenario->prepare(kv);
    if (scenario->before != ABSENT)
        put_sized(kv, subject, scenario->before);
    for (uint32_t i = 0; i < SHMKV_DEFAULT_SHARDS; i++) {
        struct key_search of_shard = search_shard(kv, i, "touch");
        key_find(&of_shard, touch_keys[i]);
    }
    ck_assert_whole(kv);
    base_entries = count_of(kv) - expired_entries;
    ck_assert_ok(shmkv_close(kv));
}

void forget_files(void) {
    unlink(base_path);
    unlink(crashed_path);
    unlink(seg_path);
}

/* ------------------------------------------------------------------ what children do */

static int give_after(void *after, const struct shmkv_item *old, struct shmkv_item *new) {
    (void)old;
    *new = *(struct shmkv_item *)after;
    return SHMKV_OK;
}

/* Done again after a death it may find its own work: then the answer is no. */
static void do_under_condition(shmkv_t *kv) {
    static uint8_t room[LARGEST];
    size_t n = strlen(subject);
    struct shmkv_item was = item_of(scenario->before), is = item_of(scenario->after), old;
    char key[16];
    size_t key_len;
    uint64_t swept, token;
    int err, no = SHMKV_ECHANGED;
    switch (scenario->act) {
    case ADD:
        err = shmkv_add(kv, subject, n, &is, NULL);
        no = SHMKV_EEXISTS;
        break;
    case GET_OR_SET:
        err = shmkv_get_or_set(kv, subject, n, &is, room, sizeof room, &old);
        ck_assert_int_eq(old.len, is.len);
        ck_assert_mem_eq(room, is.data, is.len);
        break;
    case REPLACE:
        err = shmkv_replace(kv, subject, n, &is, NULL);
        break;
    case SWAP:
        err = shmkv_swap(kv, subject, n, &is, room, sizeof room, &old);
        ck_assert_ok(old.result);
        ck_assert(old.len == was.len || old.len == is.len);
        ck_assert_mem_eq(room, old.len == was.len ? was.data : is.data, old.len);
        break;
    case TAKE:
        err = shmkv_take(kv, subject, n, room, sizeof room, &old);
        ck_assert(err || (old.len == was.len && memcmp(room, was.data, was.len) == 0));
        no = SHMKV_ENOTFOUND;
        break;
    case CAS:
        ck_assert_ok(shmkv_get_item(kv, subject, n, room, sizeof room, &old));
        err = shmkv_cas(kv, subject, n, old.version, &is);
        break;
    case CAS_VALUE:
        err = shmkv_cas_value(kv, subject, n, &was, &is);
        break;
    case DELETE_IF:
        err = shmkv_get_item(kv, subject, n, room, sizeof room, &old);
        if (!err)
            err = shmkv_delete_if(kv, subject, n, old.version);
        no = SHMKV_ENOTFOUND;
        break;
    case DELETE_VALUE:
        err = shmkv_delete_value(kv, subject, n, &was);
        no = SHMKV_ENOTFOUND;
        break;
    case INCR:
        err = has_value(kv, subject, scenario->after) ? SHMKV_OK : shmkv_incr_i64(kv, subject, n, 1, NUMBER, NULL);
        break;
    case APPEND:
        err = has_value(kv, subject, scenario->after)
                  ? SHMKV_OK
                  : shmkv_append(kv, subject, n, (const uint8_t *)is.data + was.len, is.len - was.len, NULL);
        break;
    case TOUCH:
        err = shmkv_touch(kv, subject, n, UINT64_MAX);
        break;
    case SWEEP:
        /* One group, and not all of them: it locks for every bucket, and each time is a state. */
        segment_of(kv)->sweep_at = (uint64_t)(subject_shard(kv) - segment_of(kv)->shards) << 38;
        err = shmkv_sweep(kv, SHMKV_GROUP_BUCKETS + 1, &swept);
        ck_assert_uint_le(swept, 1);
        break;
    case POP:
        err = shmkv_pop(kv, key, sizeof key, &key_len, room, sizeof room, &old);
        ck_assert(err || (key_len == n && memcmp(key, subject, n) == 0 && old.len == was.len));
        no = SHMKV_ENOTFOUND;
        break;
    case CLEAR:
        err = shmkv_clear(kv, NULL);
        break;
    case LOCK: /* named like the subject, which is another thing */
        ck_assert_ok(shmkv_lock(kv, subject, n, 0, &token));
        err = shmkv_unlock(kv, subject, n, token);
        break;
    default:
        err = shmkv_update(kv, subject, n, give_after, &is);
    }
    if (err != no)
        ck_assert_ok(err);
}

static void wish(shmkv_txn_t *txn, size_t i, const struct shmkv_item *item) {
    if (item) {
        ck_assert_ok(shmkv_txn_put(txn, i, item));
        return;
    }
    int err = shmkv_txn_delete(txn, i);
    if (err != SHMKV_ENOTFOUND)
        ck_assert_ok(err);
}

static int wish_for_all(void *arg, shmkv_txn_t *txn) {
    (void)arg;
    struct shmkv_item is = item_of(scenario->after);
    wish(txn, 0, scenario->after == ABSENT ? NULL : &is);
    for (size_t i = 0; i < PARTNERS; i++) {
        long size = partners[i].after;
        is = (struct shmkv_item){.data = value_of(partner_keys[i], size), .len = size == ABSENT ? 0 : (size_t)size};
        wish(txn, i + 1, size == ABSENT ? NULL : &is);
    }
    return SHMKV_OK;
}

static void transact(shmkv_t *kv) {
    struct shmkv_bytes keys[1 + PARTNERS] = {{subject, strlen(subject)}};
    for (int i = 0; i < PARTNERS; i++)
        keys[i + 1] = (struct shmkv_bytes){partner_keys[i], strlen(partner_keys[i])};
    ck_assert_ok(shmkv_transaction(kv, 1 + PARTNERS, keys, wish_for_all, NULL));
}

/* The subject between others: of those to be stored, which have their values already, or to be
 * removed, which are not there. */
static void change_many(shmkv_t *kv) {
    enum { KEYS = 4 };
    const char *names[KEYS] = {"bystander-1", "bystander-2", subject, "bystander-4"};
    struct shmkv_bytes keys[KEYS];
    struct shmkv_item items[KEYS];
    static uint8_t values[KEYS][300];
    for (int i = 0; i < KEYS; i++) {
        if (scenario->after == ABSENT && i != 2)
            names[i] = "nobody";
        keys[i] = (struct shmkv_bytes){names[i], strlen(names[i])};
        if (scenario->after == ABSENT)
            continue;
        size_t len = (size_t)(i == 2 ? scenario->after : bystander_size(atoi(names[i] + 10)));
        memcpy(values[i], value_of(names[i], (long)len), len);
        items[i] = (struct shmkv_item){.data = values[i], .len = len};
    }
    if (scenario->after == ABSENT)
        ck_assert_ok(shmkv_delete_many(kv, KEYS, keys, NULL, NULL, NULL));
    else
        ck_assert_ok(shmkv_put_many(kv, KEYS, keys, items, NULL));
}

void act_attached(shmkv_t *kv) {
    if (scenario->act == TRANSACT) {
        transact(kv);
        return;
    }
    if (scenario->act == MANY) {
        change_many(kv);
        return;
    }
    if (scenario->act != PUT_OR_DELETE) {
        do_under_condition(kv);
        return;
    }
    if (scenario->before == scenario->after)
        return;
    if (scenario->after != ABSENT) {
        put_sized(kv, subject, scenario->after);
        return;
    }
    int err = shmkv_delete(kv, subject, strlen(subject));
    if (err != SHMKV_ENOTFOUND)
        ck_assert_ok(err);
}

void act(void) {
    shmkv_t *kv = open_ok(seg_path, NULL);
    act_attached(kv);
    ck_assert_ok(shmkv_close(kv));
}

/* Attach, which reaps and takes over the locks of the dead. */
void repair(void) { ck_assert_ok(shmkv_close(open_ok(seg_path, NULL))); }

/* -------------------------------------------------------------------- what must hold */

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t hashes[4096];

static void check_once_each(size_t found, const char *whose) {
    qsort(hashes, found, sizeof *hashes, by_value);
    for (size_t i = 1; i < found; i++)
        if (hashes[i] == hashes[i - 1])
            ck_abort_msg("%s a key twice", whose);
}

bool in_between(enum outcome outcome) { return scenario->act == TRANSACT && outcome == NEW; }

bool entries_fit(uint64_t n, enum outcome outcome) {
    uint64_t sure = entries_after(outcome);
    /* The one that was evicted has gone before the new one came. */
    if (evicting() && outcome == OLD && n == sure - 1)
        return true;
    return in_between(outcome) ? n + PARTNERS > sure && n < sure + PARTNERS : n == sure;
}

void check_cursor(shmkv_t *kv, enum outcome outcome) {
    shmkv_cursor_t *c;
    const void *key, *val;
    size_t key_len, val_len, n = 0;
    ck_assert_ok(shmkv_cursor_open(kv, SHMKV_KEYS_ONLY, &c));
    int err;
    while ((err = shmkv_cursor_next(c, &key, &key_len, &val, &val_len)) == SHMKV_OK && n < 4096)
        hashes[n++] = hash_of(kv, key, key_len);
    ck_assert_err(err, SHMKV_ENOTFOUND);
    shmkv_cursor_close(c);
    ck_assert_msg(entries_fit(n, outcome), "the cursor gave %zu keys", n);
    check_once_each(n, "the cursor gave");
}

/* Old: 1, new: 2. NULL: absent. */
static int old_or_new(long before, long after, const char *key, const void *got, size_t len) {
    bool old = got ? before != ABSENT && is_value(key, before, got, len) : before == ABSENT;
    bool new = got ? after != ABSENT && is_value(key, after, got, len) : after == ABSENT;
    return (int)old + 2 * (int)new;
}

static int partner_is(int i, const void *got, size_t len) {
    return old_or_new(partners[i].before, partners[i].after, partner_keys[i], got, len);
}

static bool is_key(const char *text, const void *key, size_t len) {
    return len == strlen(text) && memcmp(key, text, len) == 0;
}

enum outcome outcome_in_snapshot(shmkv_t *kv) {
    shmkv_snapshot_t *s;
    const void *key, *val;
    size_t key_len, val_len;
    int are[1 + PARTNERS], all = 3;
    are[PARTNERS] = old_or_new(scenario->before, scenario->after, subject, NULL, 0);
    for (int i = 0; i < PARTNERS; i++)
        are[i] = scenario->act == TRANSACT ? partner_is(i, NULL, 0) : 3;
    ck_assert_ok(shmkv_snapshot(kv, &s));
    while (shmkv_snapshot_next(s, &key, &key_len, &val, &val_len) == SHMKV_OK) {
        if (is_key(subject, key, key_len))
            are[PARTNERS] = old_or_new(scenario->before, scenario->after, subject, val, val_len);
        for (int i = 0; i < PARTNERS; i++)
            if (is_key(partner_keys[i], key, key_len))
                are[i] = partner_is(i, val, val_len);
    }
    shmkv_snapshot_free(s);
    for (int i = 0; i <= PARTNERS; i++)
        all &= are[i];
    ck_assert_msg(all != 0, "not all keys are old, nor are all new: %d %d %d %d", are[PARTNERS], are[0], are[1], are[2]);
    return all & 1 ? OLD : NEW;
}

/* By gets, when nothing can be half done any more. */
static bool has_outcome(shmkv_t *kv, enum outcome outcome) {
    bool has = has_value(kv, subject, outcome == OLD ? scenario->before : scenario->after);
    for (int i = 0; i < PARTNERS && scenario->act == TRANSACT; i++)
        has = has && has_value(kv, partner_keys[i], outcome == OLD ? partners[i].before : partners[i].after);
    return has;
}

static void check_snapshot(shmkv_t *kv, enum outcome outcome) {
    shmkv_snapshot_t *snapshot;
    const void *key, *val;
    size_t key_len, val_len, n = 0;
    ck_assert_ok(shmkv_snapshot(kv, &snapshot));
    uint64_t entries = shmkv_snapshot_count(snapshot), sure = entries_after(outcome);
    ck_assert(evicting() ? entries_fit(entries, outcome) : entries == sure);
    while (n < 4096 && shmkv_snapshot_next(snapshot, &key, &key_len, &val, &val_len) == SHMKV_OK)
        hashes[n++] = hash_of(kv, key, key_len);
    ck_assert_uint_eq(n, entries);
    check_once_each(n, "the snapshot has");
    shmkv_snapshot_free(snapshot);
}

uint64_t entries_after(enum outcome outcome) {
    if (outcome == OLD || evicting())
        return base_entries;
    return base_entries + (scenario->before == ABSENT && scenario->after != ABSENT) -
           (scenario->before != ABSENT && scenario->after == ABSENT);
}

/* By a reader, at once: nothing has been repaired. */
enum outcome look_at_once(void) {
    shmkv_t *kv = open_mode(seg_path, SHMKV_READONLY);
    ck_assert_whole(kv);
    bool old = has_value(kv, subject, scenario->before),
         new = has_value(kv, subject, scenario->after);
    ck_assert_msg(old || new, "the subject is neither old nor new");
    enum outcome outcome = outcome_in_snapshot(kv);
    ck_assert(in_between(outcome) || (outcome == OLD ? old : new));
    if (scenario->prepare != prepare_nothing)
        each_bystander(kv, false);
    check_cursor(kv, outcome);
    check_snapshot(kv, outcome);
    ck_assert_ok(shmkv_close(kv));
    return outcome;
}

/* By one who was attached when it happened. */
void use_attached(shmkv_t *kv, enum outcome outcome) {
    ck_assert(in_between(outcome) || has_value(kv, subject, outcome == OLD ? scenario->before : scenario->after));
    const char *key = touch_keys[hash_shard(segment_of(kv), hash_of(kv, subject, strlen(subject)))];
    put_sized(kv, key, 5);
    ck_assert(has_value(kv, key, 5));
    ck_assert_ok(shmkv_delete(kv, key, strlen(key)));
    ck_assert(has_value(kv, subject, outcome == OLD ? scenario->before : scenario->after));
    ck_assert_int_eq(outcome_in_snapshot(kv), outcome); /* takes the other locks */
    ck_assert(has_outcome(kv, outcome));
}

static void touch_all_shards(shmkv_t *kv) {
    for (unsigned i = 0; i < SHMKV_DEFAULT_SHARDS; i++) {
        if (!evicting()) /* it would cost another entry */
            put_sized(kv, touch_keys[i], 40);
        ck_assert_err(shmkv_delete(kv, touch_keys[i], strlen(touch_keys[i])),
                      evicting() ? SHMKV_ENOTFOUND : SHMKV_OK);
    }
}

struct account {
    uint64_t cells, groups, directories;
};

static void count_group(struct account *a, struct segment *seg, run_t *group) {
    a->groups++;
    for (unsigned i = 0; i < SHMKV_GROUP_BUCKETS; i++)
        for (bucket_t *b = group_bucket(group, i); b;
             b = b->link ? bucket_at_link(seg, b->link) : NULL) {
            a->cells += b->link != 0;
            for (int k = 0; k < SHMKV_BUCKET_SLOTS; k++)
                a->cells += b->slots[k] && FIELD(b->slots[k], SLOT_CLASS);
        }
}

/* What the index leads to, counted without the help of verify. */
static struct account count_reachable(shmkv_t *kv) {
    struct segment *seg = segment_of(kv);
    struct account a = {0};
    for (uint32_t i = 0; i < seg->shard_count; i++) {
        uint64_t root = seg->shards[i].root, depth = FIELD(root, ROOT_DEPTH);
        if (!root)
            continue;
        a.cells += FIELD(root, ROOT_CLASS) != 0;
        a.directories += 1ULL << depth;
        const uint64_t *words = directory_words(table_directory(seg, root));
        for (uint64_t j = 0; j < 1ULL << depth; j++)
            if (j >> FIELD(words[j], DIRECTORY_DEPTH) == 0)
                count_group(&a, seg, (run_t *)(void *)(seg->base + (words[j] & PAGE_IN_WORD)));
    }
    return a;
}

/* Nobody is attached: nothing is locked, owned, half done or lost. */
struct shmkv_stats check_settled(void) {
    shmkv_t *kv = open_mode(seg_path, SHMKV_READONLY);
    ck_assert_whole(kv);
    struct shmkv_lock locks[SHMKV_DEFAULT_SHARDS + SHMKV_DEFAULT_ARENAS + 1];
    size_t n;
    ck_assert_ok(shmkv_locks(kv, locks, sizeof locks / sizeof *locks, &n));
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(locks[i].owner == -1 && locks[i].intent == 0,
                      "lock %zu is 0x%x, intent 0x%llx", i, locks[i].word,
                      (unsigned long long)locks[i].intent);
    struct shmkv_stats st = stats_of(kv);
    struct account a = count_reachable(kv);
    ck_assert_uint_eq(st.owners_live, 0);
    ck_assert_uint_eq(st.cells_used, a.cells);
    ck_assert_uint_eq(st.group_bytes, a.groups * SHMKV_PAGE_SIZE);
    ck_assert_uint_eq(st.directory_words, a.directories);
    ck_assert_uint_eq(
        st.meta_bytes + st.free_bytes + st.group_bytes + st.slab_bytes + st.large_bytes, st.limit);
    ck_assert_ok(shmkv_close(kv));
    return st;
}

/* A writer repairs everything; then the dead one's work is done again, and the
 * segment is as if nobody had died. */
void repair_and_repeat(enum outcome outcome, const struct shmkv_stats *undisturbed) {
    shmkv_t *kv = open_ok(seg_path, NULL);
    ck_assert(has_outcome(kv, outcome));
    touch_all_shards(kv);
    ck_assert_whole(kv);
    ck_assert(has_outcome(kv, outcome));
    ck_assert_ok(shmkv_close(kv));
    check_settled();

    act();
    struct shmkv_stats st = check_settled();
    /* Who was attached when it happened may have put another key since, and evicted for it. */
    uint64_t fewer = undisturbed->entries - st.entries;
    ck_assert_uint_le(fewer, evicting());
    ck_assert_uint_eq(st.cells_used, undisturbed->cells_used - fewer);
    ck_assert_uint_eq(st.group_bytes, undisturbed->group_bytes);
    ck_assert_uint_eq(st.large_bytes, undisturbed->large_bytes);
    ck_assert_uint_eq(st.directory_words, undisturbed->directory_words);
    kv = open_mode(seg_path, SHMKV_READONLY);
    ck_assert(has_outcome(kv, NEW));
    if (scenario->prepare != prepare_nothing)
        each_bystander(kv, false);
    ck_assert_ok(shmkv_close(kv));
}

struct shmkv_stats run_undisturbed(void) {
    file_copy(base_path, seg_path);
    act();
    shmkv_t *kv = open_ok(seg_path, NULL);
    touch_all_shards(kv);
    ck_assert_ok(shmkv_close(kv));
    struct shmkv_stats st = check_settled();
    unlink(seg_path);
    return st;
}

/* ------------------------------------------------------------------- replacing a segment */

void replace(void) {
    shmkv_t *kv = open_mode(seg_path, SHMKV_EXCLUSIVE);
    put_text(kv, "fresh", "new");
    ck_assert_ok(shmkv_close(kv));
}

/* What has the name is the old segment, untouched, or a new one. */
enum outcome look_at_replaced(shmkv_t *kv) {
    ck_assert_whole(kv);
    if (info_of(kv).incarnation == 1) {
        each_bystander(kv, false);
        ck_assert_value(kv, "fresh", NULL);
        return OLD;
    }
    ck_assert_uint_eq(info_of(kv).incarnation, 2);
    ck_assert(has_value(kv, "bystander-7", ABSENT));
    return NEW;
}

enum outcome open_and_look(int mode) {
    shmkv_t *kv = open_mode(seg_path, mode);
    enum outcome outcome = look_at_replaced(kv);
    ck_assert_ok(shmkv_close(kv));
    return outcome;
}

/* Attached since before, the handles read and write what others find by the name. */
void check_attached_follow(shmkv_t *reader, shmkv_t *writer, enum outcome outcome) {
    /* proves [LIFE-14] [LIFE-15] [LIFE-16] */
    ck_assert_int_eq(look_at_replaced(reader), outcome);
    ck_assert_int_eq(look_at_replaced(writer), outcome);
    put_text(writer, "written by", "the attached");
    ck_assert_value(reader, "written by", "the attached");
    shmkv_t *kv = open_mode(seg_path, SHMKV_READONLY);
    ck_assert_value(kv, "written by", "the attached");
    ck_assert_ok(shmkv_close(kv));
}

void replace_after_death(void) {
    replace();
    shmkv_t *kv = open_mode(seg_path, SHMKV_EXISTING);
    ck_assert_value(kv, "fresh", "new");
    ck_assert_value(kv, "written by", NULL);
    ck_assert_uint_eq(count_of(kv), 1);
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(kv));
    check_settled();
    /* Whatever lay at a swap name is gone. */
    ck_assert_uint_eq(directory_count(scratch_dir()), 1);
}

void new_victim(void) {
    scenario = &scenarios[0];
    seg_path = scratch_path("seg");
    shmkv_t *kv = open_mode(seg_path, SHMKV_EXCLUSIVE);
    ck_assert_ok(shmkv_close(kv));
    ck_assert_ok(shmkv_unlink(seg_path));
    kv = open_ok(seg_path, NULL);
    each_bystander(kv, true);
    ck_assert_ok(shmkv_close(kv));
}
