/*
 * The n-th call into the system fails: every kind of call (calls.h), every n until
 * the operation comes through untouched, every errno it may give, once and from then
 * on; in every operation.
 *
 * Each case is a process of its own, which begins with a copy of a prepared
 * directory: a segment, and what a dead writer or replacer left. After the failure:
 *
 *  - the result is the injected errno, or the result that stands for it; or the
 *    operation did without the call, and succeeded. The detail ends with the text of
 *    the result;
 *  - old or new: an operation that failed has changed nothing, in particular no
 *    EXCLUSIVE has replaced and no creation has left anything; all other entries are as
 *    they were, by the same handle, by one that was open all the time, and by a new one;
 *  - the same operation, repeated, succeeds;
 *  - no lock is held, no slot claimed, no intent active, no file left over, and
 *    shmkv_verify() finds nothing;
 *  - with everything closed the process has as many descriptors, mappings and
 *    pieces of memory as before, save the two pages kept for its lifetime.
 *
 * Where an operation takes over 64 locks and waits for each, only some of the calls beyond
 * the sixth fail, once, by their first errno, unless SHMKV_EVERY_CALL is set.
 *
 * Arguments: [OPERATION [KIND NTH ERRNO 0|1]]: that operation only, or one case of it.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/calls.h"
#include "tests/support/must.h"
#include "tests/support/support.h"

#define BASE 30
#define ABSENT (-1L)
#define LARGE 400000
#define OWNERS 8
#define TIMEOUT_MS 300
#define MOST_CALLS 3000 /* an operation that makes more of one kind does not end */

/* ---------------------------------------------------------------------- the case */

struct scene {
    const struct operation *op;
    const char *name; /* as given to shmkv_open() */
    char key[KEY_TEXT_SIZE];
    shmkv_t *kv, *bystander;
    pid_t holder;
};

struct operation {
    const char *name;
    const char *from; /* the prepared directory; NULL: nothing there */
    void (*prepare)(struct scene *s);
    int (*run)(struct scene *s);
    int mode;           /* of the handle, or of the open that is the operation */
    long before, after; /* size of the subject's value if the operation fails, if it succeeds */
    unsigned world;     /* what the system does not have */
    int result;         /* of the operation when nothing fails */
    bool empty;         /* it finds an empty one */
    bool empties;       /* it replaces the segment by an empty one */
    bool removes;       /* it removes the segment */
    bool repeats;       /* it does the same for every lock, and waits a millisecond at each */
};

static struct report {
    unsigned failed; /* calls that were made to fail */
    int err;
} * report;
static char case_dir[500], segment_path[520];

/* ---------------------------------------------------------------------- contents */

static const uint8_t *value_of(const char *key, long size) {
    static uint8_t value[LARGE];
    for (long i = 0; i < size; i++)
        value[i] = (uint8_t)(key[0] * 7 + key[strlen(key) - 1] * 31 + size + i % 251);
    return value;
}

static int put_sized(shmkv_t *kv, const char *key, long size) {
    return shmkv_put(kv, key, strlen(key), value_of(key, size), (size_t)size);
}

static bool has(shmkv_t *kv, const char *key, long size) {
    static uint8_t got[LARGE];
    size_t len;
    int err = shmkv_get(kv, key, strlen(key), got, sizeof got, &len);
    if (size == ABSENT)
        return err == SHMKV_ENOTFOUND;
    return err == SHMKV_OK && len == (size_t)size && memcmp(got, value_of(key, size), len) == 0;
}

static void each_base(shmkv_t *kv, bool put) {
    for (long i = 0; i < BASE; i++) {
        char key[KEY_TEXT_SIZE];
        snprintf(key, sizeof key, "base-%ld", i);
        long size = i == 7 ? 20000 : i * i;
        if (put)
            MUST(put_sized(kv, key, size) == SHMKV_OK);
        else
            MUST(has(kv, key, size));
    }
}

static struct shmkv_options options(int mode) {
    return (struct shmkv_options){.size = sizeof(struct shmkv_options),
                                  .mode = mode,
                                  .owner_slots = OWNERS,
                                  .lock_timeout_ms = TIMEOUT_MS};
}

static shmkv_t *open_one(const char *name, int mode) {
    struct shmkv_options opts = options(mode);
    shmkv_t *kv;
    MUST(shmkv_open(name, &opts, &kv) == SHMKV_OK);
    return kv;
}

static bool whole(shmkv_t *kv) {
    uint64_t problems = 1;
    return shmkv_verify(kv, NULL, NULL, &problems) == SHMKV_OK && problems == 0;
}

static bool nothing_locked(shmkv_t *kv) {
    static struct shmkv_lock locks[SHMKV_DEFAULT_SHARDS + SHMKV_DEFAULT_ARENAS + 1];
    size_t n, capacity = sizeof locks / sizeof *locks;
    if (shmkv_locks(kv, locks, capacity, &n) != SHMKV_OK || n != capacity)
        return false;
    for (size_t i = 0; i < n; i++)
        if (locks[i].word || locks[i].intent)
            return false;
    return true;
}

static size_t owners_of(shmkv_t *kv) {
    size_t n;
    MUST(shmkv_owners(kv, NULL, 0, &n) == SHMKV_OK);
    return n;
}

/* ------------------------------------------------------- prepared directories */

static const char *dies_at = "";
void shmkv_fault_point(const char *name);
void shmkv_fault_point(const char *name) {
    if (strcmp(name, dies_at) == 0)
        _exit(0); /* as good as SIGKILL: no handler of ours runs at exit */
}

static char double_key[KEY_TEXT_SIZE], split_key[KEY_TEXT_SIZE];

/* Of a prepared directory, or of an entry in it. Valid until the next call. */
static const char *prepared(const char *from, const char *entry) {
    static char path[500];
    snprintf(path, sizeof path, "%s/%s%s%s", scratch_dir(), from, *entry ? "/" : "", entry);
    return path;
}

static void build_base(void *arg) {
    (void)arg;
    shmkv_t *kv = open_one(prepared("base", "seg"), SHMKV_SHARED);
    each_base(kv, true);
    MUST(put_sized(kv, "subject", 3) == SHMKV_OK);
    MUST(whole(kv));
    MUST(shmkv_close(kv) == SHMKV_OK);
}

/* Everything as in @p from, to be changed further. */
static void copy_directory(const char *from, const char *to_) {
    char to[500];
    snprintf(to, sizeof to, "%s", to_);
    DIR *d = opendir(prepared(from, ""));
    MUST(d && (mkdir(to, 0700) == 0 || errno == EEXIST));
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char source[500], target[800];
        snprintf(source, sizeof source, "%s", prepared(from, e->d_name));
        snprintf(target, sizeof target, "%s/%s", to, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            file_copy(source, target);
    }
    closedir(d);
}

static void remove_directory(const char *path) {
    DIR *d = opendir(path);
    MUST(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char entry[800];
        snprintf(entry, sizeof entry, "%s/%s", path, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlink(entry);
    }
    closedir(d);
    MUST(rmdir(path) == 0);
}

struct growth {
    char double_key[KEY_TEXT_SIZE], split_key[KEY_TEXT_SIZE];
};

/* Just before the put of a key that doubles a directory, and of one that splits a group
 * without. The copy shows an attached owner, who does not exist: opening it cleans up. */
static void build_growth(void *arg) {
    struct growth *keys = arg;
    char next[KEY_TEXT_SIZE];
    copy_directory("base", prepared("growing", ""));
    shmkv_t *kv = open_one(prepared("growing", "seg"), SHMKV_SHARED);
    struct key_search search = search_shard(kv, 9, "g");
    struct shmkv_stats old = {.size = sizeof old}, now = old;
    MUST(shmkv_stats(kv, &old) == SHMKV_OK);
    for (unsigned n = 0; !*keys->double_key || !*keys->split_key; n++) {
        key_find(&search, next);
        bool near = n >= 300;
        if (near)
            copy_directory("growing", prepared("snapshot", ""));
        MUST(put_sized(kv, next, 8) == SHMKV_OK);
        MUST(shmkv_stats(kv, &now) == SHMKV_OK);
        bool doubles = near && now.directory_words > old.directory_words;
        bool splits = near && !doubles && now.group_bytes > old.group_bytes;
        old = now;
        char *key = doubles ? keys->double_key : splits ? keys->split_key : NULL;
        if (key && !*key) {
            strcpy(key, next);
            copy_directory("snapshot", prepared(doubles ? "double" : "split", ""));
        }
    }
    MUST(shmkv_close(kv) == SHMKV_OK);
    for (int i = 0; i < 2; i++) {
        kv = open_one(prepared(i ? "double" : "split", "seg"), SHMKV_EXISTING);
        MUST(whole(kv) && owners_of(kv) == 1);
        MUST(shmkv_close(kv) == SHMKV_OK);
    }
}

/* What a writer leaves that dies at a fault point while it stores something new and large. */
static const char *const deaths[] = {"claim-after-live",      "slab-in-hand",
                                     "group-before-kind",     "record-before-even",
                                     "extend-after-allocate", "commit-after-intent"};
#define DEATHS (sizeof deaths / sizeof *deaths)

static void die_writing(void *arg) {
    dies_at = arg;
    struct shmkv_options opts = options(SHMKV_EXISTING);
    shmkv_t *kv;
    char key[KEY_TEXT_SIZE];
    /* Fault points are passed in the opening as well. */
    if (shmkv_open(segment_path, &opts, &kv) == SHMKV_OK)
        for (int i = 0; i < 200; i++) {
            snprintf(key, sizeof key, "doomed-%d", i);
            put_sized(kv, key, i % 4 ? i * 9 : LARGE);
        }
    _exit(99);
}

static void die_replacing(void *arg) {
    dies_at = arg;
    open_one(segment_path, SHMKV_EXCLUSIVE);
    _exit(99);
}

static void build_death(const char *point, void (*die)(void *)) {
    copy_directory("base", prepared(point, ""));
    snprintf(segment_path, sizeof segment_path, "%s", prepared(point, "seg"));
    MUST(child_succeeded(child_start(die, (void *)(uintptr_t)point)));
}

static void build_all(void) {
    struct growth *keys = shared_memory(sizeof *keys);
    MUST(mkdir(prepared("base", ""), 0700) == 0);
    MUST(child_succeeded(child_start(build_base, NULL)));
    MUST(child_succeeded(child_start(build_growth, keys)));
    strcpy(double_key, keys->double_key);
    strcpy(split_key, keys->split_key);
    for (unsigned i = 0; i < DEATHS; i++)
        build_death(deaths[i], die_writing);
    build_death("replace-after-replacing", die_replacing);
    build_death("replace-after-exchange", die_replacing);
}

/* -------------------------------------------------------------------- operations */

static void prepare_fresh(struct scene *s) { (void)s; }

static void prepare_handle(struct scene *s) {
    s->bystander = open_one(s->name, SHMKV_SHARED);
    s->kv = open_one(s->name, s->op->mode);
}

static void prepare_attended(struct scene *s) { s->bystander = open_one(s->name, SHMKV_SHARED); }

static void prepare_double(struct scene *s) {
    prepare_handle(s);
    strcpy(s->key, double_key);
}

static void prepare_split(struct scene *s) {
    prepare_handle(s);
    strcpy(s->key, split_key);
}

/* A key of a shard that has none. */
static void prepare_first_of_shard(struct scene *s) {
    prepare_handle(s);
    struct segment *seg = segment_of(s->kv);
    uint32_t shard = 0;
    while (seg->shards[shard].root && shard < seg->shard_count)
        shard++;
    MUST(shard < seg->shard_count);
    struct key_search search = search_shard(s->kv, shard, "first");
    key_find(&search, s->key);
}

/* The file has grown since the handle looked. */
static void prepare_outgrown(struct scene *s) {
    prepare_handle(s);
    strcpy(s->key, "outgrown");
    MUST(put_sized(s->bystander, s->key, LARGE) == SHMKV_OK);
}

static void prepare_plain_name(struct scene *s) { s->name = unique_name(); }

static void prepare_relative(struct scene *s) {
    MUST(chdir(case_dir) == 0);
    s->name = "./seg";
}

static void replace(void *arg) {
    shmkv_t *kv = open_one(arg, SHMKV_EXCLUSIVE);
    each_base(kv, true);
    MUST(put_sized(kv, "subject", 3) == SHMKV_OK);
    MUST(shmkv_close(kv) == SHMKV_OK);
}

static void prepare_replaced(struct scene *s) {
    prepare_handle(s);
    MUST(child_succeeded(child_start(replace, (void *)(uintptr_t)s->name)));
}

/* While the handle is open, another writer dies, and holds what the subject needs. */
static void die_with_the_lock(void *arg) {
    struct scene *s = arg;
    shmkv_t *kv = open_one(s->name, SHMKV_EXISTING);
    dies_at = "commit-after-intent"; /* of the shard: the record is there already */
    struct context *ctx;
    MUST(context_acquire(segment_of(kv), &ctx) == SHMKV_OK);
    struct segment *seg = segment_of(kv);
    struct domain d = shard_domain(seg, hash_shard(seg, hash_of(kv, s->key, strlen(s->key))));
    MUST(lock_take(ctx, &d) == SHMKV_OK);
    struct txn t;
    txn_begin(&t, ctx, &d);
    txn_set(&t, &seg->shards[d.index].changes, seg->shards[d.index].changes + 1);
    txn_commit_always(&t, SHMKV_OP_PUT);
    _exit(99);
}

static void prepare_lock_of_the_dead(struct scene *s) {
    prepare_handle(s);
    MUST(child_succeeded(child_start(die_with_the_lock, s)));
}

static struct gate holding;

static void hold_the_lock(void *arg) {
    struct scene *s = arg;
    shmkv_t *kv = open_one(s->name, SHMKV_EXISTING);
    struct context *ctx;
    MUST(context_acquire(segment_of(kv), &ctx) == SHMKV_OK);
    struct segment *seg = segment_of(kv);
    struct domain d = shard_domain(seg, hash_shard(seg, hash_of(kv, s->key, strlen(s->key))));
    MUST(lock_take(ctx, &d) == SHMKV_OK);
    gate_open(&holding);
    for (;;)
        pause();
}

static void prepare_lock_of_the_living(struct scene *s) {
    struct shmkv_options opts = options(SHMKV_SHARED);
    opts.lock_timeout_ms = 5;
    MUST(shmkv_open(s->name, &opts, &s->kv) == SHMKV_OK);
    holding = gate_new();
    s->holder = child_start(hold_the_lock, s);
    MUST(gate_wait(&holding));
}

static int run_open(struct scene *s) {
    struct shmkv_options opts = options(s->op->mode);
    int err = shmkv_open(s->name, &opts, &s->kv);
    MUST(err ? !s->kv : !!s->kv);
    return err;
}

static int run_put(struct scene *s) { return put_sized(s->kv, s->key, s->op->after); }
static int run_delete(struct scene *s) { return shmkv_delete(s->kv, s->key, strlen(s->key)); }

/* What is there once more, twice, and then what is to be: before that nothing shows. */
static int run_put_many(struct scene *s) {
    enum { TIMES = 3 };
    static uint8_t was[64];
    struct shmkv_bytes keys[TIMES];
    struct shmkv_item items[TIMES];
    size_t done = 99, old = (size_t)s->op->before;
    memcpy(was, value_of(s->key, s->op->before), old);
    for (int i = 0; i < TIMES; i++) {
        keys[i] = (struct shmkv_bytes){s->key, strlen(s->key)};
        items[i] = (struct shmkv_item){.data = was, .len = old};
    }
    items[TIMES - 1].data = value_of(s->key, s->op->after);
    items[TIMES - 1].len = (size_t)s->op->after;
    int err = shmkv_put_many(s->kv, TIMES, keys, items, &done);
    MUST(err ? done < TIMES && items[done].result == err : done == TIMES);
    return err;
}

static int run_get(struct scene *s) {
    size_t len;
    int err = shmkv_get(s->kv, s->key, strlen(s->key), NULL, 0, &len);
    if (err != SHMKV_ETOOSMALL)
        return err;
    MUST(len == (size_t)s->op->after);
    return SHMKV_OK;
}

static int run_count(struct scene *s) {
    uint64_t n;
    int err = shmkv_count(s->kv, &n);
    MUST(err || n == BASE + 1);
    return err;
}

static int run_cursor(struct scene *s) {
    shmkv_cursor_t *cursor;
    int err = shmkv_cursor_open(s->kv, 0, &cursor);
    if (err)
        return err;
    const void *key, *val;
    size_t key_len, val_len;
    unsigned n = 0;
    while ((err = shmkv_cursor_next(cursor, &key, &key_len, &val, &val_len)) == SHMKV_OK)
        n++;
    shmkv_cursor_close(cursor);
    if (err != SHMKV_ENOTFOUND)
        return err;
    MUST(n == BASE + 1);
    return SHMKV_OK;
}

/* In two halves, by two cursors; of the keys that begin with nothing in particular. */
static int run_cursors(struct scene *s) {
    struct shmkv_position position;
    const void *key, *val;
    size_t key_len, val_len;
    unsigned n = 0;
    int err = SHMKV_OK;
    for (int half = 0; half < 2 && !err; half++) {
        shmkv_cursor_t *cursor;
        err = shmkv_cursor_open(s->kv, 0, &cursor);
        if (err)
            return err;
        err = shmkv_cursor_prefix(cursor, "", 0);
        if (!err && half)
            err = shmkv_cursor_seek(cursor, &position);
        while (!err && (half || n < BASE / 2)) {
            err = shmkv_cursor_next(cursor, &key, &key_len, &val, &val_len);
            n += !err;
        }
        if (!err)
            err = shmkv_cursor_position(cursor, &position);
        shmkv_cursor_close(cursor);
    }
    if (err != SHMKV_ENOTFOUND)
        return err;
    MUST(n == BASE + 1);
    return SHMKV_OK;
}

static int run_snapshot(struct scene *s) {
    shmkv_snapshot_t *snapshot;
    int err = shmkv_snapshot(s->kv, &snapshot);
    MUST(err ? !snapshot : shmkv_snapshot_count(snapshot) == BASE + 1);
    shmkv_snapshot_free(snapshot);
    return err;
}

static void count_problem(void *arg, uint64_t offset, const char *text) {
    fprintf(stderr, "%s: 0x%llx: %s\n", story, (unsigned long long)offset, text);
    ++*(unsigned *)arg;
}

static int run_verify(struct scene *s) {
    unsigned told = 0;
    uint64_t problems = 0;
    int err = shmkv_verify(s->kv, count_problem, &told, &problems);
    MUST(told == 0 && problems == 0);
    return err;
}

static int run_report(struct scene *s) {
    struct shmkv_info info = {.size = sizeof info};
    struct shmkv_stats stats = {.size = sizeof stats};
    struct shmkv_lock locks[4];
    struct shmkv_owner owners[OWNERS];
    size_t n;
    int err = shmkv_info(s->kv, &info);
    if (!err)
        err = shmkv_stats(s->kv, &stats);
    if (!err)
        err = shmkv_locks(s->kv, locks, 4, &n);
    if (!err)
        err = shmkv_owners(s->kv, owners, OWNERS, &n);
    return err;
}

static int run_close(struct scene *s) {
    int err = shmkv_close(s->kv);
    s->kv = NULL;
    return err;
}

/* The dump has a subject that differs, and lacks nothing else. */
static int dump_fd;

static void prepare_dump(struct scene *s) {
    prepare_handle(s);
    dump_fd = memfd_create("dump", MFD_CLOEXEC);
    MUST(dump_fd >= 0);
}

static void prepare_load(struct scene *s) {
    prepare_attended(s);
    MUST(shmkv_open(s->name, &(struct shmkv_options){.size = sizeof(struct shmkv_options)}, &s->kv) == SHMKV_OK);
    dump_fd = memfd_create("dump", MFD_CLOEXEC);
    MUST(dump_fd >= 0 && put_sized(s->kv, s->key, s->op->after) == SHMKV_OK);
    MUST(shmkv_dump(s->kv, dump_fd, 0, NULL) == SHMKV_OK);
    MUST(put_sized(s->kv, s->key, s->op->before) == SHMKV_OK);
}

static int dump_with(struct scene *s, unsigned flags) {
    uint64_t n;
    int err = shmkv_dump(s->kv, dump_fd, flags, &n);
    MUST(err ? n <= BASE + 1 : n == BASE + 1);
    return err;
}
static int run_dump(struct scene *s) { return dump_with(s, 0); }
static int run_dump_snapshot(struct scene *s) { return dump_with(s, SHMKV_DUMP_SNAPSHOT); }

static int load_with(struct scene *s, unsigned flags) {
    uint64_t n;
    MUST(lseek(dump_fd, 0, SEEK_SET) == 0);
    int err = shmkv_load(s->kv, dump_fd, flags, &n);
    MUST(err ? n <= BASE + 1 : n == BASE + 1);
    return err;
}
static int run_load_replacing(struct scene *s) { return load_with(s, SHMKV_LOAD_REPLACE); }

/* Entry by entry: the subject may be new, and the load have failed behind it. */
static int run_load(struct scene *s) {
    int err = load_with(s, 0);
    if (err && has(s->kv, s->key, s->op->after))
        MUST(put_sized(s->kv, s->key, s->op->before) == SHMKV_OK);
    return err;
}

static int run_freeze(struct scene *s) {
    int err = shmkv_freeze(s->kv);
    uint64_t *frozen = &segment_of(s->kv)->hdr->frozen;
    MUST(*frozen == !err);
    *frozen = 0; /* what follows writes */
    return err;
}

static int run_sync(struct scene *s) { return shmkv_sync(s->kv); }
static int run_unlink(struct scene *s) { return shmkv_unlink(s->name); }

#define NEW .from = NULL, .before = ABSENT, .after = ABSENT
#define BASED .from = "base", .before = 3, .after = 3
#define DIED(point) .from = point, .before = 3, .after = 3
static const struct operation operations[] = {
    {"create", NEW, .prepare = prepare_fresh, .run = run_open},
    {"create by a plain name", NEW, .prepare = prepare_plain_name, .run = run_open},
    {"create by a relative path", NEW, .prepare = prepare_relative, .run = run_open},
    {"create without O_TMPFILE", NEW, .prepare = prepare_fresh, .run = run_open,
     .world = WORLD_NO_TMPFILE},
    {"create exclusively", NEW, .prepare = prepare_fresh, .run = run_open, .mode = SHMKV_EXCLUSIVE},
    {"attach", BASED, .prepare = prepare_fresh, .run = run_open, .mode = SHMKV_EXISTING},
    {"attach or create", BASED, .prepare = prepare_fresh, .run = run_open},
    {"attach read-only", BASED, .prepare = prepare_fresh, .run = run_open, .mode = SHMKV_READONLY},
    {"put first of a shard", .from = "base", .before = ABSENT, .after = 50,
     .prepare = prepare_first_of_shard, .run = run_put},
    {"overwrite", .from = "base", .before = 3, .after = 5, .prepare = prepare_handle,
     .run = run_put},
    {"overwrite by a large one", .from = "base", .before = 3, .after = LARGE,
     .prepare = prepare_handle, .run = run_put},
    {"put and double", .from = "double", .before = ABSENT, .after = 8, .prepare = prepare_double,
     .run = run_put},
    {"put and split", .from = "split", .before = ABSENT, .after = 8, .prepare = prepare_split,
     .run = run_put},
    {"delete", .from = "base", .before = 3, .after = ABSENT, .prepare = prepare_handle,
     .run = run_delete},
    {"put many, one of them large", .from = "base", .before = 3, .after = LARGE, .prepare = prepare_handle,
     .run = run_put_many},
    {"get what others added", .from = "base", .before = LARGE, .after = LARGE,
     .prepare = prepare_outgrown, .run = run_get},
    {"get read-only what others added", .from = "base", .before = LARGE, .after = LARGE,
     .prepare = prepare_outgrown, .run = run_get, .mode = SHMKV_READONLY},
    {"walk", BASED, .prepare = prepare_handle, .run = run_cursor},
    {"walk by two cursors", BASED, .prepare = prepare_handle, .run = run_cursors},
    {"snapshot", BASED, .prepare = prepare_handle, .run = run_snapshot},
    {"snapshot read-only", BASED, .prepare = prepare_handle, .run = run_snapshot,
     .mode = SHMKV_READONLY},
    {"verify", BASED, .prepare = prepare_handle, .run = run_verify},
    {"report", BASED, .prepare = prepare_handle, .run = run_report},
    {"freeze", BASED, .prepare = prepare_handle, .run = run_freeze},
    {"dump", BASED, .prepare = prepare_dump, .run = run_dump},
    {"dump a snapshot", BASED, .prepare = prepare_dump, .run = run_dump_snapshot},
    {"load", .from = "base", .before = 3, .after = 5, .prepare = prepare_load, .run = run_load},
    {"load replacing", .from = "base", .before = 3, .after = 5, .prepare = prepare_load,
     .run = run_load_replacing},
    {"load replacing without O_TMPFILE", .from = "base", .before = 3, .after = 5,
     .prepare = prepare_load, .run = run_load_replacing, .world = WORLD_NO_TMPFILE},
    {"sync", BASED, .prepare = prepare_handle, .run = run_sync},
    {"close", BASED, .prepare = prepare_handle, .run = run_close},
    {"unlink", BASED, .prepare = prepare_fresh, .run = run_unlink, .removes = true},
    {"replace", BASED, .prepare = prepare_fresh, .run = run_open, .mode = SHMKV_EXCLUSIVE,
     .empties = true},
    {"replace while used", BASED, .prepare = prepare_attended, .run = run_open,
     .mode = SHMKV_EXCLUSIVE, .empties = true},
    {"replace without RENAME_EXCHANGE", BASED, .prepare = prepare_attended, .run = run_open,
     .mode = SHMKV_EXCLUSIVE, .world = WORLD_NO_EXCHANGE, .empties = true},
    {"replace without O_TMPFILE", BASED, .prepare = prepare_fresh, .run = run_open,
     .mode = SHMKV_EXCLUSIVE, .world = WORLD_NO_TMPFILE, .empties = true},
    {"put after a replacement", .from = "base", .before = 3, .after = 5,
     .prepare = prepare_replaced, .run = run_put},
    {"get after a replacement", BASED, .prepare = prepare_replaced, .run = run_get},
    {"count read-only after a replacement", BASED, .prepare = prepare_replaced, .run = run_count,
     .mode = SHMKV_READONLY},
    {"put where a dead one holds the lock", .from = "base", .before = 3, .after = 5,
     .prepare = prepare_lock_of_the_dead, .run = run_put},
    {"put where a living one holds the lock", .from = "base", .before = 3, .after = 5,
     .prepare = prepare_lock_of_the_living, .run = run_put, .result = SHMKV_ETIMEDOUT},
    {"attach after claim-after-live", DIED("claim-after-live"), .prepare = prepare_fresh,
     .run = run_open},
    {"attach after slab-in-hand", DIED("slab-in-hand"), .prepare = prepare_fresh, .run = run_open},
    {"attach after group-before-kind", DIED("group-before-kind"), .prepare = prepare_fresh,
     .run = run_open},
    {"attach after record-before-even", DIED("record-before-even"), .prepare = prepare_fresh,
     .run = run_open},
    {"attach after extend-after-allocate", DIED("extend-after-allocate"), .prepare = prepare_fresh,
     .run = run_open},
    {"attach after commit-after-intent", DIED("commit-after-intent"), .prepare = prepare_fresh,
     .run = run_open},
    {"replace after replace-after-replacing", DIED("replace-after-replacing"),
     .prepare = prepare_fresh, .run = run_open, .mode = SHMKV_EXCLUSIVE, .empties = true,
     .repeats = true},
    {"replace after replace-after-exchange", .from = "replace-after-exchange", .before = ABSENT,
     .after = ABSENT, .prepare = prepare_fresh, .run = run_open, .mode = SHMKV_EXCLUSIVE,
     .empty = true, .repeats = true},
};
#define OPERATIONS (sizeof operations / sizeof *operations)

/* ---------------------------------------------------------------- what must hold */

/* The segment as the operation found it, or as it is to leave it. */
static void expect_contents(struct scene *s, shmkv_t *kv, bool done) {
    const struct operation *op = s->op;
    if (!op->from || op->empty || (done && op->empties)) {
        uint64_t n;
        MUST(shmkv_count(kv, &n) == SHMKV_OK && n == 0);
        return;
    }
    each_base(kv, false);
    MUST(has(kv, s->key, done ? op->after : op->before));
}

/* Is @p err what may be said when this call failed so? */
static bool fitting(enum call kind, int injected, int err) {
    injected &= 0xffff;
    if (injected == ENOSPC || injected == EDQUOT || (injected == EFBIG && kind == CALL_FALLOCATE))
        return err == SHMKV_ENOSPC;
    if (err == injected)
        return true;
    switch (kind) {
    case CALL_OPEN:
        return injected == ENOENT && err == SHMKV_ENOSEGMENT;
    case CALL_UNLINK:
        return injected == ENOENT && err == SHMKV_ENOSEGMENT;
    case CALL_STATFS:
        return err == SHMKV_ENOSHM;
    case CALL_GETLK:
        return err == SHMKV_ETIMEDOUT; /* nobody is robbed on a doubt */
    case CALL_LOCK:
        return injected == EAGAIN && err == SHMKV_ENOSLOTS;
    case CALL_MMAP:
        return injected == ENOMEM && err == SHMKV_ERESERVE;
    case CALL_CALLOC:
    case CALL_MALLOC:
    case CALL_REALLOC:
        return err == ENOMEM;
    default:
        return false;
    }
}

/* A file that was linked once cannot be linked again: there the load begins anew, and not
 * the exchange. */
static bool lost_its_name(const struct operation *op, enum call kind, int err) {
    return op->run == run_load_replacing && err == SHMKV_EBUSY &&
           (kind == CALL_LSTAT || kind == CALL_EXCHANGE);
}

static void expect_detail(enum call kind, int err) {
    const char *detail = shmkv_error_detail(), *text = shmkv_strerror(err);
    /* Without a page for the thread's texts there is nowhere to tell. */
    if (!*detail && (kind == CALL_MMAP || kind == CALL_KEY_CREATE || kind == CALL_SETSPECIFIC))
        return;
    const char *end = strstr(detail, " (key \""), *at = strstr(detail, text);
    MUST(at && at > detail && at + strlen(text) == (end ? end : detail + strlen(detail)));
}

/* Descriptors of the process, that of the directory being read aside. */
static unsigned descriptors(void) { return directory_count("/proc/self/fd") - 1; }

static bool exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

static bool opens(const struct operation *op) { return op->run == run_open; }

/* What the operation made of it, seen by everybody who has a handle. */
static void expect_old_or_new(struct scene *s, int err) {
    bool done = err == SHMKV_OK;
    if (s->op->removes) {
        MUST(exists(segment_path) == !done);
        return;
    }
    if (!s->op->from && !done) {
        MUST(directory_count(case_dir) == 0 &&
             (strchr(s->name, '/') || !exists(shm_path(s->name))));
        return;
    }
    if (s->kv)
        expect_contents(s, s->kv, done);
    if (s->bystander)
        expect_contents(s, s->bystander, done);
}

/* @p not_unlinked: the system did not let the operation remove, or look at, what it left. */
static void settle(struct scene *s, bool not_unlinked) {
    const struct operation *op = s->op;
    if (s->holder)
        MUST(child_kill(s->holder));
    bool done = !op->result;
    if (op->removes) {
        MUST(directory_count(case_dir) == 0);
        return;
    }
    if (s->kv)
        MUST(shmkv_close(s->kv) == SHMKV_OK);
    if (s->bystander) {
        MUST(put_sized(s->bystander, "bystander", 77) == SHMKV_OK);
        MUST(shmkv_delete(s->bystander, "bystander", 9) == SHMKV_OK);
        MUST(shmkv_close(s->bystander) == SHMKV_OK);
    }
    MUST(not_unlinked || directory_count(case_dir) == (strchr(s->name, '/') ? 1 : 0));
    shmkv_t *kv = open_one(s->name, SHMKV_EXISTING);
    expect_contents(s, kv, done);
    MUST(nothing_locked(kv));
    MUST(owners_of(kv) == 1);
    run_verify(&(struct scene){.kv = kv});
    MUST(put_sized(kv, "after", 300) == SHMKV_OK && has(kv, "after", 300));
    MUST(whole(kv));
    MUST(shmkv_close(kv) == SHMKV_OK);
    /* The next EXCLUSIVE does, if it was a swap name. */
    if (not_unlinked && !op->world) {
        MUST(shmkv_close(open_one(s->name, SHMKV_EXCLUSIVE)) == SHMKV_OK);
        MUST(directory_count(case_dir) == (strchr(s->name, '/') ? 1 : 0));
    }
    MUST(shmkv_unlink(s->name) == SHMKV_OK);
}

/* ------------------------------------------------------------------------ cases */

struct one_case {
    const struct operation *op;
    enum call kind;
    unsigned nth;
    int err;
    bool onwards;
};

static void one_case(void *arg) {
    const struct one_case *c = arg;
    struct scene s = {.op = c->op, .name = segment_path, .key = "subject"};
    alarm(15);
    (void)unique_name(); /* what the support keeps is not the core's */
    unsigned fds = descriptors();
    long allocations = calls_allocations(), mappings = calls_mappings();
    calls_world(c->op->world);
    c->op->prepare(&s);
    unsigned fds_between = descriptors();
    if (c->nth)
        calls_fail(c->kind, c->nth, c->err, c->onwards);
    int err = c->op->run(&s);
    report->failed = calls_mend();
    report->err = err;
    if (!report->failed)
        MUST(err == c->op->result);
    if (err && err != c->op->result)
        MUST(fitting(c->kind, c->err, err) || lost_its_name(c->op, c->kind, err));
    if (err)
        expect_detail(c->kind, err);
    if (err && opens(c->op))
        MUST(descriptors() == fds_between);
    expect_old_or_new(&s, err);
    if (err && c->op->run != run_close)
        MUST(c->op->run(&s) == c->op->result);
    expect_old_or_new(&s, c->op->result);
    settle(&s, report->failed && (c->kind == CALL_UNLINK || c->kind == CALL_LSTAT));
    bool plain =
        c->op->prepare == prepare_plain_name || c->op->prepare == prepare_lock_of_the_living;
    if (dump_fd)
        close(dump_fd);
    MUST(descriptors() == fds + (c->op->prepare == prepare_lock_of_the_living ? 2 : 0));
    MUST(calls_mappings() - mappings <= 2);
    MUST(plain || calls_allocations() == allocations);
}

static unsigned cases, errors, violations;
static bool every; /* n, also where an operation does the same thing for each of 64 locks */

/* False: the operation makes no such call as often as that. */
static bool run_case(struct one_case c) {
    snprintf(story, sizeof story, "%s, call %u of %s: errno %d%s", c.op->name, c.nth,
             call_kinds[c.kind].name, c.err & 0xffff, c.onwards ? " from then on" : "");
    MUST(mkdir(case_dir, 0700) == 0);
    if (c.op->from)
        copy_directory(c.op->from, case_dir);
    *report = (struct report){0};
    int status = child_wait(child_start(one_case, &c));
    bool failed = report->failed > 0;
    if (status != 0) {
        fprintf(stderr, "%s: wait status 0x%x; repeat: nth_call '%s' %u %u %d %d\n", story,
                (unsigned)status, c.op->name, c.kind, c.nth, c.err, c.onwards);
        violations++;
        failed = true; /* we do not know */
    }
    remove_directory(case_dir);
    cases += failed;
    errors += failed && report->err;
    return failed;
}

/* Every n, until there is no such call. */
static void each_n(struct one_case c, bool sparse) {
    for (c.nth = 1; run_case(c) && violations < 50; c.nth += sparse && c.nth > 6 ? c.nth / 2 : 1)
        MUST(c.nth < MOST_CALLS);
}

static void each_call(const struct operation *op) {
    unsigned cases_before = cases, errors_before = errors, violations_before = violations;
    bool sparse = op->repeats && !every;
    run_case((struct one_case){.op = op}); /* nothing fails */
    for (enum call kind = 0; kind < CALL_KIND_COUNT; kind++)
        for (const int *err = call_kinds[kind].errnos;
             *err && !(sparse && err > call_kinds[kind].errnos); err++)
            for (int onwards = 0; onwards < (*err & ONCE || sparse ? 1 : 2); onwards++)
                each_n((struct one_case){.op = op, .kind = kind, .err = *err, .onwards = onwards},
                       sparse);
    printf("%-42s %5u cases, %5u errors", op->name, cases - cases_before, errors - errors_before);
    printf(violations > violations_before ? ", %u VIOLATIONS\n" : "\n",
           violations - violations_before);
    fflush(NULL);
}

int main(int argc, char **argv) {
    every = getenv("SHMKV_EVERY_CALL") != NULL;
    names_begin();
    report = shared_memory(sizeof *report);
    build_all();
    snprintf(case_dir, sizeof case_dir, "%s/case", scratch_dir());
    snprintf(segment_path, sizeof segment_path, "%s/seg", case_dir);
    unsigned ran = 0;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        const struct operation *op = &operations[i];
        if (argc > 1 && strcmp(argv[1], op->name) != 0)
            continue;
        ran++;
        if (argc == 6)
            run_case((struct one_case){op, (enum call)atoi(argv[2]), (unsigned)atoi(argv[3]),
                                       atoi(argv[4]), atoi(argv[5])});
        else
            each_call(op);
    }
    printf("%u operations, %u cases in which a call failed, %u returned an error, %u violations\n",
           ran, cases, errors, violations);
    names_sweep(false);
    return ran == 0 ? 2 : violations ? 1 : 0;
}
