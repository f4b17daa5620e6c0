/*
 * Death at every fault point of every operation, and of every recovery.
 *
 * A scenario prepares a segment, once. Then a child does one thing to a copy of
 * it, again and again, and kills itself at the first fault point it passes, at
 * the second, and so on until it gets through. After each death:
 *
 *  - at once, without repair: the segment verifies, the key that the child was
 *    working on is old or new, all others are as they were, and a process that
 *    was attached all along reads and writes;
 *  - after repair by whoever opens it next: nothing is locked, owned or lost;
 *  - after repeating what the dead one did: the same cells, groups and runs are
 *    in use as in a run in which nobody died;
 *  - and all of this again with a repairer that dies at each of its own points.
 *
 * proves [CRASH-01] [CRASH-02] [CRASH-03] [CRASH-05] [CRASH-06] [CRASH-07]
 * [CRASH-08] [CRASH-09] [LAYOUT-10] [LOCK-07] [LOCK-14] [LOCK-21] [LOCK-22]
 * [LOCK-23] [LOCK-24] [OP-02] [OP-09] [OP-11] [OP-15] [OP-17] [OP-18] [OP-19] [OP-20]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/checks.h"

/* ------------------------------------------------------------------- fault points */

/* Every FAULT_POINT() of the core. One that is not here fails the test, and so
 * does one at which no child has died. */
static const char *const points[] = {
    "claim-after-live",
    "commit-after-entry",
    "commit-after-intent",
    "commit-before-first",
    "commit-before-intent",
    "create-after-link",
    "create-before-link",
    "extend-after-allocate",
    "group-before-kind",
    "reap-after-locks",
    "record-before-even",
    "replace-after-exchange",
    "replace-after-replacing",
    "replace-after-state",
    "replace-before-exchange",
    "replay-after-entry",
    "replay-after-intent",
    "slab-in-hand",
    "takeover-before-replay",
    "takeover-before-swap",
};
#define POINT_COUNT (sizeof points / sizeof *points)

/* Across all children of all tests. */
static struct tally {
    unsigned deaths[POINT_COUNT];
    unsigned runs;
} *tally;

static unsigned armed, passed; /* die at this point, points passed; armed 0: never */

void shmkv_fault_point(const char *name) {
    size_t i = 0;
    while (i < POINT_COUNT && strcmp(points[i], name) != 0)
        i++;
    if (i == POINT_COUNT) {
        fprintf(stderr, "fault point '%s' is not in the list of tests/crash\n", name);
        abort();
    }
    if (!armed || ++passed != armed)
        return;
    __atomic_add_fetch(&tally->deaths[i], 1, __ATOMIC_RELAXED);
    raise(SIGKILL);
}

/* Run body in a child that dies at its n-th point. True if it got through. */
static bool get_through(void (*body)(void), unsigned n) {
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        armed = n;
        body();
        _exit(0);
    }
    int status = child_wait(pid);
    tally->runs++;
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    ck_assert_msg(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0), "point %u: the child ended with status 0x%x",
                  n, (unsigned)status);
    return !killed;
}

/* ---------------------------------------------------------------------- scenarios */

#define BYSTANDERS 40
#define ABSENT -1
#define LARGEST (1 << 20)
#define SEED 0x5eed /* of every prepared segment, so that each run does the same */

/* What the child does: put or delete the key "subject". */
struct scenario {
    const char *what;
    void (*prepare)(shmkv_t *kv);
    long before, after; /* sizes of its values, or ABSENT; the same: nothing is done */
};

static const struct scenario *scenario;
static const char *const subject = "subject";
static const char *seg_path, *base_path, *crashed_path;
static uint64_t base_entries;
/* A key of each shard that no scenario uses otherwise. */
static char touch_keys[SHMKV_DEFAULT_SHARDS][KEY_TEXT_SIZE];

/* A value that is no other key's and no other size's. */
static const uint8_t *value_of(const char *key, long size) {
    static uint8_t value[LARGEST];
    uint64_t seed = hash_bytes(key, strlen(key), (uint64_t)size);
    for (long i = 0; i < size; i++)
        value[i] = (uint8_t)((seed >> (i & 7) * 8) ^ (uint64_t)i >> 3);
    return value;
}

static void put_sized(shmkv_t *kv, const char *key, long size) {
    ck_assert_ok(shmkv_put(kv, key, strlen(key), value_of(key, size), (size_t)size));
}

static bool has_value(shmkv_t *kv, const char *key, long size) {
    static uint8_t got[LARGEST];
    size_t len;
    int err = shmkv_get(kv, key, strlen(key), got, sizeof got, &len);
    ck_assert_msg(err == SHMKV_OK || err == SHMKV_ENOTFOUND, "get %s: %s (%s)", key, result_name(err),
                  shmkv_error_detail());
    if (size == ABSENT || err)
        return size == ABSENT && err;
    return len == (size_t)size && memcmp(got, value_of(key, size), len) == 0;
}

static long bystander_size(int i) { return i % 5 == 0 ? 3000 : i % 3 == 0 ? 200 : i; }

static void each_bystander(shmkv_t *kv, bool put) {
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
    ck_assert_ok(table_find(ctx, subject_shard(kv), hash_of(kv, subject, strlen(subject)), subject, strlen(subject), &place));
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

static void prepare_nothing(shmkv_t *kv) { (void)kv; }
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

static const struct scenario scenarios[] = {
    {"attach and detach", prepare_bystanders, ABSENT, ABSENT},
    {"put the first key of a segment", prepare_nothing, ABSENT, 20},
    {"put a new key", prepare_bystanders, ABSENT, 20},
    {"overwrite within a class", prepare_bystanders, 20, 21},
    {"overwrite by a larger class", prepare_bystanders, 20, 300},
    {"overwrite by a smaller class", prepare_bystanders, 2000, 0},
    {"overwrite by a large value", prepare_bystanders, 20, 100000},
    {"overwrite a large value by another", prepare_bystanders, 100000, 50000},
    {"overwrite a large value by a small one", prepare_bystanders, 100000, 20},
    {"delete", prepare_bystanders, 20, ABSENT},
    {"delete a large value", prepare_bystanders, 100000, ABSENT},
    {"delete the last of a slab", prepare_retire, 1900, ABSENT},
    {"extend the segment", prepare_bystanders, ABSENT, LARGEST},
    {"chain an overflow bucket", prepare_chain, ABSENT, 20},
    {"double a directory and split a group", prepare_split, ABSENT, 20},
    {"split a group", prepare_split_without_doubling, ABSENT, 20},
};
#define SCENARIO_COUNT ((int)(sizeof scenarios / sizeof *scenarios))

static void prepare_base(void) {
    base_path = scratch_path("base");
    crashed_path = scratch_path("crashed");
    seg_path = scratch_path("seg");
    ck_assert_ok(shmkv_close(open_ok(base_path, NULL)));
    uint64_t seed = SEED;
    file_patch(base_path, offsetof(header_t, hash_seed), &seed, sizeof seed);
    header_reseal(base_path);

    shmkv_t *kv = open_ok(base_path, NULL);
    scenario->prepare(kv);
    if (scenario->before != ABSENT)
        put_sized(kv, subject, scenario->before);
    for (uint32_t i = 0; i < SHMKV_DEFAULT_SHARDS; i++) {
        struct key_search of_shard = search_shard(kv, i, "touch");
        key_find(&of_shard, touch_keys[i]);
    }
    ck_assert_whole(kv);
    base_entries = count_of(kv);
    ck_assert_ok(shmkv_close(kv));
}

static void forget_files(void) {
    unlink(base_path);
    unlink(crashed_path);
    unlink(seg_path);
}

/* ------------------------------------------------------------------ what children do */

static void do_the_thing(shmkv_t *kv) {
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

static void act(void) {
    shmkv_t *kv = open_ok(seg_path, NULL);
    do_the_thing(kv);
    ck_assert_ok(shmkv_close(kv));
}

/* Attach, which reaps and takes over the locks of the dead. */
static void repair(void) { ck_assert_ok(shmkv_close(open_ok(seg_path, NULL))); }

/* -------------------------------------------------------------------- what must hold */

enum outcome { OLD, NEW };

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A walk and a snapshot give each key once, also over a half-done split. */
static void check_walks(shmkv_t *kv, uint64_t entries) {
    static uint64_t hashes[4096];
    shmkv_cursor_t *c;
    const void *key, *val;
    size_t key_len, val_len, n = 0;
    ck_assert_ok(shmkv_cursor_open(kv, SHMKV_KEYS_ONLY, &c));
    int err;
    while ((err = shmkv_cursor_next(c, &key, &key_len, &val, &val_len)) == SHMKV_OK && n < 4096)
        hashes[n++] = hash_of(kv, key, key_len);
    ck_assert_err(err, SHMKV_ENOTFOUND);
    shmkv_cursor_close(c);
    ck_assert_uint_eq(n, entries);
    qsort(hashes, n, sizeof *hashes, by_value);
    for (size_t i = 1; i < n; i++)
        if (hashes[i] == hashes[i - 1])
            ck_abort_msg("the cursor gave a key twice");

    shmkv_snapshot_t *snapshot;
    ck_assert_ok(shmkv_snapshot(kv, &snapshot));
    ck_assert_uint_eq(shmkv_snapshot_count(snapshot), entries);
    size_t m = 0;
    while (m < 4096 && shmkv_snapshot_next(snapshot, &key, &key_len, &val, &val_len) == SHMKV_OK)
        hashes[m++] = hash_of(kv, key, key_len);
    ck_assert_uint_eq(m, entries);
    qsort(hashes, m, sizeof *hashes, by_value);
    for (size_t i = 1; i < m; i++)
        if (hashes[i] == hashes[i - 1])
            ck_abort_msg("the snapshot has a key twice");
    shmkv_snapshot_free(snapshot);
}

static uint64_t entries_after(enum outcome outcome) {
    if (outcome == OLD)
        return base_entries;
    return base_entries + (scenario->before == ABSENT && scenario->after != ABSENT) -
           (scenario->before != ABSENT && scenario->after == ABSENT);
}

/* By a reader, at once: nothing has been repaired. */
static enum outcome look_at_once(void) {
    shmkv_t *kv = open_mode(seg_path, SHMKV_READONLY);
    ck_assert_whole(kv);
    bool old = has_value(kv, subject, scenario->before), new = has_value(kv, subject, scenario->after);
    ck_assert_msg(old || new, "the subject is neither old nor new");
    if (scenario->prepare != prepare_nothing)
        each_bystander(kv, false);
    check_walks(kv, entries_after(old ? OLD : NEW));
    ck_assert_ok(shmkv_close(kv));
    return old ? OLD : NEW;
}

/* By one who was attached when it happened. */
static void use_attached(shmkv_t *kv, enum outcome outcome) {
    ck_assert(has_value(kv, subject, outcome == OLD ? scenario->before : scenario->after));
    const char *key = touch_keys[hash_shard(segment_of(kv), hash_of(kv, subject, strlen(subject)))];
    put_sized(kv, key, 5);
    ck_assert(has_value(kv, key, 5));
    ck_assert_ok(shmkv_delete(kv, key, strlen(key)));
    ck_assert(has_value(kv, subject, outcome == OLD ? scenario->before : scenario->after));
}

static void touch_all_shards(shmkv_t *kv) {
    for (unsigned i = 0; i < SHMKV_DEFAULT_SHARDS; i++) {
        put_sized(kv, touch_keys[i], 40);
        ck_assert_ok(shmkv_delete(kv, touch_keys[i], strlen(touch_keys[i])));
    }
}

struct account {
    uint64_t cells, groups, directories;
};

static void count_group(struct account *a, struct segment *seg, run_t *group) {
    a->groups++;
    for (unsigned i = 0; i < SHMKV_GROUP_BUCKETS; i++)
        for (bucket_t *b = group_bucket(group, i); b; b = b->link ? bucket_at_link(seg, b->link) : NULL) {
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
static struct shmkv_stats check_settled(void) {
    shmkv_t *kv = open_mode(seg_path, SHMKV_READONLY);
    ck_assert_whole(kv);
    struct shmkv_lock locks[SHMKV_DEFAULT_SHARDS + SHMKV_DEFAULT_ARENAS + 1];
    size_t n;
    ck_assert_ok(shmkv_locks(kv, locks, sizeof locks / sizeof *locks, &n));
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(locks[i].owner == -1 && locks[i].intent == 0, "lock %zu is 0x%x, intent 0x%llx", i, locks[i].word,
                      (unsigned long long)locks[i].intent);
    struct shmkv_stats st = stats_of(kv);
    struct account a = count_reachable(kv);
    ck_assert_uint_eq(st.owners_live, 0);
    ck_assert_uint_eq(st.cells_used, a.cells);
    ck_assert_uint_eq(st.group_bytes, a.groups * SHMKV_PAGE_SIZE);
    ck_assert_uint_eq(st.directory_words, a.directories);
    ck_assert_uint_eq(st.meta_bytes + st.free_bytes + st.group_bytes + st.slab_bytes + st.large_bytes, st.limit);
    ck_assert_ok(shmkv_close(kv));
    return st;
}

/* A writer repairs everything; then the dead one's work is done again, and the
 * segment is as if nobody had died. */
static void repair_and_repeat(enum outcome outcome, const struct shmkv_stats *undisturbed) {
    shmkv_t *kv = open_ok(seg_path, NULL);
    ck_assert(has_value(kv, subject, outcome == OLD ? scenario->before : scenario->after));
    touch_all_shards(kv);
    ck_assert_whole(kv);
    ck_assert(has_value(kv, subject, outcome == OLD ? scenario->before : scenario->after));
    ck_assert_ok(shmkv_close(kv));
    check_settled();

    act();
    struct shmkv_stats st = check_settled();
    ck_assert_uint_eq(st.entries, undisturbed->entries);
    ck_assert_uint_eq(st.cells_used, undisturbed->cells_used);
    ck_assert_uint_eq(st.group_bytes, undisturbed->group_bytes);
    ck_assert_uint_eq(st.large_bytes, undisturbed->large_bytes);
    ck_assert_uint_eq(st.directory_words, undisturbed->directory_words);
    kv = open_mode(seg_path, SHMKV_READONLY);
    ck_assert(has_value(kv, subject, scenario->after));
    if (scenario->prepare != prepare_nothing)
        each_bystander(kv, false);
    ck_assert_ok(shmkv_close(kv));
}

static struct shmkv_stats run_undisturbed(void) {
    file_copy(base_path, seg_path);
    act();
    shmkv_t *kv = open_ok(seg_path, NULL);
    touch_all_shards(kv);
    ck_assert_ok(shmkv_close(kv));
    struct shmkv_stats st = check_settled();
    unlink(seg_path);
    return st;
}

/* ------------------------------------------------------------------------ one death */

/* Die at each point in turn. With a companion attached, whose slot becomes free
 * before the repair, so that the dead one's slot is reaped and not claimed. */
static unsigned die_everywhere(bool attached, const struct shmkv_stats *undisturbed) {
    for (unsigned n = 1;; n++) {
        file_copy(base_path, seg_path);
        shmkv_t *kv = attached ? open_ok(seg_path, NULL) : NULL;
        bool through = get_through(act, n);
        enum outcome outcome = look_at_once();
        ck_assert(!through || outcome == NEW || scenario->before == scenario->after);
        if (kv) {
            use_attached(kv, outcome);
            ck_assert_ok(shmkv_close(kv));
        }
        repair_and_repeat(outcome, undisturbed);
        unlink(seg_path);
        if (through)
            return n - 1;
    }
}

START_TEST(test_death_at_any_point_leaves_old_or_new_and_loses_nothing) {
    scenario = &scenarios[_i / 2];
    prepare_base();
    struct shmkv_stats undisturbed = run_undisturbed();
    unsigned deaths = die_everywhere(_i % 2, &undisturbed);
    printf("%s%s: %u deaths\n", scenario->what, _i % 2 ? ", another attached" : "", deaths);
    ck_assert_uint_gt(deaths, 0);
    forget_files();
}
END_TEST

/* ---------------------------------------------------------------------- and a second */

/* seg_path died once, at @p n; kept at crashed_path. Let its repairer die as well. */
static unsigned repairer_dies_everywhere(enum outcome outcome, const struct shmkv_stats *undisturbed) {
    for (unsigned m = 1;; m++) {
        file_copy(crashed_path, seg_path);
        bool through = get_through(repair, m);
        enum outcome now = look_at_once();
        ck_assert(now == outcome || scenario->before == scenario->after);
        repair_and_repeat(outcome, undisturbed);
        unlink(seg_path);
        if (through)
            return m - 1;
    }
}

/* Points from one first death to the next, so that a dozen are looked at. */
static unsigned stride(void) {
    unsigned n = 1;
    for (bool through = false; !through; n++) {
        file_copy(base_path, seg_path);
        through = get_through(act, n);
        unlink(seg_path);
    }
    return 1 + n / 12;
}

START_TEST(test_death_of_the_repairer_at_any_point_is_repaired_as_well) {
    scenario = &scenarios[_i / 2];
    prepare_base();
    struct shmkv_stats undisturbed = run_undisturbed();
    unsigned deaths = 0, step = stride();
    bool through = false;
    for (unsigned n = 1; !through; n += step) {
        file_copy(base_path, seg_path);
        shmkv_t *kv = _i % 2 ? open_ok(seg_path, NULL) : NULL;
        through = get_through(act, n);
        ck_assert_ok(shmkv_close(kv)); /* frees slot 0: the repairer reaps another */
        enum outcome outcome = look_at_once();
        file_copy(seg_path, crashed_path);
        unlink(seg_path);
        if (!through)
            deaths += repairer_dies_everywhere(outcome, &undisturbed);
    }
    printf("%s%s: %u second deaths, one first death in %u\n", scenario->what, _i % 2 ? ", another attached" : "", deaths, step);
    forget_files();
}
END_TEST

/* ------------------------------------------------------------------- creating a segment */

START_TEST(test_death_while_creating_leaves_nothing_or_a_whole_segment) {
    static const struct scenario create = {"create", prepare_nothing, ABSENT, 20};
    scenario = &create;
    seg_path = scratch_path("seg");
    bool through = false;
    for (unsigned n = 1; !through; n++) {
        through = get_through(act, n);
        ck_assert_uint_le(directory_count(scratch_dir()), 1);
        if (directory_count(scratch_dir()) == 1)
            look_at_once();
        act();
        check_settled();
        ck_assert_ok(shmkv_unlink(seg_path));
        ck_assert_uint_eq(directory_count(scratch_dir()), 0);
    }
}
END_TEST

/* ------------------------------------------------------------------- replacing a segment */

static void replace(void) {
    shmkv_t *kv = open_mode(seg_path, SHMKV_EXCLUSIVE);
    put_text(kv, "fresh", "new");
    ck_assert_ok(shmkv_close(kv));
}

/* What has the name is the old segment, untouched, or a new one. */
static enum outcome look_at_replaced(shmkv_t *kv) {
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

static enum outcome open_and_look(int mode) {
    shmkv_t *kv = open_mode(seg_path, mode);
    enum outcome outcome = look_at_replaced(kv);
    ck_assert_ok(shmkv_close(kv));
    return outcome;
}

/* Attached since before, the handles read and write what others find by the name. */
static void check_attached_follow(shmkv_t *reader, shmkv_t *writer, enum outcome outcome) {
    /* proves [LIFE-14] [LIFE-15] [LIFE-16] */
    ck_assert_int_eq(look_at_replaced(reader), outcome);
    ck_assert_int_eq(look_at_replaced(writer), outcome);
    put_text(writer, "written by", "the attached");
    ck_assert_value(reader, "written by", "the attached");
    shmkv_t *kv = open_mode(seg_path, SHMKV_READONLY);
    ck_assert_value(kv, "written by", "the attached");
    ck_assert_ok(shmkv_close(kv));
}

static void replace_after_death(void) {
    replace();
    shmkv_t *kv = open_mode(seg_path, SHMKV_EXISTING);
    ck_assert_value(kv, "fresh", "new");
    ck_assert_value(kv, "written by", NULL);
    ck_assert_uint_eq(count_of(kv), 1);
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(kv));
    check_settled();
    /* Whatever lay at the swap name is gone. */
    ck_assert_uint_eq(directory_count(scratch_dir()), 1);
}

static void new_victim(void) {
    scenario = &scenarios[0];
    seg_path = scratch_path("seg");
    shmkv_t *kv = open_mode(seg_path, SHMKV_EXCLUSIVE);
    ck_assert_ok(shmkv_close(kv));
    ck_assert_ok(shmkv_unlink(seg_path));
    kv = open_ok(seg_path, NULL);
    each_bystander(kv, true);
    ck_assert_ok(shmkv_close(kv));
}

/* proves [LIFE-11] [LIFE-12] */
START_TEST(test_death_while_replacing_leaves_the_old_or_the_new_segment) {
    bool through = false;
    unsigned n;
    for (n = 1; !through; n++) {
        new_victim();
        shmkv_t *reader = _i ? open_mode(seg_path, SHMKV_READONLY) : NULL;
        shmkv_t *writer = _i ? open_mode(seg_path, SHMKV_EXISTING) : NULL;
        through = get_through(replace, n);
        enum outcome outcome = open_and_look(SHMKV_READONLY);
        ck_assert(!through || outcome == NEW);
        if (_i)
            check_attached_follow(reader, writer, outcome);
        ck_assert_ok(shmkv_close(reader));
        ck_assert_ok(shmkv_close(writer));
        ck_assert_int_eq(open_and_look(SHMKV_EXISTING), outcome);
        replace_after_death();
        ck_assert_ok(shmkv_unlink(seg_path));
    }
    printf("replace: %u deaths\n", n - 2);
}
END_TEST

START_TEST(test_death_of_two_replacers_is_repaired_by_the_third) {
    bool first_through = false;
    unsigned deaths = 0;
    for (unsigned n = 1; !first_through; n += 5) {
        bool second_through = false;
        for (unsigned m = 1; !second_through && !first_through; m++) {
            new_victim();
            first_through = get_through(replace, n);
            second_through = get_through(replace, m);
            deaths += !second_through;
            shmkv_t *kv = open_mode(seg_path, SHMKV_READONLY);
            ck_assert_whole(kv);
            if (info_of(kv).incarnation == 1)
                each_bystander(kv, false);
            ck_assert_ok(shmkv_close(kv));
            replace_after_death();
            ck_assert_ok(shmkv_unlink(seg_path));
        }
    }
    printf("replace: %u second deaths\n", deaths);
}
END_TEST

/* ------------------------------------------------------------------------------ all */

START_TEST(test_every_fault_point_has_been_died_at) {
    unsigned missed = 0;
    for (size_t i = 0; i < POINT_COUNT; i++) {
        printf("%6u %s\n", tally->deaths[i], points[i]);
        missed += tally->deaths[i] == 0;
    }
    printf("%u children\n", tally->runs);
    ck_assert_uint_eq(missed, 0);
}
END_TEST

static Suite *crash_suite(void) {
    Suite *s = suite_create("crash");
    TCase *tc = case_new(s, "one death");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_death_at_any_point_leaves_old_or_new_and_loses_nothing, 0, 2 * SCENARIO_COUNT);
    tcase_add_test(tc, test_death_while_creating_leaves_nothing_or_a_whole_segment);
    tcase_add_loop_test(tc, test_death_while_replacing_leaves_the_old_or_the_new_segment, 0, 2);
    tc = case_new(s, "two deaths");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_death_of_the_repairer_at_any_point_is_repaired_as_well, 0, 2 * SCENARIO_COUNT);
    tcase_add_test(tc, test_death_of_two_replacers_is_repaired_by_the_third);
    tc = case_new(s, "all points");
    tcase_add_test(tc, test_every_fault_point_has_been_died_at);
    return s;
}

int main(void) {
    tally = shared_memory(sizeof *tally);
    return suite_main(crash_suite());
}
