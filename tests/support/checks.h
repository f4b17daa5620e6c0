/*
 * Assertions for the Check suites, and their main().
 */
#ifndef SHMKV_TESTS_CHECKS_H
#define SHMKV_TESTS_CHECKS_H

#include <pthread.h>
#include <stdatomic.h>

#include <check.h>
#undef fail /* an old name of ck_abort_msg(), and a function of the core */

#include "tests/support/support.h"

/* Check notes each assertion that holds in a file which children share: one who is killed while he
 * writes there leaves half a note, and one who is forked while a thread of ours does, a locked
 * mutex. In children nothing is noted, until an assertion fails. */
void mark_unless_child(const char *file, int line);
#define _mark_point(file, line) mark_unless_child(file, line)

/* "SHMKV_ENOTFOUND", or an errno's text. */
const char *result_name(int err);

#define ck_assert_err(call, expected)                                                              \
    do {                                                                                           \
        int err_ = (call), expected_ = (expected);                                                 \
        ck_assert_msg(err_ == expected_, "%s is %d, %s, not %s (last detail: %s)", #call, err_,    \
                      result_name(err_), result_name(expected_), shmkv_error_detail());            \
    } while (0)
#define ck_assert_ok(call) ck_assert_err(call, SHMKV_OK)

/* The segment keeps every invariant: shmkv_verify() finds nothing. */
#define ck_assert_whole(kv) check_whole(kv, __FILE__, __LINE__)
void check_whole(shmkv_t *kv, const char *file, int line);

/* The detail of the last failure contains the text. */
#define ck_assert_detail(text)                                                                  \
    ck_assert_msg(strstr(shmkv_error_detail(), text) != NULL, "the detail '%s' lacks '%s'",     \
                  shmkv_error_detail(), text)

/* Open, or fail the test. */
shmkv_t *open_ok(const char *name, const struct shmkv_options *opts);
shmkv_t *open_mode(const char *name, int mode);
/* Verify, close, unlink. */
void finish(shmkv_t *kv, const char *name);

void put_text(shmkv_t *kv, const char *key, const char *val);
/* The value is this text; or, with NULL, the key is absent. */
#define ck_assert_value(kv, key, expected) check_value(kv, key, expected, __FILE__, __LINE__)
void check_value(shmkv_t *kv, const char *key, const char *expected, const char *file, int line);
uint64_t count_of(shmkv_t *kv);
struct shmkv_stats stats_of(shmkv_t *kv);
struct shmkv_info info_of(shmkv_t *kv);

/* An owner slot of the handle, to call internals with; given back by context_release(). */
struct context *context_of(shmkv_t *kv);

/* A case whose leftovers are swept. */
TCase *case_new(Suite *suite, const char *name);
/* Run the suite. The exit status tells whether a test failed or left something behind. */
int suite_main(Suite *suite);

/* The record that @p word names, or NULL when that is nonsense. */
static inline record_t *record_at(struct segment *seg, uint64_t word) {
    struct shape shape;
    return record_look(seg, word, &shape);
}

/* What somebody hostile may do: the chains of all buckets of a group share one long tail, made
 * of the value of @p key, so that together they have more slots than the file. The key is
 * gone until it is undone, and so is whatever the chains had. */
struct place tangle_chains(shmkv_t *kv, const char *key, unsigned links);
void tangle_undo(const struct place *where);

/* And this: all slots of a group of shard 9 lead to one key of the greatest length, whose place
 * is another group. Together these keys are longer than the file. */
#define PILE_SHARD 9
struct pile {
    bucket_t *buckets; /* of the group */
    bucket_t right[SHMKV_GROUP_BUCKETS];
    uint64_t *directory, right_word, index;
};
void pile_up(shmkv_t *kv, struct pile *pile);
void pile_undo(const struct pile *pile);

/* And this: a word that has two values in turn, all the time. In the end it has the first. */
struct flicker {
    uint64_t *word, values[2];
    atomic_bool enough;
    pthread_t thread;
};
void flicker_begin(struct flicker *f, uint64_t *word, uint64_t first, uint64_t second);
void flicker_end(struct flicker *f);

#endif
