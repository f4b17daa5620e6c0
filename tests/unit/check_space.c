/* Runs of pages: taken, returned, joined; and what happens when there are no more. Spec 3.5, 5.4, 6.10. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define PAGE ((uint64_t)SHMKV_PAGE_SIZE)
#define LARGE run_head(SHMKV_RUN_KIND_LARGE, 0, 0, 0)

static const char *name;
static shmkv_t *kv;
static struct segment *seg;
static struct context *ctx;
static owner_t *own;

static void open_segment(const char *where, const struct shmkv_options *opts) {
    name = where;
    kv = open_ok(name, opts);
    seg = segment_of(kv);
    ctx = context_of(kv);
    own = ctx->own;
}

static void set_up(void) { open_segment(unique_name(), NULL); }

static void tear_down(void) {
    context_release(ctx);
    finish(kv, name);
}

static run_t *run_of(uint64_t off) { return (run_t *)(void *)(seg->base + off); }
static uint64_t pages_of(uint64_t off) { return FIELD(run_of(off)->head, RUN_PAGES); }

/* Free runs, by walking the segment. */
static unsigned free_runs(uint64_t *pages) {
    unsigned n = 0;
    *pages = 0;
    for (uint64_t off = seg->data_offset; off < seg->space->limit; off += pages_of(off) * PAGE)
        if (FIELD(run_of(off)->head, RUN_KIND) == SHMKV_RUN_KIND_FREE) {
            n++;
            *pages += pages_of(off);
        }
    return n;
}

static void expect_one_free_run(uint64_t pages) {
    uint64_t found;
    ck_assert_uint_eq(free_runs(&found), 1);
    ck_assert_uint_eq(found, pages);
    ck_assert_whole(kv);
}

static uint64_t segment_pages(void) { return (seg->space->limit - seg->data_offset) / PAGE; }

/* -------------------------------------------------------------------------- bins */

START_TEST(test_bin_of_any_length_is_as_specified) {
    for (uint64_t n = 1; n <= 16; n++)
        ck_assert_uint_eq(space_bin(n), n - 1);
    for (uint64_t n = 17; n < 100000; n++) {
        unsigned b = 0;
        while (n >> (b + 1))
            b++;
        ck_assert_uint_eq(space_bin(n), 16 + 4 * (b - 4) + ((n >> (b - 2)) & 3));
    }
    ck_assert_uint_lt(space_bin(SHMKV_MAX_SEGMENT / PAGE), SHMKV_SPACE_BINS);
    ck_assert_uint_lt(space_bin(~0ULL), SHMKV_SPACE_BINS);
}
END_TEST

START_TEST(test_bins_are_in_order_of_length) {
    for (uint64_t n = 1; n < 1 << 20; n++)
        ck_assert_uint_le(space_bin(n), space_bin(n + 1));
}
END_TEST

/* --------------------------------------------------------------- taking, returning */

START_TEST(test_take_from_a_new_segment_extends_it_by_a_slice) {
    ck_assert_uint_eq(seg->space->limit, seg->data_offset);
    ck_assert_ok(run_take(ctx, 3, 1, LARGE, &own->low, 0));
    ck_assert_uint_eq(own->low, seg->data_offset);
    ck_assert_uint_eq(pages_of(own->low), 3);
    ck_assert_uint_eq(FIELD(run_of(own->low)->head, RUN_KIND), SHMKV_RUN_KIND_LARGE);
    ck_assert_uint_eq(seg->space->limit, seg->data_offset + SHMKV_SLICE_SIZE);
    ck_assert_uint_ge(info_of(kv).file_size, seg->space->limit); /* proves [LIFE-09] */
    expect_one_free_run(SHMKV_SLICE_SIZE / PAGE - 3);
    ck_assert_ok(run_return(ctx, &own->low));
    ck_assert_uint_eq(own->low, 0);
    expect_one_free_run(SHMKV_SLICE_SIZE / PAGE);
}
END_TEST

START_TEST(test_return_of_nothing_does_nothing) {
    ck_assert_ok(run_return(ctx, &own->low));
    ck_assert_uint_eq(seg->space->limit, seg->data_offset);
}
END_TEST

/* proves [LAYOUT-13] */
START_TEST(test_return_in_any_order_joins_all_again) {
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    uint64_t *fields[] = {&own->low, &own->high, &own->old};
    for (int i = 0; i < 3; i++)
        ck_assert_ok(run_take(ctx, 5, 1, LARGE, fields[i], 0));
    uint64_t all = segment_pages();
    for (int i = 0; i < 3; i++) {
        ck_assert_ok(run_return(ctx, fields[orders[_i][i]]));
        ck_assert_whole(kv);
    }
    expect_one_free_run(all);
}
END_TEST

START_TEST(test_take_prefers_a_hole_that_fits) {
    uint64_t *fields[] = {&own->low, &own->high, &own->old};
    for (int i = 0; i < 3; i++)
        ck_assert_ok(run_take(ctx, 4, 1, LARGE, fields[i], 0));
    uint64_t hole = own->high;
    ck_assert_ok(run_return(ctx, &own->high));
    ck_assert_ok(run_take(ctx, 4, 1, LARGE, &own->high, 0));
    ck_assert_uint_eq(own->high, hole);
    ck_assert_ok(run_return(ctx, &own->high));
    ck_assert_ok(run_take(ctx, 2, 1, LARGE, &own->high, 0));
    ck_assert_uint_eq(own->high, hole);
    ck_assert_whole(kv);
    for (int i = 0; i < 3; i++)
        ck_assert_ok(run_return(ctx, fields[i]));
}
END_TEST

START_TEST(test_take_aligned_leaves_the_pages_before_free) {
    ck_assert_ok(run_take(ctx, 1, 1, LARGE, &own->low, 0));
    ck_assert_ok(run_take(ctx, 8, 8, LARGE, &own->high, 0));
    ck_assert_uint_eq(own->high % (8 * PAGE), 0);
    ck_assert_whole(kv);
    ck_assert_ok(run_return(ctx, &own->low));
    ck_assert_ok(run_return(ctx, &own->high));
    expect_one_free_run(segment_pages());
}
END_TEST

START_TEST(test_take_with_an_offset_names_the_record_in_the_run) {
    ck_assert_ok(large_take(ctx, 100000, &own->cell));
    ck_assert_uint_eq(own->cell % PAGE, SHMKV_RUN_HEADER_SIZE);
    ck_assert_uint_eq(FIELD(own->cell, CELL_CLASS), 0);
    ck_assert_uint_eq(pages_of(own->cell - SHMKV_RUN_HEADER_SIZE), (100000 + SHMKV_RUN_HEADER_SIZE + PAGE - 1) / PAGE);
    ck_assert_whole(kv);
    ck_assert_ok(run_return(ctx, &own->cell));
    expect_one_free_run(segment_pages());
}
END_TEST

START_TEST(test_take_of_more_than_a_slice_extends_by_what_is_missing) {
    ck_assert_ok(run_take(ctx, 1, 1, LARGE, &own->low, 0));
    uint64_t before = seg->space->limit;
    ck_assert_ok(run_take(ctx, 1000, 1, LARGE, &own->high, 0));
    /* The free last run was counted in. */
    ck_assert_uint_eq(own->high, own->low + PAGE);
    ck_assert_uint_eq(seg->space->limit, own->high + 1000 * PAGE);
    ck_assert_uint_gt(seg->space->limit, before);
    ck_assert_whole(kv);
    ck_assert_ok(run_return(ctx, &own->low));
    ck_assert_ok(run_return(ctx, &own->high));
    expect_one_free_run(segment_pages());
}
END_TEST

/* proves [LAYOUT-11] [LAYOUT-12] */
START_TEST(test_runs_when_taken_and_returned_at_random_stay_whole) {
    uint64_t *fields[] = {&own->low, &own->high, &own->old, &own->run};
    struct random r = random_begin("runs");
    for (int i = 0; i < 3000; i++) {
        uint64_t *field = fields[random_below(&r, 4)];
        if (*field)
            ck_assert_ok(run_return(ctx, field));
        else if (random_below(&r, 4) == 0)
            ck_assert_ok(run_take(ctx, 8, 8, LARGE, field, 0));
        else
            ck_assert_ok(run_take(ctx, 1 + random_below(&r, random_below(&r, 10) ? 20 : 300), 1, LARGE, field, 0));
        if (i % 50 == 0)
            ck_assert_whole(kv);
    }
    for (int i = 0; i < 4; i++)
        ck_assert_ok(run_return(ctx, fields[i]));
    expect_one_free_run(segment_pages());
}
END_TEST

/* ---------------------------------------------------------------------- no more space */

static char big[300 * 1024];

/* Put big values until there is no room; how many went in. */
static uint32_t fill_up(shmkv_t *h) {
    for (uint32_t i = 0; i < 10000; i++) {
        int err = shmkv_put(h, &i, sizeof i, big, sizeof big);
        if (err) {
            ck_assert_err(err, SHMKV_ENOSPC);
            return i;
        }
    }
    ck_abort_msg("it never filled up");
}

static void expect_usable_when_full(shmkv_t *h, uint32_t n) {
    ck_assert_uint_gt(n, 1);
    ck_assert_uint_eq(count_of(h), n);
    ck_assert_whole(h);
    for (uint32_t i = 0; i < n; i++) {
        size_t len;
        ck_assert_ok(shmkv_get(h, &i, sizeof i, big, sizeof big, &len));
        ck_assert_uint_eq(len, sizeof big);
    }
    /* Deleting makes room. */
    uint32_t key = 1;
    ck_assert_ok(shmkv_delete(h, &key, sizeof key));
    ck_assert_ok(shmkv_put(h, &key, sizeof key, big, sizeof big));
    ck_assert_err(shmkv_put(h, "more", 4, big, sizeof big), SHMKV_ENOSPC);
    ck_assert_err(shmkv_exists(h, "more", 4), SHMKV_ENOTFOUND);
    ck_assert_whole(h);
}

START_TEST(test_put_beyond_max_size_is_enospc_and_loses_nothing) {
    struct shmkv_options opts = {.size = sizeof opts, .max_size = 2 << 20};
    shmkv_t *h = open_ok(unique_name(), &opts);
    uint32_t n = fill_up(h);
    ck_assert_detail("2097152");
    expect_usable_when_full(h, n);
    ck_assert_uint_le(info_of(h).file_size, 2 << 20);
    ck_assert_ok(shmkv_unlink(strrchr(segment_of(h)->loc->path, '/') + 1));
    ck_assert_ok(shmkv_close(h));
}
END_TEST

START_TEST(test_small_puts_when_full_are_enospc_and_overwrites_go_on) {
    struct shmkv_options opts = {.size = sizeof opts, .max_size = 1 << 20};
    const char *n = unique_name();
    shmkv_t *h = open_ok(n, &opts);
    uint64_t i = 0;
    int err = SHMKV_OK;
    for (; !err; i++)
        err = shmkv_put(h, &i, sizeof i, "0123456789", 10);
    ck_assert_err(err, SHMKV_ENOSPC);
    i--;
    ck_assert_uint_gt(i, 5000);
    ck_assert_uint_eq(count_of(h), i);
    ck_assert_whole(h);
    for (uint64_t k = 0; k < i; k += 7)
        ck_assert_ok(shmkv_exists(h, &k, sizeof k));
    for (uint64_t k = 0; k < i; k++)
        ck_assert_ok(shmkv_delete(h, &k, sizeof k));
    for (uint64_t k = 0; k < i / 2; k++)
        ck_assert_ok(shmkv_put(h, &k, sizeof k, "again", 5));
    finish(h, n);
}
END_TEST

static void fill_under_a_file_size_limit(void *arg) {
    shmkv_t *h = open_ok(arg, NULL);
    struct rlimit rl = {3 << 20, 3 << 20};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &rl), 0);
    uint32_t n = fill_up(h);
    ck_assert_detail("RLIMIT_FSIZE");
    expect_usable_when_full(h, n);
    ck_assert_ok(shmkv_close(h));
}

START_TEST(test_put_beyond_rlimit_fsize_is_enospc_and_no_signal) {
    const char *n = unique_name();
    ck_assert(child_succeeded(child_start(fill_under_a_file_size_limit, (void *)(uintptr_t)n)));
    shmkv_t *h = open_ok(n, NULL);
    ck_assert_ok(shmkv_put(h, "no limit here", 13, big, sizeof big));
    finish(h, n);
}
END_TEST

static void fill_a_small_tmpfs(void *arg) {
    const char *dir = arg;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", dir, "tmpfs", 0, "size=4m") != 0) {
        printf("not checked: cannot mount a tmpfs: %s\n", strerror(errno));
        return;
    }
    char path[256];
    snprintf(path, sizeof path, "%s/seg", dir);
    shmkv_t *h = open_ok(path, NULL);
    uint32_t n = fill_up(h);
    ck_assert_detail("remount");
    expect_usable_when_full(h, n);
    /* Somebody else fills the file system; what we have stays usable. */
    uint32_t key = 0;
    ck_assert_ok(shmkv_delete(h, &key, sizeof key));
    for (int i = 0; i < 100; i++)
        ck_assert_ok(shmkv_put(h, &key, sizeof key, big, (size_t)i * 100));
    finish(h, path);
}

/* proves [LIFE-09]: touching a page that was not reserved would be SIGBUS */
START_TEST(test_put_on_a_full_tmpfs_is_enospc_and_no_signal) {
    ck_assert(child_succeeded(child_start(fill_a_small_tmpfs, (void *)(uintptr_t)scratch_dir())));
}
END_TEST

/* ------------------------------------------------------------------------- damage */

START_TEST(test_take_when_a_list_of_free_runs_leads_nowhere_is_ecorrupt) {
    ck_assert_ok(run_take(ctx, 1, 1, LARGE, &own->low, 0));
    unsigned bin = space_bin(SHMKV_SLICE_SIZE / PAGE - 1);
    uint64_t right = seg->space->bins[bin];
    const uint64_t wrong[] = {8, PAGE, seg->space->limit, 1ULL << 41, ~0ULL, right + 8, own->low};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        seg->space->bins[bin] = wrong[i];
        ck_assert_err(run_take(ctx, 2, 1, LARGE, &own->high, 0), SHMKV_ECORRUPT);
        ck_assert_uint_eq(own->high, 0);
        ck_assert_uint_eq(seg->space->lock, 0);
    }
    seg->space->bins[bin] = right;
    ck_assert_ok(run_return(ctx, &own->low));
}
END_TEST

START_TEST(test_return_when_the_field_names_no_run_is_ecorrupt) {
    ck_assert_ok(run_take(ctx, 1, 1, LARGE, &own->low, 0));
    uint64_t right = own->low;
    const uint64_t wrong[] = {PAGE, seg->space->limit, right + PAGE /* free */, 1ULL << 40};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        own->low = wrong[i];
        ck_assert_err(run_return(ctx, &own->low), SHMKV_ECORRUPT);
    }
    own->low = right;
    ck_assert_ok(run_return(ctx, &own->low));
}
END_TEST

START_TEST(test_extend_when_the_limit_is_nonsense_is_ecorrupt) {
    ck_assert_ok(run_take(ctx, 1, 1, LARGE, &own->low, 0));
    uint64_t right = seg->space->limit;
    const uint64_t wrong[] = {0, right + 1, right + (64 << 20), ~0ULL, 1ULL << 60};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        seg->space->limit = wrong[i];
        int err = run_take(ctx, 5000, 1, LARGE, &own->high, 0);
        ck_assert_msg(err == SHMKV_ECORRUPT, "limit 0x%llx: %s", (unsigned long long)wrong[i], result_name(err));
    }
    seg->space->limit = right;
    ck_assert_ok(run_return(ctx, &own->low));
}
END_TEST

/* A segment that cannot grow. Its last pages are free, so many, and on the list of longer runs. */
#define LAST 4
static run_t *leave_the_last_pages_free(void) {
    struct shmkv_options opts = {.size = sizeof opts, .max_size = round_up(seg->data_offset, 8 * PAGE) + 16 * PAGE};
    tear_down();
    open_segment(unique_name(), &opts);
    ck_assert_ok(run_take(ctx, (opts.max_size - seg->data_offset) / PAGE - LAST, 1, LARGE, &own->low, 0));
    ck_assert_uint_eq(seg->space->last, opts.max_size - LAST * PAGE);
    seg->space->bins[space_bin(LAST)] = 0;
    seg->space->bins[space_bin(8)] = seg->space->last;
    return run_of(seg->space->last);
}

/* What was checked is what is used: the longer run would have room for eight pages where
 * the file has none. proves [OP-01] */
START_TEST(test_take_while_a_free_run_changes_its_length_stays_in_the_file) {
    struct flicker f;
    run_t *run = leave_the_last_pages_free();
    flicker_begin(&f, &run->head, run_head(SHMKV_RUN_KIND_FREE, 0, 0, LAST),
                  run_head(SHMKV_RUN_KIND_FREE, 0, 0, LAST + 8));
    for (uint64_t end = now_ms() + 500; now_ms() < end;) {
        int err = run_take(ctx, 8, 8, LARGE, &own->high, 0);
        ck_assert(err == SHMKV_ENOSPC || err == SHMKV_ECORRUPT);
    }
    flicker_end(&f);
    seg->space->bins[space_bin(LAST)] = seg->space->last;
    seg->space->bins[space_bin(8)] = 0;
    ck_assert_ok(run_return(ctx, &own->low));
}
END_TEST

static Suite *space_suite(void) {
    Suite *s = suite_create("space");
    TCase *tc = case_new(s, "bins");
    tcase_add_test(tc, test_bin_of_any_length_is_as_specified);
    tcase_add_test(tc, test_bins_are_in_order_of_length);
    tc = case_new(s, "taking and returning");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_take_from_a_new_segment_extends_it_by_a_slice);
    tcase_add_test(tc, test_return_of_nothing_does_nothing);
    tcase_add_loop_test(tc, test_return_in_any_order_joins_all_again, 0, 6);
    tcase_add_test(tc, test_take_prefers_a_hole_that_fits);
    tcase_add_test(tc, test_take_aligned_leaves_the_pages_before_free);
    tcase_add_test(tc, test_take_with_an_offset_names_the_record_in_the_run);
    tcase_add_test(tc, test_take_of_more_than_a_slice_extends_by_what_is_missing);
    tcase_add_test(tc, test_runs_when_taken_and_returned_at_random_stay_whole);
    tc = case_new(s, "no more space");
    tcase_add_test(tc, test_put_beyond_max_size_is_enospc_and_loses_nothing);
    tcase_add_test(tc, test_small_puts_when_full_are_enospc_and_overwrites_go_on);
    tcase_add_test(tc, test_put_beyond_rlimit_fsize_is_enospc_and_no_signal);
    tcase_add_test(tc, test_put_on_a_full_tmpfs_is_enospc_and_no_signal);
    tc = case_new(s, "damage");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_take_when_a_list_of_free_runs_leads_nowhere_is_ecorrupt);
    tcase_add_test(tc, test_return_when_the_field_names_no_run_is_ecorrupt);
    tcase_add_test(tc, test_extend_when_the_limit_is_nonsense_is_ecorrupt);
    tcase_add_test(tc, test_take_while_a_free_run_changes_its_length_stays_in_the_file);
    return s;
}

int main(void) { return suite_main(space_suite()); }
