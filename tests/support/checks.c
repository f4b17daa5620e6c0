#include "tests/support/checks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned left_behind;

static unsigned generation, generation_of_tests; /* how many forks we are from main() */

static void count_fork(void) { generation++; }

void mark_unless_child(const char *file, int line) {
    if (generation <= generation_of_tests)
        (_mark_point)(file, line);
}

const char *result_name(int err) {
    const char *name = shmkv_error_name(err);
    return name ? name : shmkv_strerror(err);
}

static void print_problem(void *arg, uint64_t offset, const char *text) {
    unsigned *shown = arg;
    if ((*shown)++ < 10)
        fprintf(stderr, "  0x%llx: %s\n", (unsigned long long)offset, text);
}

void check_whole(shmkv_t *kv, const char *file, int line) {
    unsigned shown = 0;
    int err = shmkv_verify(kv, print_problem, &shown, NULL);
    ck_assert_msg(err == SHMKV_OK, "%s:%d: verify: %s (%s)", file, line, result_name(err), shmkv_error_detail());
}

shmkv_t *open_ok(const char *name, const struct shmkv_options *opts) {
    shmkv_t *kv = NULL;
    ck_assert_ok(shmkv_open(name, opts, &kv));
    ck_assert_ptr_nonnull(kv);
    return kv;
}

shmkv_t *open_mode(const char *name, int mode) {
    return open_ok(name, &(struct shmkv_options){.size = sizeof(struct shmkv_options), .mode = mode});
}

void finish(shmkv_t *kv, const char *name) {
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(kv));
    ck_assert_ok(shmkv_unlink(name));
}

void put_text(shmkv_t *kv, const char *key, const char *val) {
    ck_assert_ok(shmkv_put(kv, key, strlen(key), val, strlen(val)));
}

void check_value(shmkv_t *kv, const char *key, const char *expected, const char *file, int line) {
    char buf[4096];
    size_t len = 0;
    int err = shmkv_get(kv, key, strlen(key), buf, sizeof buf, &len);
    if (!expected) {
        ck_assert_msg(err == SHMKV_ENOTFOUND, "%s:%d: '%s' should be absent: %s", file, line, key, result_name(err));
        return;
    }
    ck_assert_msg(err == SHMKV_OK, "%s:%d: get '%s': %s (%s)", file, line, key, result_name(err), shmkv_error_detail());
    ck_assert_msg(len == strlen(expected) && memcmp(buf, expected, len) == 0, "%s:%d: '%s' is '%.*s', not '%s'", file,
                  line, key, (int)len, buf, expected);
}

uint64_t count_of(shmkv_t *kv) {
    uint64_t n;
    ck_assert_ok(shmkv_count(kv, &n));
    return n;
}

struct shmkv_stats stats_of(shmkv_t *kv) {
    struct shmkv_stats st = {.size = sizeof st};
    ck_assert_ok(shmkv_stats(kv, &st));
    return st;
}

struct shmkv_info info_of(shmkv_t *kv) {
    struct shmkv_info info = {.size = sizeof info};
    ck_assert_ok(shmkv_info(kv, &info));
    return info;
}

struct context *context_of(shmkv_t *kv) {
    struct context *ctx;
    ck_assert_ok(context_acquire(segment_of(kv), &ctx));
    return ctx;
}

struct place tangle_chains(shmkv_t *kv, const char *key, unsigned links) {
    struct segment *seg = segment_of(kv);
    struct context *ctx = context_of(kv);
    struct place where;
    uint64_t hash = hash_of(kv, key, strlen(key));
    void *value = calloc(links + 2, SHMKV_BUCKET_SIZE);
    ck_assert_ptr_nonnull(value);
    ck_assert_ok(shmkv_put(kv, key, strlen(key), value, (links + 2) * SHMKV_BUCKET_SIZE));
    free(value);
    ck_assert_ok(table_find(ctx, &seg->shards[hash_shard(seg, hash)], hash, key, strlen(key), &where));
    uint64_t tail = round_up((where.word & OFFSET_IN_WORD) + SHMKV_BUCKET_SIZE, SHMKV_BUCKET_SIZE);
    bucket_t *made = seg_at(seg, tail, links * SHMKV_BUCKET_SIZE);
    ck_assert_ptr_nonnull(made);
    for (unsigned i = 1; i < links; i++)
        made[i - 1].link = MAKE(CELL_CLASS, SHMKV_BUCKET_CLASS) | seg_offset(seg, &made[i]);
    *where.slot = 0;
    for (unsigned b = 0; b < SHMKV_GROUP_BUCKETS; b++)
        group_bucket(where.group, b)->link = MAKE(CELL_CLASS, SHMKV_BUCKET_CLASS) | tail;
    context_release(ctx);
    return where;
}

void tangle_undo(const struct place *where) {
    for (unsigned b = 0; b < SHMKV_GROUP_BUCKETS; b++)
        group_bucket(where->group, b)->link = 0;
    *where->slot = where->word;
}

/* The word of the longest key, which is put there. */
static uint64_t long_word(shmkv_t *kv, uint64_t *hash) {
    static const char key[SHMKV_MAX_KEY];
    struct segment *seg = segment_of(kv);
    struct context *ctx = context_of(kv);
    struct place where;
    *hash = hash_of(kv, key, sizeof key);
    ck_assert_ok(shmkv_put(kv, key, sizeof key, "v", 1));
    ck_assert_ok(table_find(ctx, &seg->shards[hash_shard(seg, *hash)], *hash, key, sizeof key, &where));
    context_release(ctx);
    return where.word;
}

void pile_up(shmkv_t *kv, struct pile *pile) {
    struct segment *seg = segment_of(kv);
    struct key_search s = search_shard(kv, PILE_SHARD, "pile");
    uint64_t hash, word = long_word(kv, &hash);
    for (int i = 0; i < 800; i++) { /* splits */
        char key[KEY_TEXT_SIZE];
        key_find(&s, key);
        put_text(kv, key, "v");
    }
    uint64_t root = seg->shards[PILE_SHARD].root, mask = (1ULL << FIELD(root, ROOT_DEPTH)) - 1;
    ck_assert_uint_gt(mask, 0);
    pile->index = ~hash_directory(seg, hash) & mask;
    pile->directory = &directory_words(table_directory(seg, root))[pile->index];
    pile->right_word = *pile->directory;
    pile->buckets = group_bucket(seg_at(seg, pile->right_word & PAGE_IN_WORD, SHMKV_PAGE_SIZE), 0);
    memcpy(pile->right, pile->buckets, sizeof pile->right);
    for (unsigned b = 0; b < SHMKV_GROUP_BUCKETS; b++)
        for (unsigned i = 0; i < SHMKV_BUCKET_SLOTS; i++)
            pile->buckets[b].slots[i] = word;
    /* So nobody takes it for certain that what is in the group belongs there. */
    *pile->directory &= PAGE_IN_WORD;
}

void pile_undo(const struct pile *pile) {
    memcpy(pile->buckets, pile->right, sizeof pile->right);
    *pile->directory = pile->right_word;
}

static void *flicker(void *arg) {
    struct flicker *f = arg;
    for (unsigned i = 0; !atomic_load(&f->enough); i++)
        store_relaxed_u64(f->word, f->values[i & 1]);
    store_relaxed_u64(f->word, f->values[0]);
    return NULL;
}

void flicker_begin(struct flicker *f, uint64_t *word, uint64_t first, uint64_t second) {
    f->word = word;
    f->values[0] = first;
    f->values[1] = second;
    atomic_init(&f->enough, false);
    ck_assert_int_eq(pthread_create(&f->thread, NULL, flicker, f), 0);
}

void flicker_end(struct flicker *f) {
    atomic_store(&f->enough, true);
    ck_assert_int_eq(pthread_join(f->thread, NULL), 0);
}

/* Unchecked: it also runs when a test failed. */
static void sweep(void) { left_behind += names_sweep(true); }

TCase *case_new(Suite *suite, const char *name) {
    TCase *tc = tcase_create(name);
    /* Long enough on a busy machine: Check's four seconds end what is only waiting for its turn. A
     * mutant may hang, and need not for long. */
    if (!getenv("SHMKV_MUTANT"))
        tcase_set_timeout(tc, 30);
    names_begin();
    tcase_add_unchecked_fixture(tc, NULL, sweep);
    suite_add_tcase(suite, tc);
    return tc;
}

/* Check ends us with status 2 when what a test tells makes no sense to it, as if two of the
 * test's own children fail at the same time. That is a failure; 2 says that we were asked wrongly. */
static pid_t running;
static void check_gave_up(void) {
    if (running == getpid())
        _exit(EXIT_FAILURE);
}

int suite_main(Suite *suite) {
    running = getpid();
    atexit(check_gave_up);
    setvbuf(stdout, NULL, _IOLBF, 0);
    SRunner *runner = srunner_create(suite);
    generation_of_tests = srunner_fork_status(runner) == CK_FORK;
    pthread_atfork(NULL, NULL, count_fork);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    running = 0;
    if (!failed && left_behind)
        fprintf(stderr, "%u things were left behind\n", left_behind);
    return failed || left_behind ? EXIT_FAILURE : EXIT_SUCCESS;
}
