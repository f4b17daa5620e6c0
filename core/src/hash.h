/*
 * XXH3-64, from the xxHash library (https://xxhash.com, algorithm specified in
 * its doc/xxhash_spec.md). Compiled in, so that nothing has to be found at run
 * time; inline in the files that look up keys. Spec 3.9 has test vectors.
 */
#ifndef SHMKV_HASH_H
#define SHMKV_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t hash_inline(const void *bytes, size_t len, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes, len, seed);
}

#endif
