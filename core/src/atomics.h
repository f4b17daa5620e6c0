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
static inline uint32_t exchange_release_u32(uint32_t *p, uint32_t v) {
    return __atomic_exchange_n(p, v, __ATOMIC_RELEASE);
}

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

/* Longest copy done word by word; beyond it the library's memcpy is faster. */
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
 * C11 has no name for a long copy that may race. Up to RACY_WORDS_MAX bytes are
 * relaxed loads, which it blesses; longer ones use memcpy, which every
 * implementation in use performs as plain loads of unspecified order: exactly
 * what the version check expects. ThreadSanitizer builds use words throughout.
 */
static inline void racy_copy(void *dst, const uint8_t *src, size_t len) {
    if (len > RACY_WORDS_MAX && !RACY_BY_WORDS) {
        memcpy(dst, src, len);
        return;
    }
    uint8_t *out = dst;
    for (; len >= 8; len -= 8, src += 8, out += 8) {
        uint64_t word = load_relaxed_u64((const uint64_t *)(const void *)src);
        memcpy(out, &word, 8);
    }
    if (len) {
        uint64_t word = load_relaxed_u64((const uint64_t *)(const void *)src);
        memcpy(out, &word, len);
    }
}

/* Compare likewise. The answer counts only after the version check. */
static inline bool racy_equal(const uint8_t *shared, const void *private_, size_t len) {
    const uint8_t *mine = private_;
    for (; len >= 8; len -= 8, shared += 8, mine += 8) {
        uint64_t theirs = load_relaxed_u64((const uint64_t *)(const void *)shared);
        if (memcmp(&theirs, mine, 8) != 0)
            return false;
    }
    if (!len)
        return true;
    uint64_t theirs = load_relaxed_u64((const uint64_t *)(const void *)shared);
    return memcmp(&theirs, mine, len) == 0;
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
