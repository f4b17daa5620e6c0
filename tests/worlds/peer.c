/*
 * One of two processes that share a segment although they come from different
 * worlds: another C library, or another processor. Built with the crash points.
 *
 *   peer SEGMENT die POINT N   work as below, and die (SIGKILL) when POINT is passed
 *                              for the N-th time; status 3 if it is not passed so often
 *   peer SEGMENT work          add, overwrite, delete and grow until a split has happened;
 *                              look first at what the other left
 *   peer SEGMENT hold KIND     take a lock (shard, arena, space), say "held", and wait
 *   peer SEGMENT check         what is there is whole, and nobody else is left in it
 *
 * Values name their key and repeat, so that a torn one shows. Exit status: 0 all well,
 * 1 a violation.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/src/internal.h"

#define KEYS 600 /* all of one shard, whose group splits after 441 at the latest */

static const char *armed_point;
static long armed_pass;

void shmkv_fault_point(const char *name) {
    if (armed_point && strcmp(name, armed_point) == 0 && --armed_pass == 0)
        raise(SIGKILL);
}

#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "peer: line %d: not true: %s (%s)\n", __LINE__, #what,                 \
                    shmkv_error_detail());                                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static unsigned numbers[KEYS];

static void choose_keys(struct segment *seg) {
    for (unsigned key = 0, number = 0; key < KEYS; number++) {
        char name[16];
        int n = snprintf(name, sizeof name, "key-%u", number);
        if (hash_shard(seg, hash_bytes(name, (size_t)n, seg->seed)) == 0)
            numbers[key++] = number;
    }
}

static size_t fill(char *value, unsigned key, unsigned version) {
    size_t len = 8 + (key * 7 + version * 90) % 300;
    for (size_t i = 0; i < len; i++)
        value[i] = (char)('a' + (key + version) % 23);
    return len;
}

/* Absent, or a whole value of its key. */
static void look_at(shmkv_t *kv, unsigned key) {
    char name[16], value[512], expected[512];
    size_t len;
    int n = snprintf(name, sizeof name, "key-%u", numbers[key]);
    int err = shmkv_get(kv, name, (size_t)n, value, sizeof value, &len);
    if (err == SHMKV_ENOTFOUND)
        return;
    MUST(err == SHMKV_OK);
    bool whole = false;
    for (unsigned version = 0; version < 2; version++)
        whole |= fill(expected, key, version) == len && memcmp(value, expected, len) == 0;
    MUST(whole);
}

static void look_at_all(shmkv_t *kv) {
    uint64_t problems = 1;
    for (unsigned key = 0; key < KEYS; key++)
        look_at(kv, key);
    MUST(shmkv_verify(kv, NULL, NULL, &problems) == SHMKV_OK && problems == 0);
}

static void put(shmkv_t *kv, unsigned key, unsigned version) {
    char name[16], value[512];
    int n = snprintf(name, sizeof name, "key-%u", numbers[key]);
    size_t len = fill(value, key, version);
    MUST(shmkv_put(kv, name, (size_t)n, value, len) == SHMKV_OK);
}

static void *work_in_a_thread(void *kv) {
    for (unsigned key = 0; key < 20; key++)
        put(kv, key, 1);
    return NULL;
}

/* Grow through many splits; threads and a forked child write as well. */
static void work(shmkv_t *kv) {
    for (unsigned key = 0; key < KEYS; key++)
        put(kv, key, 0);
    for (unsigned key = 0; key < KEYS; key += 3)
        put(kv, key, 1);
    for (unsigned key = 1; key < KEYS; key += 3) {
        char name[16];
        int n = snprintf(name, sizeof name, "key-%u", numbers[key]);
        int err = shmkv_delete(kv, name, (size_t)n);
        MUST(err == SHMKV_OK || err == SHMKV_ENOTFOUND);
    }
    if (armed_point)
        return;
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        MUST(pthread_create(&threads[i], NULL, work_in_a_thread, kv) == 0);
    for (int i = 0; i < 2; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    pid_t child = fork();
    MUST(child >= 0);
    if (child == 0) {
        work_in_a_thread(kv);
        MUST(shmkv_close(kv) == SHMKV_OK);
        _exit(0);
    }
    int status;
    MUST(waitpid(child, &status, 0) == child && status == 0);
}

static void hold(shmkv_t *kv, const char *kind) {
    struct context *ctx;
    struct segment *seg = atomic_load(&kv->seg);
    MUST(context_acquire(seg, &ctx) == SHMKV_OK);
    struct domain d = *kind == 's' && kind[1] == 'h' ? shard_domain(seg, 0)
                      : *kind == 'a'                 ? arena_domain(seg, 0)
                                                     : space_domain(seg);
    MUST(lock_take(ctx, &d) == SHMKV_OK);
    puts("held");
    fflush(stdout);
    for (;;)
        pause();
}

/* Nothing is locked and no slot is taken but ours. */
static void check(shmkv_t *kv) {
    look_at_all(kv);
    put(kv, 0, 0);
    struct segment *seg = atomic_load(&kv->seg);
    unsigned taken = 0;
    for (uint32_t i = 0; i < domain_count(seg); i++)
        MUST(*domain_at(seg, i).lock == 0 && *domain_at(seg, i).intent == 0);
    for (uint32_t i = 0; i < seg->owner_count; i++)
        taken += owner_liveness(seg, i) != SHMKV_FREE;
    MUST(taken == 1);
    struct shmkv_stats st = {.size = sizeof st};
    MUST(shmkv_stats(kv, &st) == SHMKV_OK);
}

int main(int argc, char **argv) {
    shmkv_t *kv;
    struct shmkv_options opts = {.size = sizeof opts};
    if (argc < 3)
        return 2;
    if (argc == 5) {
        armed_point = argv[3];
        armed_pass = atol(argv[4]);
    }
    MUST(shmkv_open(argv[1], &opts, &kv) == SHMKV_OK);
    choose_keys(atomic_load(&kv->seg));
    if (strcmp(argv[2], "work") == 0) {
        look_at_all(kv);
        work(kv);
        look_at_all(kv);
    } else if (strcmp(argv[2], "die") == 0 && argc == 5) {
        work(kv);
        return 3;
    } else if (strcmp(argv[2], "hold") == 0 && argc == 4) {
        hold(kv, argv[3]);
    } else if (strcmp(argv[2], "check") == 0) {
        check(kv);
    } else {
        return 2;
    }
    MUST(shmkv_close(kv) == SHMKV_OK);
    return 0;
}
