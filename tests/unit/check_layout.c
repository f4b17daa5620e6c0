/* Size classes and the sizes of records. */
#include "tests/support/checks.h"

/* ---------------------------------------------------------------------- classes */

START_TEST(test_class_for_the_size_of_a_class_is_that_class) {
    unsigned cls = (unsigned)_i;
    ck_assert_uint_eq(class_for(shmkv_class_sizes[cls]), cls);
    ck_assert_uint_eq(class_for(shmkv_class_sizes[cls] - 1u), cls);
}
END_TEST

START_TEST(test_class_for_one_byte_more_is_the_next) {
    unsigned cls = (unsigned)_i;
    ck_assert_uint_eq(class_for(shmkv_class_sizes[cls] + 1u), cls + 1 < SHMKV_CLASS_COUNT ? cls + 1 : 0);
}
END_TEST

START_TEST(test_class_for_the_smallest_is_the_smallest_of_records) {
    ck_assert_uint_eq(class_for(0), SHMKV_BUCKET_CLASS + 1);
    ck_assert_uint_eq(class_for(1), SHMKV_BUCKET_CLASS + 1);
}
END_TEST

START_TEST(test_class_for_what_is_too_long_is_a_run_of_its_own) {
    ck_assert_uint_eq(class_for(16353), 0);
    ck_assert_uint_eq(class_for(1ULL << 40), 0);
    ck_assert_uint_eq(class_for(UINT64_MAX), 0);
}
END_TEST

/* proves [LAYOUT-24] */
START_TEST(test_class_for_any_size_is_the_smallest_that_holds_it) {
    for (uint64_t size = 1; size <= 16400; size++) {
        unsigned cls = class_for(size), best = 0;
        for (unsigned c = SHMKV_CLASS_COUNT - 1; c > SHMKV_BUCKET_CLASS; c--)
            if (shmkv_class_sizes[c] >= size)
                best = c;
        ck_assert_uint_eq(cls, best);
    }
}
END_TEST

START_TEST(test_cells_of_a_class_are_aligned_and_fill_their_slab) {
    unsigned cls = (unsigned)_i;
    ck_assert_uint_eq(shmkv_class_sizes[cls] % SHMKV_CELL_ALIGN, 0);
    uint64_t used = SHMKV_RUN_HEADER_SIZE + (uint64_t)class_capacity(cls) * shmkv_class_sizes[cls];
    ck_assert_uint_le(used, class_slab_size(cls));
    ck_assert_uint_gt(used + shmkv_class_sizes[cls], class_slab_size(cls));
    ck_assert_uint_ge(class_capacity(cls), 2);
}
END_TEST

START_TEST(test_bucket_class_holds_a_bucket) {
    ck_assert_uint_eq(shmkv_class_sizes[SHMKV_BUCKET_CLASS], sizeof(bucket_t));
}
END_TEST

/* ---------------------------------------------------------------------- records */

START_TEST(test_record_value_begins_on_a_word) {
    ck_assert_uint_eq(record_value_offset(1, false), 24);
    ck_assert_uint_eq(record_value_offset(8, false), 24);
    ck_assert_uint_eq(record_value_offset(9, false), 32);
    ck_assert_uint_eq(record_value_offset(1, true), 40);
    ck_assert_uint_eq(record_value_offset(65536, false), 16 + 65536);
}
END_TEST

START_TEST(test_record_size_is_whole_words) {
    ck_assert_uint_eq(record_size(1, 0, false), 24);
    ck_assert_uint_eq(record_size(1, 1, false), 32);
    ck_assert_uint_eq(record_size(16, 32, false), 64);
    ck_assert_uint_eq(record_size(8, 4294967295u, false), 24 + 4294967296u);
}
END_TEST

/* ------------------------------------------------------------------------ words */

/* proves [LAYOUT-01] [LAYOUT-02]: what the file holds is what the words say */
START_TEST(test_integers_in_the_file_are_little_endian_offsets) {
    const char *name = unique_name();
    shmkv_t *kv = open_ok(name, NULL);
    uint8_t bytes[24];
    file_read(shm_path(name), offsetof(header_t, revision), bytes, 8);
    const uint8_t revision_and_size[] = {1, 0, 0, 0, 0, 16, 0, 0};
    ck_assert_mem_eq(bytes, revision_and_size, 8);
    file_read(shm_path(name), offsetof(header_t, owners_offset), bytes, 8);
    const uint8_t owners[] = {0, 16, 0, 0, 0, 0, 0, 0};
    ck_assert_mem_eq(bytes, owners, 8);
    finish(kv, name);
}
END_TEST

START_TEST(test_word_of_a_cell_contains_its_offset_in_place) {
    uint64_t word = MAKE(SLOT_TAG, 0xabcd) | MAKE(SLOT_CLASS, 33) | 0x12345670;
    ck_assert_uint_eq(word & OFFSET_IN_WORD, 0x12345670);
    ck_assert_uint_eq(FIELD(word, SLOT_CLASS), 33);
    ck_assert_uint_eq(FIELD(word, SLOT_TAG), 0xabcd);
    ck_assert_uint_eq((SHMKV_MAX_SEGMENT - SHMKV_CELL_ALIGN) & OFFSET_IN_WORD, SHMKV_MAX_SEGMENT - SHMKV_CELL_ALIGN);
}
END_TEST

static Suite *layout_suite(void) {
    Suite *s = suite_create("layout");
    TCase *tc = case_new(s, "classes");
    tcase_add_loop_test(tc, test_class_for_the_size_of_a_class_is_that_class, 2, SHMKV_CLASS_COUNT);
    tcase_add_loop_test(tc, test_class_for_one_byte_more_is_the_next, 2, SHMKV_CLASS_COUNT);
    tcase_add_test(tc, test_class_for_the_smallest_is_the_smallest_of_records);
    tcase_add_test(tc, test_class_for_what_is_too_long_is_a_run_of_its_own);
    tcase_add_test(tc, test_class_for_any_size_is_the_smallest_that_holds_it);
    tcase_add_loop_test(tc, test_cells_of_a_class_are_aligned_and_fill_their_slab, 1, SHMKV_CLASS_COUNT);
    tcase_add_test(tc, test_bucket_class_holds_a_bucket);
    tc = case_new(s, "records");
    tcase_add_test(tc, test_record_value_begins_on_a_word);
    tcase_add_test(tc, test_record_size_is_whole_words);
    tc = case_new(s, "words");
    tcase_add_test(tc, test_integers_in_the_file_are_little_endian_offsets);
    tcase_add_test(tc, test_word_of_a_cell_contains_its_offset_in_place);
    return s;
}

int main(void) { return suite_main(layout_suite()); }
