/* The hash, for all who are in no hurry. */
#include "hash.h"
#include "internal.h"

uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed) {
    return hash_inline(bytes, len, seed);
}
