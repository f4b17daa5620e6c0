/*
 * Keys: 16 bytes that look random, made from numbers; and back again.
 */
#ifndef SHMKV_TESTS_BENCH_KEYS_H
#define SHMKV_TESTS_BENCH_KEYS_H

#include <stdint.h>
#include <string.h>

#include "tests/bench/stores/store.h"

/* The step of splitmix64, public domain, by Sebastiano Vigna. One to one, so no two keys are alike.
 */
static inline uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* Its inverse: products by the inverse factors modulo 2^64, and shifts undone. */
static inline uint64_t unmix(uint64_t x) {
    x = (x ^ x >> 31 ^ x >> 62) * 0x319642b2d24d8ec3;
    x = (x ^ x >> 27 ^ x >> 54) * 0x96de1b173f119089;
    x = x ^ x >> 30 ^ x >> 60;
    return x - 0x9e3779b97f4a7c15;
}

static inline void key_for(uint8_t key[KEY_SIZE], uint64_t number) {
    uint64_t words[2] = {mix(number), mix(~number)};
    memcpy(key, words, KEY_SIZE);
}

static inline uint64_t key_number(const void *key) {
    uint64_t word;
    memcpy(&word, key, sizeof word);
    return unmix(word);
}

#endif
