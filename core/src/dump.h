/*
 * The blocks of a dump, for dump.c which writes them and load.c which reads them. Spec 9.1.
 */
#ifndef SHMKV_DUMP_H
#define SHMKV_DUMP_H

#include "hash.h"
#include "internal.h"

#define DUMP_MAGIC "ShmKD\r\n\032"
#define DUMP_MAGIC_SIZE 8
#define DUMP_VERSION 1u
#define DUMP_COUNT_UNKNOWN UINT64_MAX
#define DUMP_FIELDS_MAX 4096u
#define DUMP_BODY_MAX ((uint64_t)SHMKV_MAX_KEY + SHMKV_MAX_VALUE)
#define DUMP_OPTIONAL 0x80000000u /* of a kind: skip it if you do not know it */

typedef struct shmkv_dump_block_layout dump_block_t;
typedef struct shmkv_dump_begin_layout dump_begin_t;
typedef struct shmkv_dump_entry_layout dump_entry_t;
typedef struct shmkv_dump_end_layout dump_end_t;

static inline uint64_t dump_chain(uint64_t chain, uint64_t checksum) {
    const uint64_t both[2] = {chain, checksum};
    return hash_inline(both, sizeof both, 0);
}

/* How far a dump or load has come, where another thread may look. */
static inline void dump_progress(uint64_t *entries, uint64_t n) {
    if (entries)
        store_relaxed_u64(entries, n);
}

/* A descriptor that does not wait, although we must. */
int dump_await(int fd, short events);

#endif
