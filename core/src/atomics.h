/*
 * The only place that names memory orders.
 *
 * Words of the segment are plain integers in the generated structs, because
 * their layout is fixed by spec/3 and not by a compiler's idea of an atomic.
 * Every access to one that another process may store to goes through here.
 *
 * Two kinds of ordering matter in shmkv. A reader in another process needs the
 * release of a publishing store and the acquire of the load that finds it. A
 * successor of a killed process needs only the program order of its stores,
 * since a dead process's stores are all in coherent memory; a release store
 * keeps the compiler from moving earlier ones behind it, and is free on x86-64.
 */
#ifndef SHMKV_ATOMICS_H
#define SHMKV_ATOMICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static inline uint64_t load_relaxed_u64(const uint64_t *p) {
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}
static inline uint64_t load_acquire_u64(const uint64_t *p) {
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
static inline void store_relaxed_u64(uint64_t *p, uint64_t v) {
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
}
static inline void store_release_u64(uint64_t *p, uint64_t v) {
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline uint32_t load_relaxed_u32(const uint32_t *p) {
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}
static inline uint32_t load_acquire_u32(const uint32_t *p) {
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
static inline bool cas_acquire_u32(uint32_t *p, uint32_t *expected, uint32_t desired) {
    return __atomic_compare_exchange_n(p, expected, desired, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}
static inline bool cas_acq_rel_u32(uint32_t *p, uint32_t *expected, uint32_t desired) {
    return __atomic_compare_exchange_n(p, expected, desired, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}
static inline bool cas_relaxed_u64(uint64_t *p, uint64_t *expected, uint64_t desired) {
    return __atomic_compare_exchange_n(p, expected, desired, true, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}
static inline void add_release_u64(uint64_t *p, uint64_t n) {
    __atomic_fetch_add(p, n, __ATOMIC_RELEASE);
}
static inline uint32_t exchange_release_u32(uint32_t *p, uint32_t v) {
    return __atomic_exchange_n(p, v, __ATOMIC_RELEASE);
}

/* Against death, and so against the compiler alone: what is stored after this in the
 * program is stored after what came before, also where that was a release. */
static inline void fence_program_order(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

static inline void fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline void fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }

/* Tell the processor that we poll a word. */
static inline void cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static inline void prefetch(const void *p) { __builtin_prefetch(p); }

/* Longest copy done in line; beyond it the library's memcpy is faster. */
#define RACY_WORDS_MAX 256

#if defined(__SANITIZE_THREAD__)
#define RACY_BY_WORDS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACY_BY_WORDS 1
#endif
#endif
#ifndef RACY_BY_WORDS
#define RACY_BY_WORDS 0
#endif

/*
 * Copy bytes that another process may be overwriting. The result counts only
 * after the caller has found the record's version unchanged. @p src is 8-byte
 * aligned and readable up to the next multiple of 8.
 *
 * C11 has no name for a long copy that may race. Short ones are relaxed loads of
 * words, which it blesses; those of 16 bytes and more use memcpy, which every
 * implementation in use performs as plain loads of unspecified order: exactly
 * what the version check expects. ThreadSanitizer builds use words throughout.
 */
static inline void racy_copy_words(uint8_t *out, const uint8_t *src, size_t len) {
    for (; len >= 8; len -= 8, src += 8, out += 8) {
        uint64_t word = load_relaxed_u64((const uint64_t *)(const void *)src);
        memcpy(out, &word, 8);
    }
    if (len) {
        uint64_t word = load_relaxed_u64((const uint64_t *)(const void *)src);
        memcpy(out, &word, len);
    }
}
static inline void racy_copy(void *dst, const uint8_t *src, size_t len) {
    uint8_t *out = dst;
    if (__builtin_expect(len - 16 <= 16, 1) && !RACY_BY_WORDS) {
        /* From both ends, so that the middle may be copied twice. */
        memcpy(out, src, 16);
        memcpy(out + len - 16, src + len - 16, 16);
    } else if (len < 16 || RACY_BY_WORDS) {
        racy_copy_words(out, src, len);
    } else if (len > 64) {
        memcpy(out, src, len);
    } else {
        memcpy(out, src, 32);
        memcpy(out + len - 32, src + len - 32, 32);
    }
}

/* Compare likewise, at least one byte. The answer counts only after the version check. */
static inline bool racy_equal(const uint8_t *shared, const void *private_, size_t len) {
    const uint64_t *words = (const uint64_t *)(const void *)shared;
    const uint8_t *mine = private_;
    uint64_t first = 0;
#if !RACY_BY_WORDS
    if (__builtin_expect(len - 9 < 8, 1)) {
        /* Nine to sixteen bytes without a loop: the first eight, and the last eight. */
        uint64_t theirs[2], ours[2];
        memcpy(&theirs[0], shared, 8);
        memcpy(&theirs[1], shared + len - 8, 8);
        memcpy(&ours[0], mine, 8);
        memcpy(&ours[1], mine + len - 8, 8);
        return !((theirs[0] ^ ours[0]) | (theirs[1] ^ ours[1]));
    }
#endif
    for (; len > 8; len -= 8, mine += 8) {
        memcpy(&first, mine, 8);
        if (load_relaxed_u64(words++) != first)
            return false;
    }
    first = load_relaxed_u64(words);
    return memcmp(&first, mine, len) == 0;
}

/*
 * Which of seven words have the upper 16 bits of @p tag: bit 2 i + 1 for word i.
 * A hint, as the words may change at any time. An eighth word must follow.
 */
static inline uint32_t racy_tags(const uint64_t *words, uint64_t tag) {
#if defined(__SSE2__) && !RACY_BY_WORDS
    const __m128i *pairs = (const __m128i *)(const void *)words;
    __m128i wanted = _mm_set1_epi16((short)(tag >> 48));
    __m128i a = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(pairs), wanted),
                                _mm_cmpeq_epi16(_mm_load_si128(pairs + 1), wanted));
    __m128i b = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(pairs + 2), wanted),
                                _mm_cmpeq_epi16(_mm_load_si128(pairs + 3), wanted));
    /* A byte for every 16 bits by now, and the tag is the last of a word's four. As two
     * pairs, of which the second has the sign of its last byte; packing keeps signs. */
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(a, b)) & 0x2aaa;
#else
    uint32_t hits = 0;
    for (int i = 0; i < 7; i++)
        hits |= (uint32_t)(load_relaxed_u64(&words[i]) >> 48 == tag >> 48) << (2 * i + 1);
    return hits;
#endif
}
/* The first of the words in @p hits, which is not 0. */
static inline const uint64_t *racy_tag_first(const uint64_t *words, uint32_t hits) {
    return words + ((unsigned)__builtin_ctz(hits) >> 1);
}

/* From one record to another, whole words. */
static inline void racy_move(uint8_t *dst, const uint8_t *src, size_t len) {
    if (len > RACY_WORDS_MAX && !RACY_BY_WORDS) {
        memcpy(dst, src, len);
        return;
    }
    for (; len >= 8; len -= 8, dst += 8, src += 8)
        store_relaxed_u64((uint64_t *)(void *)dst,
                          load_relaxed_u64((const uint64_t *)(const void *)src));
}

/* Fill a record that stale readers may still be looking at: relaxed words, and
 * the unused bytes of the last word become zero. @p dst is 8-byte aligned. */
static inline void racy_store(uint8_t *dst, const void *src, size_t len) {
    const uint8_t *in = src;
    if (len > RACY_WORDS_MAX && !RACY_BY_WORDS) {
        size_t whole = len & ~(size_t)7;
        memcpy(dst, in, whole);
        dst += whole, in += whole, len -= whole;
    }
    for (; len >= 8; len -= 8, dst += 8, in += 8) {
        uint64_t word;
        memcpy(&word, in, 8);
        store_relaxed_u64((uint64_t *)(void *)dst, word);
    }
    if (len) {
        uint64_t word = 0;
        memcpy(&word, in, len);
        store_relaxed_u64((uint64_t *)(void *)dst, word);
    }
}

#endif
