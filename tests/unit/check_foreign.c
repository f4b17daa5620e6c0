/*
 * A directory that everybody may write to, with the sticky bit, such as /dev/shm: what
 * another user can put there, and what becomes of it and of us. Spec 5.3.
 *
 * Needs root, to be other users, and a system that knows some; else it says SKIPPED.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define OTHER 12345  /* a user, and his group */
#define VICTIM 23456 /* another */

static char dir[200];

/* "FOLDER/ENTRY" in the directory of this case. */
static const char *at(const char *entry) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, entry);
    return strdup(path);
}

static void set_up(void) {
    snprintf(dir, sizeof dir, "%s/sticky", scratch_dir());
    ck_assert_int_eq(chmod(scratch_dir(), 0755), 0);
    ck_assert_int_eq(mkdir(dir, 0700), 0);
    ck_assert_int_eq(chmod(dir, 01777), 0);
}

/* Nothing stays, whoever made it. */
static void tear_down(void) { names_sweep(false); }

/* ----------------------------------------------------------------------- being others */

static void become(uid_t who) {
    ck_assert_int_eq(setgroups(0, NULL), 0);
    ck_assert_int_eq(setgid(who), 0);
    ck_assert_int_eq(setuid(who), 0);
}

struct errand {
    uid_t who;
    void (*run)(void);
};

static void go(void *arg) {
    const struct errand *e = arg;
    umask(0);
    become(e->who);
    e->run();
}

static void as(uid_t who, void (*run)(void)) {
    ck_assert(child_succeeded(child_start(go, &(struct errand){who, run})));
}

static int try_open(const char *entry, int mode, unsigned flags) {
    shmkv_t *kv;
    struct shmkv_options opts = {.size = sizeof opts, .mode = mode, .flags = flags};
    int err = shmkv_open(at(entry), &opts, &kv);
    if (!err)
        ck_assert_ok(shmkv_close(kv));
    return err;
}

static void make_segment(const char *entry, unsigned permissions) {
    struct shmkv_options opts = {.size = sizeof opts, .permissions = permissions};
    shmkv_t *kv = open_ok(at(entry), &opts);
    put_text(kv, "k", "v");
    ck_assert_ok(shmkv_close(kv));
}

/* -------------------------------------------------------------------- what lies there */

static const char *const objects[] = {"dir", "fifo", "file", "link", "socket"};
enum { OBJECTS = sizeof objects / sizeof *objects };

static void make_objects(void) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    ck_assert_int_eq(mkdir(at("dir"), 0777), 0);
    ck_assert_int_eq(mkfifo(at("fifo"), 0666), 0);
    ck_assert_int_eq(symlink(at("roots"), at("link")), 0);
    int fd = open(at("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    ck_assert_int_eq(write(fd, "something of mine", 17), 17);
    close(fd);
    ck_assert_uint_lt(strlen(at("socket")), sizeof addr.sun_path);
    strcpy(addr.sun_path, at("socket"));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    close(fd);
}

static struct stat facts_of(const char *entry) {
    struct stat st;
    ck_assert_int_eq(lstat(at(entry), &st), 0);
    return st;
}

static void expect_same(const struct stat *before, const char *entry) {
    struct stat st = facts_of(entry);
    ck_assert_uint_eq(st.st_ino, before->st_ino);
    ck_assert_uint_eq(st.st_uid, before->st_uid);
    ck_assert_uint_eq(st.st_mode, before->st_mode);
    ck_assert_int_eq(st.st_size, before->st_size);
    ck_assert_int_eq(st.st_mtim.tv_sec, before->st_mtim.tv_sec);
    ck_assert_int_eq(st.st_mtim.tv_nsec, before->st_mtim.tv_nsec);
    ck_assert_int_eq(st.st_ctim.tv_nsec, before->st_ctim.tv_nsec);
}

START_TEST(test_objects_of_another_user_are_refused_and_left_as_they_are) {
    as(OTHER, make_objects);
    make_segment("roots", 0); /* the link leads here */
    unsigned entries = directory_count(dir);
    for (int i = 0; i < OBJECTS; i++) {
        struct stat before = facts_of(objects[i]), target = facts_of("roots");
        ck_assert_uint_eq(before.st_uid, OTHER);
        for (int mode = SHMKV_SHARED; mode <= SHMKV_READONLY; mode++) {
            int err = try_open(objects[i], mode, 0);
            ck_assert(err == SHMKV_EFOREIGN || err == SHMKV_EOWNER);
            ck_assert_err(try_open(objects[i], mode, SHMKV_ANY_OWNER), SHMKV_EFOREIGN);
        }
        int err = shmkv_unlink(at(objects[i]));
        ck_assert(err == SHMKV_EFOREIGN || err == SHMKV_EOWNER);
        expect_same(&before, objects[i]);
        expect_same(&target, "roots");
    }
    ck_assert_uint_eq(directory_count(dir), entries);
}
END_TEST

/* ------------------------------------------------------------------------- segments */

static void make_open_segment(void) { make_segment("segment", 0666); }

/* Neither the sticky directory nor fs.protected_regular is in the way: a name that is
 * taken is never opened with O_CREAT. */
START_TEST(test_segment_of_another_user_is_refused_unless_wanted_and_then_works) {
    as(OTHER, make_open_segment);
    struct stat before = facts_of("segment");
    for (int mode = SHMKV_SHARED; mode <= SHMKV_READONLY; mode++)
        ck_assert_err(try_open("segment", mode, 0), SHMKV_EOWNER);
    ck_assert_err(shmkv_unlink(at("segment")), SHMKV_EOWNER);
    expect_same(&before, "segment");
    ck_assert_uint_eq(directory_count(dir), 1);
    struct shmkv_options opts = {.size = sizeof opts, .flags = SHMKV_ANY_OWNER};
    shmkv_t *kv = open_ok(at("segment"), &opts);
    ck_assert_value(kv, "k", "v");
    put_text(kv, "k", "root's");
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(kv));
    ck_assert_uint_eq(facts_of("segment").st_uid, OTHER);
}
END_TEST

static void write_to_roots(void) {
    shmkv_t *kv = open_ok(at("segment"), NULL); /* root's are accepted without asking */
    put_text(kv, "k", "other");
    ck_assert_ok(shmkv_close(kv));
}

/* The sticky bit keeps him from taking the name. The segment must not stay REPLACING. */
static void replace_roots(void) {
    int err = try_open("segment", SHMKV_EXCLUSIVE, 0);
    ck_assert_msg(err == EPERM || err == EACCES, "%s", result_name(err));
    err = shmkv_unlink(at("segment"));
    ck_assert_msg(err == EPERM || err == EACCES, "%s", result_name(err));
}

START_TEST(test_segment_that_everybody_may_write_can_be_replaced_by_its_owner_alone) {
    make_segment("segment", 0666);
    shmkv_t *kv = open_ok(at("segment"), NULL);
    as(OTHER, write_to_roots);
    ck_assert_value(kv, "k", "other");
    as(OTHER, replace_roots);
    ck_assert_uint_eq(info_of(kv).state, SHMKV_SEGMENT_STATE_LIVE);
    ck_assert_uint_eq(info_of(kv).incarnation, 1);
    ck_assert_value(kv, "k", "other");
    put_text(kv, "k", "root");
    ck_assert_uint_eq(directory_count(dir), 1);
    finish(kv, at("segment"));
}
END_TEST

static void expect_no_entry(void) {
    for (int mode = SHMKV_SHARED; mode <= SHMKV_READONLY; mode++)
        ck_assert_err(try_open("segment", mode, SHMKV_ANY_OWNER), EACCES);
}

START_TEST(test_permissions_are_those_asked_for_whatever_the_umask) {
    umask(077);
    make_segment("segment", 0660);
    ck_assert_uint_eq(facts_of("segment").st_mode & 07777, 0660);
    as(OTHER, expect_no_entry);
    ck_assert_int_eq(chown(at("segment"), 0, OTHER), 0);
    as(OTHER, write_to_roots);
    ck_assert_int_eq(chmod(at("segment"), 0606), 0); /* the group may less than others */
    as(OTHER, expect_no_entry);
    as(VICTIM, write_to_roots);
    make_segment("ordinary", 0);
    ck_assert_uint_eq(facts_of("ordinary").st_mode & 07777, 0600);
}
END_TEST

static void read_roots(void) {
    struct shmkv_options opts = {.size = sizeof opts, .mode = SHMKV_READONLY};
    shmkv_t *kv = open_ok(at("segment"), &opts);
    ck_assert_value(kv, "k", "v");
    ck_assert_whole(kv);
    ck_assert_err(shmkv_put(kv, "k", 1, "w", 1), SHMKV_EREADONLY);
    ck_assert_ok(shmkv_close(kv));
    ck_assert_err(try_open("segment", SHMKV_SHARED, 0), EACCES);
    ck_assert_err(try_open("segment", SHMKV_EXCLUSIVE, 0), EACCES);
}

START_TEST(test_reader_without_permission_to_write_changes_nothing) {
    make_segment("segment", 0644);
    struct stat before = facts_of("segment");
    as(OTHER, read_roots);
    expect_same(&before, "segment");
    ck_assert_uint_eq(directory_count(dir), 1);
}
END_TEST

static struct gate locked;
static uint32_t first_slot;

/* What the permission to read gives besides reading: read locks on the bytes of the owner slots. */
static void lock_owner_bytes(void) {
    int fd = open(at("segment"), O_RDONLY | O_CLOEXEC);
    struct flock fl = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
    ck_assert_int_ge(fd, 0);
    for (uint32_t slot = first_slot; slot < SHMKV_DEFAULT_OWNERS; slot++) {
        fl.l_start = (off_t)SHMKV_OWNER_LOCK_BASE + slot;
        ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &fl), 0);
    }
    gate_open(&locked);
    for (;;)
        pause();
}

/* docs/security.md: he can keep new writers out for as long as he lives. */
START_TEST(test_reader_who_locks_all_slots_keeps_new_writers_out_and_nothing_else) {
    make_segment("segment", 0644);
    shmkv_t *kv = open_ok(at("segment"), NULL);
    locked = gate_new();
    first_slot = 1; /* ours is not to be had */
    pid_t pid = child_start(go, &(struct errand){OTHER, lock_owner_bytes});
    ck_assert(gate_wait(&locked));
    ck_assert_err(try_open("segment", SHMKV_SHARED, 0), SHMKV_ENOSLOTS);
    ck_assert_ok(try_open("segment", SHMKV_READONLY, 0));
    put_text(kv, "k", "w");
    ck_assert_whole(kv);
    ck_assert(child_kill(pid));
    ck_assert_ok(try_open("segment", SHMKV_SHARED, 0));
    finish(kv, at("segment"));
}
END_TEST

static void hold_all_shards(void *arg) {
    shmkv_t *kv = open_ok(at("segment"), NULL);
    ck_assert_ok(shards_lock(context_of(kv)));
    gate_open(arg);
    for (;;)
        pause();
}

/* Whoever may only read cannot make the dead look alive. */
START_TEST(test_lock_of_a_dead_owner_whose_slot_a_reader_locked_is_taken_over) {
    make_segment("segment", 0644);
    shmkv_t *kv = open_ok(at("segment"), NULL);
    struct gate held = gate_new();
    locked = gate_new();
    first_slot = 1;
    pid_t owner = child_start(hold_all_shards, &held);
    ck_assert(gate_wait(&held));
    segment_of(kv)->owners[1].pid_ns = 0; /* as if of a namespace that we cannot see */
    ck_assert(child_kill(owner));
    pid_t reader = child_start(go, &(struct errand){OTHER, lock_owner_bytes});
    ck_assert(gate_wait(&locked));
    put_text(kv, "k", "w");
    ck_assert(child_kill(reader));
    finish(kv, at("segment"));
}
END_TEST

/* ------------------------------------------------------------------------- the swap name */

static const char *swap_entry(void) {
    char entry[64];
    snprintf(entry, sizeof entry, ".shmkv-swap-%016llx-0000000000000000",
             (unsigned long long)hash_bytes("segment", 7, 0));
    return strdup(entry);
}

static void make_victims(void) { make_segment("segment", 0600); }
static void take_swap_name(void) { make_segment(swap_entry(), 0666); }
static void replace_all_the_same(void) {
    ck_assert_err(try_open("segment", SHMKV_EXCLUSIVE, 0), SHMKV_OK);
    shmkv_t *kv = open_ok(at("segment"), NULL);
    ck_assert_uint_eq(info_of(kv).incarnation, 2);
    ck_assert_ok(shmkv_close(kv));
}

/* proves [LIFE-25]: nobody can take the name that EXCLUSIVE needs */
START_TEST(test_exclusive_when_another_user_left_something_at_a_swap_name_works) {
    as(VICTIM, make_victims);
    as(OTHER, take_swap_name);
    struct stat before = facts_of(swap_entry());
    as(VICTIM, replace_all_the_same);
    expect_same(&before, swap_entry());
    ck_assert_uint_eq(directory_count(dir), 2);
}
END_TEST

static bool can_be_others(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(setgroups(0, NULL) == 0 && setgid(OTHER) == 0 && setuid(OTHER) == 0 ? 0 : 1);
    return pid > 0 && child_succeeded(pid);
}

int main(void) {
    if (!can_be_others()) {
        printf("SKIPPED: this process cannot be other users: needs root\n");
        return 0;
    }
    Suite *s = suite_create("foreign");
    TCase *tc = case_new(s, "a directory for everybody");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_objects_of_another_user_are_refused_and_left_as_they_are);
    tcase_add_test(tc, test_segment_of_another_user_is_refused_unless_wanted_and_then_works);
    tcase_add_test(tc, test_segment_that_everybody_may_write_can_be_replaced_by_its_owner_alone);
    tcase_add_test(tc, test_permissions_are_those_asked_for_whatever_the_umask);
    tcase_add_test(tc, test_reader_without_permission_to_write_changes_nothing);
    tcase_add_test(tc,
                   test_exclusive_when_another_user_left_something_at_a_swap_name_works);
    tcase_add_test(tc, test_reader_who_locks_all_slots_keeps_new_writers_out_and_nothing_else);
    tcase_add_test(tc, test_lock_of_a_dead_owner_whose_slot_a_reader_locked_is_taken_over);
    return suite_main(s);
}
