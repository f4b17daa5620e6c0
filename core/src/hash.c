/*
 * XXH3-64, from the xxHash library (https://xxhash.com, algorithm specified in
 * its doc/xxhash_spec.md). Compiled in, so that nothing has to be found at run
 * time. Spec 3.9 has test vectors.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "internal.h"

uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes, len, seed);
}
