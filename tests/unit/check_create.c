/* Making a segment: complete before anybody sees it, and by one of many. Spec 5.2. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define RACERS 50

/* ------------------------------------------------------------------------- basic */

START_TEST(test_create_makes_an_empty_whole_segment) {
    const char *name = unique_name();
    shmkv_t *kv = open_ok(name, NULL);
    ck_assert_uint_eq(count_of(kv), 0);
    struct shmkv_info info = info_of(kv);
    ck_assert_uint_eq(info.revision, 1);
    ck_assert_uint_eq(info.state, SHMKV_SEGMENT_STATE_LIVE);
    ck_assert_uint_eq(info.incarnation, 1);
    ck_assert_uint_eq(info.compat | info.ro_compat | info.incompat, 0); /* proves [EVOL-03] */
    ck_assert_uint_eq(info.shard_count, SHMKV_DEFAULT_SHARDS);
    ck_assert_uint_eq(info.arena_count, SHMKV_DEFAULT_ARENAS);
    ck_assert_uint_eq(info.owner_count, SHMKV_DEFAULT_OWNERS);
    ck_assert_uint_eq(info.creator_pid, getpid());
    ck_assert_uint_eq(info.creator_uid, geteuid());
    finish(kv, name);
}
END_TEST

START_TEST(test_create_gives_mode_0600_whatever_the_umask) {
    const char *name = unique_name();
    umask(0);
    shmkv_t *kv = open_ok(name, NULL);
    ck_assert_uint_eq(info_of(kv).permissions, 0600);
    finish(kv, name);
}
END_TEST

START_TEST(test_create_gives_the_mode_that_was_asked_for) {
    const char *name = unique_name();
    umask(077);
    struct shmkv_options opts = {.size = sizeof opts, .permissions = 0664};
    shmkv_t *kv = open_ok(name, &opts);
    ck_assert_uint_eq(info_of(kv).permissions, 0664);
    finish(kv, name);
}
END_TEST

START_TEST(test_create_takes_slots_and_size_from_the_options) {
    const char *name = unique_name();
    struct shmkv_options opts = {.size = sizeof opts, .owner_slots = 3, .max_size = 1 << 20};
    shmkv_t *kv = open_ok(name, &opts);
    ck_assert_uint_eq(info_of(kv).owner_count, 3);
    ck_assert_uint_eq(info_of(kv).max_size, 1 << 20);
    put_text(kv, "k", "v");
    finish(kv, name);
}
END_TEST

START_TEST(test_create_with_most_owner_slots_works) {
    const char *name = unique_name();
    struct shmkv_options opts = {.size = sizeof opts, .owner_slots = SHMKV_MAX_OWNERS};
    shmkv_t *kv = open_ok(name, &opts);
    put_text(kv, "k", "v");
    finish(kv, name);
}
END_TEST

/* proves [LIFE-02] */
START_TEST(test_open_when_the_name_is_taken_attaches_and_ignores_creation_options) {
    const char *name = unique_name();
    shmkv_t *kv = open_ok(name, NULL);
    put_text(kv, "k", "v");
    struct shmkv_options opts = {.size = sizeof opts, .owner_slots = 3, .permissions = 0666};
    shmkv_t *second = open_ok(name, &opts);
    ck_assert_value(second, "k", "v");
    ck_assert_uint_eq(info_of(second).owner_count, SHMKV_DEFAULT_OWNERS);
    ck_assert_uint_eq(info_of(second).permissions, 0600);
    ck_assert_ok(shmkv_close(second));
    finish(kv, name);
}
END_TEST

START_TEST(test_existing_and_readonly_when_there_is_none_are_enosegment_and_create_nothing) {
    const char *path = scratch_path("none");
    shmkv_t *kv;
    struct shmkv_options opts = {.size = sizeof opts, .mode = SHMKV_EXISTING};
    ck_assert_err(shmkv_open(path, &opts, &kv), SHMKV_ENOSEGMENT);
    opts.mode = SHMKV_READONLY;
    ck_assert_err(shmkv_open(path, &opts, &kv), SHMKV_ENOSEGMENT);
    ck_assert_uint_eq(directory_count(scratch_dir()), 0);
}
END_TEST

START_TEST(test_segment_when_everyone_has_closed_it_stays) {
    const char *name = unique_name();
    shmkv_t *kv = open_ok(name, NULL);
    put_text(kv, "k", "v");
    ck_assert_ok(shmkv_close(kv));
    kv = open_mode(name, SHMKV_EXISTING);
    ck_assert_value(kv, "k", "v");
    finish(kv, name);
}
END_TEST

/* -------------------------------------------------------------------------- races */

struct race {
    const char *path;
    struct gate ready, go;
    uint8_t uuids[RACERS][16];
    unsigned created[RACERS];
};
static struct race *race;
static struct gate ready, go;

static void create_and_tell(void *arg) {
    unsigned i = (unsigned)(uintptr_t)arg;
    gate_open(&ready);
    ck_assert(gate_wait(&go));
    shmkv_t *kv = open_ok(race->path, NULL);
    struct shmkv_info info = info_of(kv);
    memcpy(race->uuids[i], info.uuid, 16);
    race->created[i] = info.creator_pid == (uint32_t)getpid();
    ck_assert_ok(shmkv_put(kv, &i, sizeof i, &i, sizeof i));
    ck_assert_ok(shmkv_close(kv));
}

/* proves [LIFE-01] */
START_TEST(test_create_when_fifty_race_has_one_winner_and_49_attach) {
    race = shared_memory(sizeof *race);
    race->path = scratch_path("raced");
    ready = gate_new();
    go = gate_new();
    pid_t pids[RACERS];
    for (unsigned i = 0; i < RACERS; i++)
        pids[i] = child_start(create_and_tell, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < RACERS; i++)
        ck_assert(gate_wait(&ready));
    for (unsigned i = 0; i < RACERS; i++)
        gate_open(&go);
    for (unsigned i = 0; i < RACERS; i++)
        ck_assert(child_succeeded(pids[i]));
    unsigned winners = 0;
    for (unsigned i = 0; i < RACERS; i++) {
        winners += race->created[i];
        ck_assert_mem_eq(race->uuids[i], race->uuids[0], 16);
    }
    ck_assert_uint_eq(winners, 1);
    shmkv_t *kv = open_mode(race->path, SHMKV_EXISTING);
    ck_assert_uint_eq(count_of(kv), RACERS);
    /* The losers' files are gone. */
    ck_assert_uint_eq(directory_count(scratch_dir()), 1);
    finish(kv, race->path);
}
END_TEST

/* An opener while the name comes and goes finds a whole segment or makes one. */
static void come_and_go(void *arg) {
    (void)arg;
    for (int i = 0; i < 200; i++) {
        shmkv_t *kv = open_ok(race->path, NULL);
        put_text(kv, "k", "v");
        ck_assert_value(kv, "k", "v");
        ck_assert_ok(shmkv_close(kv));
        int err = shmkv_unlink(race->path);
        ck_assert(err == SHMKV_OK || err == SHMKV_ENOSEGMENT);
    }
}

START_TEST(test_create_while_others_unlink_always_works) {
    race = shared_memory(sizeof *race);
    race->path = scratch_path("blinking");
    pid_t pids[4];
    for (unsigned i = 0; i < 4; i++)
        pids[i] = child_start(come_and_go, NULL);
    for (unsigned i = 0; i < 4; i++)
        ck_assert(child_succeeded(pids[i]));
    ck_assert_uint_eq(directory_count(scratch_dir()), 0);
}
END_TEST

/* ------------------------------------------------------------------- no room, no shm */

static void create_under_a_file_size_limit(void *arg) {
    struct rlimit rl = {100 * 1024, 100 * 1024};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &rl), 0);
    shmkv_t *kv;
    ck_assert_err(shmkv_open(arg, NULL, &kv), SHMKV_ENOSPC);
    ck_assert_detail("RLIMIT_FSIZE");
}

START_TEST(test_create_under_rlimit_fsize_is_enospc_and_no_signal) {
    const char *path = scratch_path("limited");
    ck_assert(child_succeeded(child_start(create_under_a_file_size_limit, (void *)(uintptr_t)path)));
    ck_assert_uint_eq(directory_count(scratch_dir()), 0);
}
END_TEST

/* Mount something over @p where that only this process sees. */
static bool mount_alone(const char *where, const char *type, const char *data) {
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", where, type, 0, data) == 0)
        return true;
    printf("not checked: cannot mount %s on %s: %s\n", type, where, strerror(errno));
    return false;
}

static void create_on_a_tiny_tmpfs(void *arg) {
    if (!mount_alone(arg, "tmpfs", "size=64k"))
        return;
    char path[256];
    snprintf(path, sizeof path, "%s/seg", (const char *)arg);
    shmkv_t *kv;
    ck_assert_err(shmkv_open(path, NULL, &kv), SHMKV_ENOSPC);
    ck_assert_detail("remount");
    ck_assert_uint_eq(directory_count(arg), 0);
}

START_TEST(test_create_on_a_full_tmpfs_is_enospc_and_leaves_nothing) {
    ck_assert(child_succeeded(child_start(create_on_a_tiny_tmpfs, (void *)(uintptr_t)scratch_dir())));
}
END_TEST

static void open_where_shm_is_no_tmpfs(void *arg) {
    (void)arg;
    if (!mount_alone("/dev/shm", "ramfs", NULL))
        return;
    shmkv_t *kv;
    ck_assert_err(shmkv_open("some-name", NULL, &kv), SHMKV_ENOSHM);
    ck_assert_detail("mount -t tmpfs");
    ck_assert_err(shmkv_unlink("some-name"), SHMKV_ENOSHM);
}

START_TEST(test_open_when_dev_shm_is_no_tmpfs_is_enoshm) {
    ck_assert(child_succeeded(child_start(open_where_shm_is_no_tmpfs, NULL)));
}
END_TEST

static void open_where_shm_is_missing(void *arg) {
    (void)arg;
    if (!mount_alone("/dev", "tmpfs", NULL))
        return;
    shmkv_t *kv;
    ck_assert_err(shmkv_open("some-name", NULL, &kv), SHMKV_ENOSHM);
    ck_assert_detail("/dev/shm");
}

START_TEST(test_open_when_dev_shm_is_missing_is_enoshm) {
    ck_assert(child_succeeded(child_start(open_where_shm_is_missing, NULL)));
}
END_TEST

/* A file system without O_TMPFILE, or a process without /proc. */
static void create_without_proc(void *arg) {
    if (!mount_alone("/proc", "tmpfs", NULL))
        return;
    shmkv_t *kv;
    int err = shmkv_open(arg, NULL, &kv);
    if (err) {
        ck_assert_detail("/proc");
        return;
    }
    put_text(kv, "k", "v");
    ck_assert_value(kv, "k", "v");
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(kv));
}

START_TEST(test_create_without_proc_works_or_says_why) {
    const char *path = scratch_path("noproc");
    ck_assert(child_succeeded(child_start(create_without_proc, (void *)(uintptr_t)path)));
    shmkv_unlink(path);
    ck_assert_uint_eq(directory_count(scratch_dir()), 0);
}
END_TEST

/* ------------------------------------------------------------------------- unlink */

START_TEST(test_unlink_when_there_is_none_is_enosegment) {
    ck_assert_err(shmkv_unlink(unique_name()), SHMKV_ENOSEGMENT);
}
END_TEST

START_TEST(test_unlink_while_attached_leaves_the_attached_their_segment) {
    const char *name = unique_name();
    shmkv_t *kv = open_ok(name, NULL);
    put_text(kv, "k", "old");
    ck_assert_ok(shmkv_unlink(name));
    ck_assert_err(shmkv_unlink(name), SHMKV_ENOSEGMENT);
    shmkv_t *fresh = open_ok(name, NULL);
    ck_assert_value(fresh, "k", NULL);
    put_text(fresh, "k", "new");
    put_text(kv, "k", "still old");
    ck_assert_value(kv, "k", "still old");
    ck_assert_value(fresh, "k", "new");
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(kv));
    finish(fresh, name);
}
END_TEST

static Suite *create_suite(void) {
    Suite *s = suite_create("create");
    TCase *tc = case_new(s, "basic");
    tcase_add_test(tc, test_create_makes_an_empty_whole_segment);
    tcase_add_test(tc, test_create_gives_mode_0600_whatever_the_umask);
    tcase_add_test(tc, test_create_gives_the_mode_that_was_asked_for);
    tcase_add_test(tc, test_create_takes_slots_and_size_from_the_options);
    tcase_add_test(tc, test_create_with_most_owner_slots_works);
    tcase_add_test(tc, test_open_when_the_name_is_taken_attaches_and_ignores_creation_options);
    tcase_add_test(tc, test_existing_and_readonly_when_there_is_none_are_enosegment_and_create_nothing);
    tcase_add_test(tc, test_segment_when_everyone_has_closed_it_stays);
    tc = case_new(s, "races");
    tcase_add_test(tc, test_create_when_fifty_race_has_one_winner_and_49_attach);
    tcase_add_test(tc, test_create_while_others_unlink_always_works);
    tc = case_new(s, "no room");
    tcase_add_test(tc, test_create_under_rlimit_fsize_is_enospc_and_no_signal);
    tcase_add_test(tc, test_create_on_a_full_tmpfs_is_enospc_and_leaves_nothing);
    tcase_add_test(tc, test_open_when_dev_shm_is_no_tmpfs_is_enoshm);
    tcase_add_test(tc, test_open_when_dev_shm_is_missing_is_enoshm);
    tcase_add_test(tc, test_create_without_proc_works_or_says_why);
    tc = case_new(s, "unlink");
    tcase_add_test(tc, test_unlink_when_there_is_none_is_enosegment);
    tcase_add_test(tc, test_unlink_while_attached_leaves_the_attached_their_segment);
    return s;
}

int main(void) { return suite_main(create_suite()); }
