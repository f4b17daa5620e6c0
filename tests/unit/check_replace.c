/* EXCLUSIVE: a fresh segment takes the name, at any time. Spec 5.5. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/checks.h"

static const char *path;

static void set_up(void) { path = scratch_path("seg"); }

static shmkv_t *open_flags(int mode, unsigned flags) {
    struct shmkv_options opts = {.size = sizeof opts, .mode = mode, .flags = flags};
    return open_ok(path, &opts);
}

static void replace_now(void) { ck_assert_ok(shmkv_close(open_mode(path, SHMKV_EXCLUSIVE))); }

static void expect_only_the_segment(void) { ck_assert_uint_eq(directory_count(scratch_dir()), 1); }

/* ------------------------------------------------------------------------- basic */

START_TEST(test_exclusive_when_there_is_none_creates) {
    shmkv_t *kv = open_mode(path, SHMKV_EXCLUSIVE);
    ck_assert_uint_eq(info_of(kv).incarnation, 1);
    put_text(kv, "k", "v");
    expect_only_the_segment();
    finish(kv, path);
}
END_TEST

START_TEST(test_exclusive_gives_an_empty_segment_of_the_next_incarnation) {
    shmkv_t *old = open_ok(path, NULL);
    put_text(old, "k", "v");
    struct shmkv_info before = info_of(old);
    ck_assert_ok(shmkv_close(old));
    shmkv_t *kv = open_mode(path, SHMKV_EXCLUSIVE);
    struct shmkv_info after = info_of(kv);
    ck_assert_uint_eq(count_of(kv), 0);
    ck_assert_uint_eq(after.incarnation, 2);
    ck_assert_mem_ne(after.uuid, before.uuid, 16);
    expect_only_the_segment();
    finish(kv, path);
}
END_TEST

START_TEST(test_exclusive_of_a_plain_name_leaves_only_that_name) {
    const char *name = unique_name();
    ck_assert_ok(shmkv_close(open_ok(name, NULL)));
    shmkv_t *kv = open_mode(name, SHMKV_EXCLUSIVE);
    ck_assert_uint_eq(info_of(kv).incarnation, 2);
    unsigned left = 0;
    char prefix[64];
    snprintf(prefix, sizeof prefix, ".shmkv-swap-%016llx", (unsigned long long)hash_bytes(name, strlen(name), 0));
    DIR *dir = opendir("/dev/shm");
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        left += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    closedir(dir);
    ck_assert_uint_eq(left, 0);
    finish(kv, name);
}
END_TEST

START_TEST(test_exclusive_takes_the_new_segments_options) {
    ck_assert_ok(shmkv_close(open_ok(path, NULL)));
    struct shmkv_options opts = {.size = sizeof opts, .mode = SHMKV_EXCLUSIVE, .owner_slots = 7, .permissions = 0640};
    shmkv_t *kv = open_ok(path, &opts);
    ck_assert_uint_eq(info_of(kv).owner_count, 7);
    ck_assert_uint_eq(info_of(kv).permissions, 0640);
    finish(kv, path);
}
END_TEST

/* ------------------------------------------------------------------------- followers */

/* proves [LIFE-13] [LIFE-15] */
START_TEST(test_attached_handles_when_replaced_follow_on_any_call) {
    shmkv_t *kv = open_ok(path, NULL);
    put_text(kv, "k", "old");
    shmkv_t *fresh = open_mode(path, SHMKV_EXCLUSIVE);
    put_text(fresh, "k", "new");
    uint64_t n;
    struct shmkv_info info = {.size = sizeof info};
    shmkv_snapshot_t *s;
    shmkv_cursor_t *c;
    size_t count;
    switch (_i) {
    case 0:
        ck_assert_value(kv, "k", "new");
        break;
    case 1:
        put_text(kv, "k", "newer");
        ck_assert_value(fresh, "k", "newer");
        break;
    case 2:
        ck_assert_ok(shmkv_delete(kv, "k", 1));
        ck_assert_value(fresh, "k", NULL);
        break;
    case 3:
        ck_assert_ok(shmkv_count(kv, &n));
        ck_assert_uint_eq(n, 1);
        break;
    case 4:
        ck_assert_ok(shmkv_info(kv, &info));
        ck_assert_uint_eq(info.incarnation, 2);
        break;
    case 5:
        ck_assert_ok(shmkv_snapshot(kv, &s));
        ck_assert_uint_eq(shmkv_snapshot_count(s), 1);
        shmkv_snapshot_free(s);
        break;
    case 6:
        ck_assert_ok(shmkv_cursor_open(kv, 0, &c));
        shmkv_cursor_close(c);
        ck_assert_value(kv, "k", "new");
        break;
    case 7:
        ck_assert_ok(shmkv_owners(kv, NULL, 0, &count));
        ck_assert_uint_eq(count, 2);
        break;
    default:
        ck_assert_whole(kv);
        ck_assert_uint_eq(info_of(kv).incarnation, 2);
    }
    ck_assert_ok(shmkv_close(fresh));
    finish(kv, path);
}
END_TEST

START_TEST(test_read_only_handle_when_replaced_follows) {
    ck_assert_ok(shmkv_close(open_ok(path, NULL)));
    shmkv_t *reader = open_mode(path, SHMKV_READONLY);
    shmkv_t *fresh = open_mode(path, SHMKV_EXCLUSIVE);
    put_text(fresh, "k", "new");
    ck_assert_value(reader, "k", "new");
    ck_assert_ok(shmkv_close(reader));
    finish(fresh, path);
}
END_TEST

START_TEST(test_handle_when_replaced_many_times_follows_and_keeps_no_descriptors) {
    shmkv_t *kv = open_ok(path, NULL);
    unsigned descriptors = directory_count("/proc/self/fd");
    for (int i = 0; i < 50; i++) {
        replace_now();
        put_text(kv, "k", "v");
        ck_assert_uint_eq(info_of(kv).incarnation, 2 + i);
    }
    ck_assert_uint_eq(directory_count("/proc/self/fd"), descriptors);
    finish(kv, path);
}
END_TEST

START_TEST(test_handle_with_stay_when_replaced_is_estale_and_can_be_closed) {
    shmkv_t *kv = open_flags(SHMKV_SHARED, SHMKV_STAY);
    put_text(kv, "k", "old");
    shmkv_t *fresh = open_mode(path, SHMKV_EXCLUSIVE);
    char buf[8];
    uint64_t n;
    ck_assert_err(shmkv_get(kv, "k", 1, buf, sizeof buf, NULL), SHMKV_ESTALE);
    ck_assert_detail(path);
    ck_assert_err(shmkv_put(kv, "k", 1, "v", 1), SHMKV_ESTALE);
    ck_assert_err(shmkv_delete(kv, "k", 1), SHMKV_ESTALE);
    ck_assert_err(shmkv_count(kv, &n), SHMKV_ESTALE);
    ck_assert_err(shmkv_verify(kv, NULL, NULL, NULL), SHMKV_ESTALE);
    ck_assert_ok(shmkv_close(kv));
    finish(fresh, path);
}
END_TEST

START_TEST(test_handle_when_replaced_and_then_unlinked_is_enosegment) {
    shmkv_t *kv = open_ok(path, NULL);
    replace_now();
    ck_assert_ok(shmkv_unlink(path));
    ck_assert_err(shmkv_exists(kv, "k", 1), SHMKV_ENOSEGMENT);
    /* It stays usable: the name may come back. */
    shmkv_t *again = open_ok(path, NULL);
    put_text(again, "k", "back");
    ck_assert_value(kv, "k", "back");
    ck_assert_ok(shmkv_close(again));
    finish(kv, path);
}
END_TEST

static shmkv_t *shared_kv;
static atomic_int stop;

static void *use_while_replaced(void *arg) {
    uint64_t me = (uint64_t)(uintptr_t)arg, value;
    while (!stop) {
        if (shmkv_put(shared_kv, &me, sizeof me, &me, sizeof me) != SHMKV_OK)
            return (void *)1;
        int err = shmkv_get(shared_kv, &me, sizeof me, &value, sizeof value, NULL);
        if (err != SHMKV_ENOTFOUND && (err != SHMKV_OK || value != me))
            return (void *)2;
    }
    return NULL;
}

START_TEST(test_threads_on_one_handle_when_replaced_all_follow) {
    shared_kv = open_ok(path, NULL);
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_while_replaced, (void *)(i + 1)), 0);
    for (int i = 0; i < 100; i++)
        replace_now();
    atomic_store(&stop, 1);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        ck_assert_ptr_null(result);
    }
    ck_assert_uint_eq(info_of(shared_kv).incarnation, 101);
    finish(shared_kv, path);
}
END_TEST

/* ------------------------------------------------------------------------------ races */

static void replace_and_put(void *arg) {
    uint64_t me = (uint64_t)(uintptr_t)arg;
    for (uint64_t i = 0; i < 50; i++) {
        shmkv_t *kv = open_mode(path, SHMKV_EXCLUSIVE);
        ck_assert_ok(shmkv_put(kv, &me, sizeof me, &i, sizeof i));
        ck_assert_ok(shmkv_close(kv));
    }
}

static void use_by_name(void *arg) {
    volatile uint64_t *finished = arg;
    shmkv_t *attached = open_ok(path, NULL);
    for (uint64_t i = 0; !*finished; i++) {
        uint64_t key = 1000 + i % 10;
        ck_assert_ok(shmkv_put(attached, &key, sizeof key, &i, sizeof i));
        int err = shmkv_exists(attached, &key, sizeof key);
        ck_assert(err == SHMKV_OK || err == SHMKV_ENOTFOUND);
        if (i % 100 == 0) {
            shmkv_t *kv = open_mode(path, SHMKV_EXISTING);
            ck_assert_ok(shmkv_close(kv));
        }
    }
    ck_assert_ok(shmkv_close(attached));
}

/* proves [LIFE-11] [LIFE-12] */
START_TEST(test_exclusive_when_four_race_fifty_times_each_gets_a_whole_segment) {
    uint64_t *finished = shared_memory(sizeof *finished);
    ck_assert_ok(shmkv_close(open_ok(path, NULL)));
    pid_t users[2], pids[4];
    for (uintptr_t i = 0; i < 2; i++)
        users[i] = child_start(use_by_name, finished);
    for (uintptr_t i = 0; i < 4; i++)
        pids[i] = child_start(replace_and_put, (void *)(i + 1));
    for (int i = 0; i < 4; i++)
        ck_assert(child_succeeded(pids[i]));
    *finished = 1;
    for (int i = 0; i < 2; i++)
        ck_assert(child_succeeded(users[i]));
    expect_only_the_segment();
    shmkv_t *kv = open_mode(path, SHMKV_EXISTING);
    ck_assert_uint_eq(info_of(kv).incarnation, 201);
    finish(kv, path);
}
END_TEST

static void replace_or_unlink(void *arg) {
    for (int i = 0; i < 50; i++) {
        if (arg) {
            int err = shmkv_unlink(path);
            ck_assert(err == SHMKV_OK || err == SHMKV_ENOSEGMENT);
        }
        shmkv_t *kv = open_mode(path, SHMKV_EXCLUSIVE);
        /* It may have been replaced since, and the replacement unlinked. */
        int err = shmkv_put(kv, "k", 1, "v", 1);
        ck_assert(err == SHMKV_OK || err == SHMKV_ENOSEGMENT);
        ck_assert_ok(shmkv_close(kv));
    }
}

START_TEST(test_exclusive_while_others_unlink_always_works) {
    pid_t pids[4];
    for (uintptr_t i = 0; i < 4; i++)
        pids[i] = child_start(replace_or_unlink, (void *)(i % 2));
    for (int i = 0; i < 4; i++)
        ck_assert(child_succeeded(pids[i]));
    expect_only_the_segment();
    finish(open_mode(path, SHMKV_EXISTING), path);
}
END_TEST

/* ---------------------------------------------------------------------------- leftovers */

static const char *swap_name(unsigned n) {
    char entry[64];
    const char *last = strrchr(path, '/') + 1;
    snprintf(entry, sizeof entry, ".shmkv-swap-%016llx-%016x", (unsigned long long)hash_bytes(last, strlen(last), 0), n);
    return scratch_path(entry);
}

/* As a dead replacer leaves it. */
static void leave_at_swap_name(unsigned n) {
    ck_assert_ok(shmkv_close(open_ok(scratch_path("other"), NULL)));
    ck_assert_int_eq(rename(scratch_path("other"), swap_name(n)), 0);
}

START_TEST(test_exclusive_when_dead_replacers_left_segments_removes_them) {
    ck_assert_ok(shmkv_close(open_ok(path, NULL)));
    for (unsigned i = 0; i < 3; i++)
        leave_at_swap_name(i);
    shmkv_t *kv = open_mode(path, SHMKV_EXCLUSIVE);
    ck_assert_uint_eq(info_of(kv).incarnation, 2);
    expect_only_the_segment();
    finish(kv, path);
}
END_TEST

START_TEST(test_unlink_when_dead_replacers_left_segments_removes_them) {
    ck_assert_ok(shmkv_close(open_ok(path, NULL)));
    leave_at_swap_name(1);
    leave_at_swap_name(2);
    ck_assert_ok(shmkv_unlink(path));
    ck_assert_uint_eq(directory_count(scratch_dir()), 0);
}
END_TEST

static void hold_a_slot(void *arg) {
    put_text(open_ok(path, NULL), "k", "v");
    gate_open(arg);
    for (;;)
        pause();
}

/* proves [LIFE-26] */
START_TEST(test_attach_after_a_death_removes_what_replacers_left) {
    struct gate held = gate_new();
    ck_assert_ok(shmkv_close(open_ok(path, NULL)));
    leave_at_swap_name(1);
    ck_assert_ok(shmkv_close(open_ok(path, NULL))); /* nobody died: nobody looks */
    ck_assert_int_eq(access(swap_name(1), F_OK), 0);
    pid_t pid = child_start(hold_a_slot, &held);
    ck_assert(gate_wait(&held));
    ck_assert(child_kill(pid));
    shmkv_t *kv = open_ok(path, NULL);
    ck_assert_value(kv, "k", "v");
    expect_only_the_segment();
    finish(kv, path);
}
END_TEST

static void hold_shard_0(void *arg) {
    shmkv_t *kv = open_ok(swap_name(1), NULL);
    struct domain d = shard_domain(segment_of(kv), 0);
    ck_assert_ok(lock_take(context_of(kv), &d));
    gate_open(arg);
    for (;;)
        pause();
}

/* proves [LIFE-12] */
START_TEST(test_exclusive_leaves_what_a_living_replacer_has_put_at_its_swap_name) {
    struct gate held = gate_new();
    ck_assert_ok(shmkv_close(open_ok(path, NULL)));
    leave_at_swap_name(1);
    pid_t pid = child_start(hold_shard_0, &held);
    ck_assert(gate_wait(&held));
    ck_assert_ok(shmkv_close(open_mode(path, SHMKV_EXCLUSIVE)));
    ck_assert_int_eq(access(swap_name(1), F_OK), 0);
    ck_assert(child_kill(pid));
    ck_assert_ok(shmkv_close(open_mode(path, SHMKV_EXCLUSIVE)));
    expect_only_the_segment();
    ck_assert_ok(shmkv_unlink(path));
}
END_TEST

/* proves [LIFE-25]: nothing that lies at such a name is in the way, or touched */
START_TEST(test_exclusive_when_foreign_things_are_at_swap_names_works_and_leaves_them) {
    ck_assert_ok(shmkv_close(open_ok(path, NULL)));
    int fd = open(swap_name(1), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "not a segment", 13), 13);
    close(fd);
    ck_assert_int_eq(mkdir(swap_name(2), 0700), 0);
    ck_assert_int_eq(symlink(path, swap_name(3)), 0);
    ck_assert_int_eq(mkfifo(swap_name(4), 0600), 0);
    shmkv_t *kv = open_mode(path, SHMKV_EXCLUSIVE);
    ck_assert_uint_eq(info_of(kv).incarnation, 2);
    ck_assert_uint_eq(directory_count(scratch_dir()), 5);
    struct stat st;
    ck_assert_int_eq(stat(swap_name(1), &st), 0);
    ck_assert_int_eq(st.st_size, 13);
    rmdir(swap_name(2));
    for (unsigned i = 1; i <= 4; i++)
        unlink(swap_name(i));
    finish(kv, path);
}
END_TEST

START_TEST(test_exclusive_when_the_name_is_foreign_touches_nothing) {
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "not a segment", 13), 13);
    close(fd);
    struct stat before, after;
    ck_assert_int_eq(stat(path, &before), 0);
    shmkv_t *kv;
    struct shmkv_options opts = {.size = sizeof opts, .mode = SHMKV_EXCLUSIVE};
    ck_assert_err(shmkv_open(path, &opts, &kv), SHMKV_EFOREIGN);
    ck_assert_err(shmkv_unlink(path), SHMKV_EFOREIGN);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    ck_assert_int_eq(after.st_size, 13);
    expect_only_the_segment();
    unlink(path);
}
END_TEST

/* proves [LIFE-14]: a dead replacer's state is settled by the name */
START_TEST(test_state_when_replacing_and_nobody_does_is_settled_by_the_next_writer) {
    shmkv_t *kv = open_ok(path, NULL);
    put_text(kv, "k", "v");
    struct segment *seg = segment_of(kv);
    seg->hdr->state = SHMKV_SEGMENT_STATE_REPLACING;
    ck_assert_value(kv, "k", "v");
    ck_assert_uint_eq(seg->hdr->state, SHMKV_SEGMENT_STATE_REPLACING);
    put_text(kv, "k", "w");
    ck_assert_uint_eq(segment_of(kv)->hdr->state, SHMKV_SEGMENT_STATE_LIVE);
    ck_assert_value(kv, "k", "w");
    finish(kv, path);
}
END_TEST

/* proves [LIFE-16] */
START_TEST(test_state_when_replacing_and_the_name_leads_elsewhere_counts_as_replaced) {
    shmkv_t *kv = open_ok(path, NULL), *reader = open_mode(path, SHMKV_READONLY);
    put_text(kv, "k", "old");
    segment_of(kv)->hdr->state = SHMKV_SEGMENT_STATE_REPLACING;
    ck_assert_int_eq(rename(path, scratch_path("moved")), 0);
    shmkv_t *fresh = open_ok(path, NULL);
    put_text(fresh, "k", "new");
    ck_assert_value(reader, "k", "new");
    ck_assert_value(kv, "k", "new");
    ck_assert_ok(shmkv_close(reader));
    ck_assert_ok(shmkv_close(kv));
    ck_assert_ok(shmkv_unlink(scratch_path("moved")));
    finish(fresh, path);
}
END_TEST

static Suite *replace_suite(void) {
    Suite *s = suite_create("replace");
    TCase *tc = case_new(s, "basic");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_exclusive_when_there_is_none_creates);
    tcase_add_test(tc, test_exclusive_gives_an_empty_segment_of_the_next_incarnation);
    tcase_add_test(tc, test_exclusive_of_a_plain_name_leaves_only_that_name);
    tcase_add_test(tc, test_exclusive_takes_the_new_segments_options);
    tc = case_new(s, "followers");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_loop_test(tc, test_attached_handles_when_replaced_follow_on_any_call, 0, 9);
    tcase_add_test(tc, test_read_only_handle_when_replaced_follows);
    tcase_add_test(tc, test_handle_when_replaced_many_times_follows_and_keeps_no_descriptors);
    tcase_add_test(tc, test_handle_with_stay_when_replaced_is_estale_and_can_be_closed);
    tcase_add_test(tc, test_handle_when_replaced_and_then_unlinked_is_enosegment);
    tcase_add_test(tc, test_threads_on_one_handle_when_replaced_all_follow);
    tc = case_new(s, "races");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_exclusive_when_four_race_fifty_times_each_gets_a_whole_segment);
    tcase_add_test(tc, test_exclusive_while_others_unlink_always_works);
    tc = case_new(s, "leftovers");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_exclusive_when_dead_replacers_left_segments_removes_them);
    tcase_add_test(tc, test_unlink_when_dead_replacers_left_segments_removes_them);
    tcase_add_test(tc, test_attach_after_a_death_removes_what_replacers_left);
    tcase_add_test(tc, test_exclusive_leaves_what_a_living_replacer_has_put_at_its_swap_name);
    tcase_add_test(tc, test_exclusive_when_foreign_things_are_at_swap_names_works_and_leaves_them);
    tcase_add_test(tc, test_exclusive_when_the_name_is_foreign_touches_nothing);
    tcase_add_test(tc, test_state_when_replacing_and_nobody_does_is_settled_by_the_next_writer);
    tcase_add_test(tc, test_state_when_replacing_and_the_name_leads_elsewhere_counts_as_replaced);
    return s;
}

int main(void) { return suite_main(replace_suite()); }
