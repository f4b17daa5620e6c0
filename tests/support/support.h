/*
 * What the C tests share: names that no other run uses, children that are waited
 * for by pid, gates to await an event in another process, and looking at a
 * segment from the inside.
 *
 * Nothing here depends on Check, so that stress programs can use it too; the
 * assertions are in checks.h.
 */
#ifndef SHMKV_TESTS_SUPPORT_H
#define SHMKV_TESTS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/src/internal.h"

/* ------------------------------------------------------------------------ names */

/* Choose the prefix of this run's names: process id and random, or what SHMKV_TEST_PREFIX
 * says, whose giver removes what has it after a crash (must_fail.sh). Call it before
 * forking, so that the children's names have it too. Idempotent. */
void names_begin(void);
/* A plain name nobody else uses. Valid for the life of the process. */
const char *unique_name(void);
/* A directory on the tmpfs of /dev/shm that nobody else uses; it exists. */
const char *scratch_dir(void);
/* A path in it. Valid for the life of the process. */
const char *scratch_path(const char *entry);
/* Remove everything that carries the prefix, and tell how many things that were. */
unsigned names_sweep(bool report);
/* Entries of a directory, "." and ".." aside. */
unsigned directory_count(const char *dir);

/* --------------------------------------------------------------------- processes */

/* Run body(arg) in a child that dies with us; its exit status is 0 if it returns. */
pid_t child_start(void (*body)(void *), void *arg);
/* The wait status of the very child. Ends the test process if there is none. */
int child_wait(pid_t pid);
bool child_succeeded(pid_t pid);
/* SIGKILL, and wait until it is gone. True if that is what it died of. */
bool child_kill(pid_t pid);
/* SIGSTOP, and wait until it has stopped. */
bool child_stop(pid_t pid);
void child_continue(pid_t pid);
/* Wait until it sleeps, in whatever call. */
void child_asleep(pid_t pid);

/* A gate is passed as often as it was opened, by whatever process. */
struct gate {
    int ends[2];
};
struct gate gate_new(void);
void gate_open(const struct gate *g);
/* Wait for it; false after a minute, or as soon as our child that should open it has ended without. */
bool gate_wait(const struct gate *g);
bool gate_wait_from(const struct gate *g, pid_t opener);

/* Zeroed memory that children share. */
void *shared_memory(size_t size);

/* The file size limit, the supplementary user: what a test needs of the system. */
bool running_as_root(void);
uint64_t now_ms(void);

/* ------------------------------------------------------------------------ inside */

struct segment *segment_of(shmkv_t *kv);
uint64_t hash_of(shmkv_t *kv, const void *key, size_t key_len);

/* Keys by where they belong: "PREFIX-number", found by trying numbers. */
struct key_search {
    uint64_t seed;        /* the segment's */
    uint64_t mask, value; /* the hash agrees with value in these bits */
    int bucket;           /* and leads to this bucket; -1: any */
    const char *prefix;
    uint64_t next; /* number to go on with */
};
#define KEY_TEXT_SIZE 40
void key_find(struct key_search *s, char key[KEY_TEXT_SIZE]);
/* A search in the segment for keys of the shard, directory prefix and bucket that
 * are @p key's: @p depth directory bits; with @p bucket false, any bucket. */
struct key_search search_like(shmkv_t *kv, const char *key, unsigned depth, bool bucket, const char *prefix);
struct key_search search_shard(shmkv_t *kv, uint32_t shard, const char *prefix);

/* Change bytes of a segment's file; seal the header again. */
void file_patch(const char *path, uint64_t offset, const void *bytes, size_t len);
void file_read(const char *path, uint64_t offset, void *bytes, size_t len);
void header_reseal(const char *path);
void file_copy(const char *from, const char *to);
/* Path of the object with a plain name. */
const char *shm_path(const char *name);

/* 64 bits that nobody can tell beforehand. */
uint64_t random_u64(void);
/* Numbers that look random and are the same in every run with the same seed. */
struct random {
    uint64_t state;
};
/* From SHMKV_TEST_SEED or the clock; prints it. */
struct random random_begin(const char *what);
uint64_t random_next(struct random *r);
uint64_t random_below(struct random *r, uint64_t n);

#endif
