/* Facts for operators: info, stats, locks, owners. Spec 3.2, 3.5, 4.2, 4.4. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define LOCKS (SHMKV_DEFAULT_SHARDS + SHMKV_DEFAULT_ARENAS + 1)

static const char *name;
static shmkv_t *kv;

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
}

static void tear_down(void) { finish(kv, name); }

/* ------------------------------------------------------------------------- info */

START_TEST(test_info_tells_what_the_segment_is) {
    struct shmkv_info info = info_of(kv);
    struct stat st;
    ck_assert_int_eq(stat(shm_path(name), &st), 0);
    ck_assert_uint_eq(info.revision, SHMKV_REVISION);
    ck_assert_uint_eq(info.state, SHMKV_SEGMENT_STATE_LIVE);
    ck_assert_uint_eq(info.max_key, SHMKV_MAX_KEY);
    ck_assert_uint_eq(info.max_value, SHMKV_MAX_VALUE);
    ck_assert_uint_eq(info.max_size, 0);
    ck_assert_uint_eq(info.uid, st.st_uid);
    ck_assert_uint_eq(info.permissions, 0600);
    ck_assert_uint_eq(info.file_size, st.st_size);
    ck_assert_uint_eq(info.file_allocated, st.st_blocks * 512);
    ck_assert_uint_eq(info.creator_pid, getpid());
    ck_assert(strncmp(info.creator_name, program_invocation_short_name, 15) == 0);
    uint64_t age = (uint64_t)time(NULL) - info.created_ns / 1000000000u;
    ck_assert_uint_lt(age, 100);
    ck_assert_uint_eq(info.uuid[6] >> 4, 4); /* a random UUID, RFC 9562 */
    ck_assert_uint_eq(info.uuid[8] >> 6, 2);
}
END_TEST

START_TEST(test_reports_when_the_size_is_not_set_are_eargument) {
    struct shmkv_info info = {0};
    struct shmkv_stats st = {0};
    ck_assert_err(shmkv_info(kv, &info), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_stats(kv, &st), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_info(kv, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_stats(kv, NULL), SHMKV_EARGUMENT);
    info.size = sizeof info + 8;
    ck_assert_err(shmkv_info(kv, &info), SHMKV_EARGUMENT);
}
END_TEST

START_TEST(test_reports_without_a_place_are_eargument) {
    size_t n;
    ck_assert_err(shmkv_locks(kv, NULL, 0, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_locks(kv, NULL, 5, &n), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_owners(kv, NULL, 0, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_owners(kv, NULL, 5, &n), SHMKV_EARGUMENT);
}
END_TEST

START_TEST(test_reports_of_no_handle_are_eclosed) {
    struct shmkv_info info = {.size = sizeof info};
    struct shmkv_stats st = {.size = sizeof st};
    size_t n;
    ck_assert_err(shmkv_info(NULL, &info), SHMKV_ECLOSED);
    ck_assert_err(shmkv_stats(NULL, &st), SHMKV_ECLOSED);
    ck_assert_err(shmkv_locks(NULL, NULL, 0, &n), SHMKV_ECLOSED);
    ck_assert_err(shmkv_owners(NULL, NULL, 0, &n), SHMKV_ECLOSED);
}
END_TEST

/* ------------------------------------------------------------------------- stats */

START_TEST(test_stats_when_empty_are_of_the_blocks_only) {
    struct shmkv_stats st = stats_of(kv);
    ck_assert_uint_eq(st.entries, 0);
    ck_assert_uint_eq(st.limit, st.meta_bytes);
    ck_assert_uint_eq(st.free_bytes | st.group_bytes | st.slab_bytes | st.large_bytes, 0);
    ck_assert_uint_eq(st.cells_used, 0);
    ck_assert_uint_eq(st.owners_live, 1);
    ck_assert_uint_eq(st.shards_used, 0);
}
END_TEST

START_TEST(test_stats_add_up) {
    static char large[100000];
    for (uint64_t i = 0; i < 3000; i++)
        ck_assert_ok(shmkv_put(kv, &i, sizeof i, large, i % 600));
    ck_assert_ok(shmkv_put(kv, "large", 5, large, sizeof large));
    struct shmkv_stats st = stats_of(kv);
    ck_assert_uint_eq(st.entries, 3001);
    ck_assert_uint_eq(st.meta_bytes + st.free_bytes + st.group_bytes + st.slab_bytes + st.large_bytes, st.limit);
    ck_assert_uint_ge(st.cells_used, 3000 + SHMKV_DEFAULT_SHARDS);
    ck_assert_uint_gt(st.cells_free, 0);
    ck_assert_uint_ge(st.large_bytes, sizeof large);
    ck_assert_uint_eq(st.shards_used, SHMKV_DEFAULT_SHARDS);
    ck_assert_uint_ge(st.directory_words, SHMKV_DEFAULT_SHARDS);
    ck_assert_uint_le(st.limit, info_of(kv).file_size);
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    struct shmkv_stats seen = stats_of(reader);
    ck_assert_mem_eq(&seen, &st, sizeof st);
    ck_assert_ok(shmkv_close(reader));
}
END_TEST

static void write_on(void *arg) {
    volatile uint64_t *stop = arg;
    static char large[50000];
    shmkv_t *mine = open_ok(name, NULL);
    for (uint64_t i = 0; !*stop; i++)
        ck_assert_ok(shmkv_put(mine, &(uint64_t){i % 100}, 8, large, i * 997 % sizeof large));
    ck_assert_ok(shmkv_close(mine));
}

START_TEST(test_stats_while_a_writer_cuts_and_joins_runs_are_no_error) {
    volatile uint64_t *stop = shared_memory(sizeof *stop);
    pid_t pid = child_start(write_on, (void *)(uintptr_t)stop);
    for (int i = 0; i < 2000; i++) {
        struct shmkv_stats st = stats_of(kv);
        ck_assert_uint_ge(st.limit, st.meta_bytes);
    }
    *stop = 1;
    ck_assert(child_succeeded(pid));
}
END_TEST

START_TEST(test_stats_when_the_runs_do_not_tile_are_ecorrupt) {
    put_text(kv, "k", "v");
    struct segment *seg = segment_of(kv);
    run_t *run = (run_t *)(void *)(seg->base + seg->data_offset);
    uint64_t right = run->head;
    const uint64_t wrong[] = {0, right & ~IN_PLACE(RUN_PAGES), right | IN_PLACE(RUN_PAGES), right | IN_PLACE(RUN_KIND)};
    struct shmkv_stats st = {.size = sizeof st};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        run->head = wrong[i];
        ck_assert_err(shmkv_stats(kv, &st), SHMKV_ECORRUPT);
    }
    run->head = right;
    st.size = sizeof st;
    ck_assert_ok(shmkv_stats(kv, &st));
}
END_TEST

/* ------------------------------------------------------------------------- locks */

START_TEST(test_locks_when_nobody_writes_are_all_free) {
    struct shmkv_lock locks[LOCKS];
    size_t n;
    ck_assert_ok(shmkv_locks(kv, NULL, 0, &n));
    ck_assert_uint_eq(n, LOCKS);
    ck_assert_ok(shmkv_locks(kv, locks, LOCKS, &n));
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_eq(locks[i].word, 0);
        ck_assert_int_eq(locks[i].owner, -1);
        ck_assert_int_eq(locks[i].waiters, 0);
        ck_assert_uint_eq(locks[i].intent, 0);
    }
    ck_assert_int_eq(locks[0].kind, SHMKV_LOCK_SHARD);
    ck_assert_uint_eq(locks[63].index, 63);
    ck_assert_int_eq(locks[64].kind, SHMKV_LOCK_ARENA);
    ck_assert_uint_eq(locks[79].index, 15);
    ck_assert_int_eq(locks[80].kind, SHMKV_LOCK_SPACE);
}
END_TEST

START_TEST(test_locks_and_owners_when_one_is_held_tell_by_whom) {
    struct context *ctx = context_of(kv);
    struct domain d = shard_domain(segment_of(kv), 11);
    ck_assert_ok(lock_take(ctx, &d));
    *d.lock |= (uint32_t)IN_PLACE(LOCK_WAITERS);
    shmkv_t *reader = open_mode(name, SHMKV_READONLY);
    struct shmkv_lock locks[LOCKS];
    struct shmkv_owner owners[4];
    size_t n;
    ck_assert_ok(shmkv_locks(reader, locks, LOCKS, &n));
    ck_assert_int_eq(locks[11].owner, (int)ctx->slot);
    ck_assert_int_eq(locks[11].waiters, 1);
    ck_assert_uint_eq(locks[11].word, *d.lock);
    ck_assert_ok(shmkv_owners(reader, owners, 4, &n));
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(owners[0].slot, ctx->slot);
    ck_assert_uint_eq(owners[0].locks_held, 1);
    ck_assert_int_eq(owners[0].liveness, SHMKV_ALIVE);
    ck_assert_ok(shmkv_close(reader));
    lock_release(ctx, &d);
    context_release(ctx);
}
END_TEST

START_TEST(test_arrays_when_too_short_are_filled_and_the_number_told) {
    shmkv_t *second = open_ok(name, NULL), *third = open_ok(name, NULL);
    struct shmkv_owner owners[2];
    struct shmkv_lock locks[3];
    size_t n;
    memset(owners, 0xff, sizeof owners);
    ck_assert_ok(shmkv_owners(kv, owners, 1, &n));
    ck_assert_uint_eq(n, 3);
    ck_assert_uint_eq(owners[0].slot, 0);
    ck_assert_uint_eq(owners[1].slot, 0xffffffff);
    ck_assert_ok(shmkv_locks(kv, locks, 2, &n));
    ck_assert_uint_eq(n, LOCKS);
    ck_assert_ok(shmkv_close(second));
    ck_assert_ok(shmkv_close(third));
}
END_TEST

START_TEST(test_owner_name_when_it_has_no_end_is_cut) {
    struct segment *seg = segment_of(kv);
    uint8_t right[32];
    memcpy(right, seg->owners[0].name, sizeof right);
    memset(seg->owners[0].name, 'x', 32);
    struct shmkv_owner owner;
    size_t n;
    ck_assert_ok(shmkv_owners(kv, &owner, 1, &n));
    ck_assert_uint_eq(strlen(owner.name), 32);
    memcpy(seg->owners[0].name, right, sizeof right);
}
END_TEST

static Suite *report_suite(void) {
    Suite *s = suite_create("report");
    TCase *tc = case_new(s, "info");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_info_tells_what_the_segment_is);
    tcase_add_test(tc, test_reports_when_the_size_is_not_set_are_eargument);
    tcase_add_test(tc, test_reports_without_a_place_are_eargument);
    tcase_add_test(tc, test_reports_of_no_handle_are_eclosed);
    tc = case_new(s, "stats");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_stats_when_empty_are_of_the_blocks_only);
    tcase_add_test(tc, test_stats_add_up);
    tcase_add_test(tc, test_stats_while_a_writer_cuts_and_joins_runs_are_no_error);
    tcase_add_test(tc, test_stats_when_the_runs_do_not_tile_are_ecorrupt);
    tc = case_new(s, "locks and owners");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_locks_when_nobody_writes_are_all_free);
    tcase_add_test(tc, test_locks_and_owners_when_one_is_held_tell_by_whom);
    tcase_add_test(tc, test_arrays_when_too_short_are_filled_and_the_number_told);
    tcase_add_test(tc, test_owner_name_when_it_has_no_end_is_cut);
    return s;
}

int main(void) { return suite_main(report_suite()); }
