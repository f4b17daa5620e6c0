/*
 * XXH3-64, from the xxHash library (https://xxhash.com, algorithm specified in
 * its doc/xxhash_spec.md). Compiled in, so that nothing has to be found at run
 * time; inline in the files that look up keys. Spec 3.9 has test vectors.
 */
#ifndef SHMKV_HASH_H
#define SHMKV_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

/*
 * The same for 9 to 16 bytes, the usual length of keys: spelled out from xxHash's
 * specification, since compilers put the library's function, which is for any
 * length, out of line. The constants are the words of its secret at 24 to 56, two
 * by two; check_hash.c holds it against the library.
 */
static inline uint64_t hash_9_to_16(const void *bytes, size_t len, uint64_t seed) {
    __extension__ typedef unsigned __int128 wide;
    uint64_t low, high;
    memcpy(&low, bytes, 8);
    memcpy(&high, (const uint8_t *)bytes + len - 8, 8);
    low ^= 0x6782737bea4239b9 + seed;
    high ^= 0xaf56bc3b0996523a - seed;
    wide product = (wide)low * high;
    uint64_t h =
        len + __builtin_bswap64(low) + high + ((uint64_t)product ^ (uint64_t)(product >> 64));
    h ^= h >> 37;
    h *= 0x165667919e3779f9;
    return h ^ h >> 32;
}

static inline uint64_t hash_inline(const void *bytes, size_t len, uint64_t seed) {
    return __builtin_expect(len - 9 < 8, 1) ? hash_9_to_16(bytes, len, seed)
                                            : XXH3_64bits_withSeed(bytes, len, seed);
}

#endif
