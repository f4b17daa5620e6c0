/* The hash, by the vectors of spec 3.6, and how its bits are cut. */
#include <string.h>

#include "core/src/hash.h"
#include "tests/support/checks.h"

static const struct {
    size_t len;
    uint64_t plain, seeded; /* seed 0, seed 0x0123456789abcdef */
} vectors[] = {
    {1, 0xc44bdff4074eecdb, 0xd5dd68911c7f195d},    {2, 0xd6645fc3051a9457, 0xde2ddb0e04e396a1},
    {3, 0x5f4299fc161c9cbb, 0x6db0802353336496},    {4, 0x60dab036a58211f2, 0xbb981e431fa9e4e3},
    {8, 0x3a1c2d7c85af88f8, 0xd204fc26419c7d22},    {9, 0xe9612598145bb9dc, 0xd813523b210d751b},
    {16, 0x8355e3a6f61770db, 0x1dca78f4947ed52c},   {17, 0x9ef341a99de37328, 0xebce4845f0c75f02},
    {128, 0x85c6174c7ff4c46b, 0xde26ec476dc43954},  {129, 0xec7642b431ba3e5a, 0x75bc8ed192c9cc73},
    {240, 0x375a384d957fe865, 0x4b1593ee9603224a},  {241, 0x02e8cd95421c6d02, 0xace3afe84c9adf7c},
    {1000, 0x33ef703fb2b20ed1, 0xf59b39466ffee4f0},
};

/* proves [LAYOUT-17] */
START_TEST(test_hash_of_a_vector_is_as_specified) {
    uint8_t key[1000];
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(i % 251);
    ck_assert_uint_eq(hash_bytes(key, vectors[_i].len, 0), vectors[_i].plain);
    ck_assert_uint_eq(hash_bytes(key, vectors[_i].len, 0x0123456789abcdef), vectors[_i].seeded);
}
END_TEST

START_TEST(test_hash_of_unaligned_bytes_is_the_same) {
    uint8_t key[1008];
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t i = 0; i < 1000; i++)
            key[shift + i] = (uint8_t)(i % 251);
        ck_assert_uint_eq(hash_bytes(key + shift, 1000, 0), 0x33ef703fb2b20ed1);
    }
}
END_TEST

/* What is spelled out here for the usual lengths, against the library. */
START_TEST(test_hash_of_usual_keys_is_that_of_the_library) {
    uint8_t key[20];
    uint64_t seed = 0, state = 1;
    for (int round = 0; round < 1000; round++) {
        for (size_t i = 0; i < sizeof key; i++)
            key[i] = (uint8_t)((state = state * 6364136223846793005 + 1442695040888963407) >> 56);
        for (size_t len = 8; len <= 17; len++)
            ck_assert_uint_eq(hash_inline(key, len, seed), XXH3_64bits_withSeed(key, len, seed));
        seed = state;
    }
}
END_TEST

/* proves [LIFE-03] as far as a test can: two segments, two seeds */
START_TEST(test_seed_of_each_segment_is_its_own) {
    const char *a = unique_name(), *b = unique_name();
    shmkv_t *x = open_ok(a, NULL), *y = open_ok(b, NULL);
    ck_assert_uint_ne(segment_of(x)->seed, segment_of(y)->seed);
    ck_assert_uint_ne(segment_of(x)->seed, 0);
    ck_assert_mem_ne(info_of(x).uuid, info_of(y).uuid, 16);
    finish(x, a);
    finish(y, b);
}
END_TEST

START_TEST(test_hash_bits_are_cut_into_disjoint_fields) {
    uint64_t hash = 0xfedcba9876543210;
    struct segment seg = {.shard_mask = 63, .shard_bits = 6};
    ck_assert_uint_eq(hash_shard(&seg, hash), 0x10);
    ck_assert_uint_eq(hash_directory(&seg, hash) & 0xff, (0x76543210u >> 6) & 0xff);
    ck_assert_uint_eq(hash_bucket(hash), 0xba98u * 63 >> 16);
    ck_assert_uint_eq(hash_tag(hash), 0xfedc000000000000);
}
END_TEST

START_TEST(test_bucket_of_any_hash_is_below_63) {
    ck_assert_uint_eq(hash_bucket(0), 0);
    ck_assert_uint_eq(hash_bucket(~0ULL), SHMKV_GROUP_BUCKETS - 1);
    struct random r = random_begin("buckets");
    for (int i = 0; i < 100000; i++) {
        uint64_t hash = random_next(&r), bucket = hash_bucket(hash);
        ck_assert_uint_lt(bucket, SHMKV_GROUP_BUCKETS);
        ck_assert_uint_eq(hash_bucket_offset(hash),
                          SHMKV_RUN_HEADER_SIZE + bucket * SHMKV_BUCKET_SIZE);
    }
}
END_TEST

static Suite *hash_suite(void) {
    Suite *s = suite_create("hash");
    TCase *tc = case_new(s, "vectors");
    tcase_add_loop_test(tc, test_hash_of_a_vector_is_as_specified, 0,
                        (int)(sizeof vectors / sizeof *vectors));
    tcase_add_test(tc, test_hash_of_unaligned_bytes_is_the_same);
    tcase_add_test(tc, test_hash_of_usual_keys_is_that_of_the_library);
    tcase_add_test(tc, test_seed_of_each_segment_is_its_own);
    tc = case_new(s, "bits");
    tcase_add_test(tc, test_hash_bits_are_cut_into_disjoint_fields);
    tcase_add_test(tc, test_bucket_of_any_hash_is_below_63);
    return s;
}

int main(void) { return suite_main(hash_suite()); }
