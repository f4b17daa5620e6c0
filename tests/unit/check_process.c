/* What the kernel says of a process, against what an owner slot says. Spec 4.4. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/checks.h"

static struct gate ready;

static void set_up(void) { ready = gate_new(); }

static void introduce_and_wait(void *arg) {
    process_introduce(arg);
    gate_open(&ready);
    for (;;)
        pause();
}

/* A child that lives, and the facts of it. */
static pid_t start(owner_t *own) {
    pid_t pid = child_start(introduce_and_wait, own);
    ck_assert(gate_wait(&ready));
    return pid;
}

static owner_t *new_slot(void) { return shared_memory(sizeof(owner_t)); }

static bool gone(const owner_t *own) {
    owner_t facts = process_facts(own);
    return process_gone(&facts);
}

static bool stopped(const owner_t *own) {
    owner_t facts = process_facts(own);
    return process_stopped(&facts);
}

/* -------------------------------------------------------------------------- facts */

START_TEST(test_introduce_tells_of_the_process_and_of_nothing_else) {
    owner_t own;
    memset(&own, 0xa5, sizeof own);
    process_introduce(&own);
    ck_assert_uint_eq(own.pid, getpid());
    ck_assert_uint_eq(own.uid, geteuid());
    ck_assert_uint_eq(own.pid_ns, pid_namespace());
    ck_assert_uint_ne(own.start_time, 0);
    ck_assert_uint_ne(own.attached_ns, 0);
    uint8_t boot[16];
    ck_assert_int_eq(boot_id_read(boot), 0);
    ck_assert_mem_eq(own.boot_id, boot, sizeof boot);
    ck_assert_int_eq(own.name[31], 0);
    ck_assert_uint_eq(own.state, 0xa5a5a5a5a5a5a5a5u);
    ck_assert_uint_eq(own.version, 0xa5a5a5a5a5a5a5a5u);
    ck_assert_uint_eq(own.cell, 0xa5a5a5a5a5a5a5a5u);
    owner_t facts = process_facts(&own);
    ck_assert_uint_eq(facts.pid, own.pid);
    ck_assert_mem_eq(facts.name, own.name, sizeof own.name);
    ck_assert_uint_eq(facts.cell, 0);
}
END_TEST

/* --------------------------------------------------------------------------- gone */

START_TEST(test_process_that_lives_is_not_gone) {
    owner_t *own = new_slot();
    pid_t pid = start(own);
    ck_assert(!gone(own));
    ck_assert(child_kill(pid));
}
END_TEST

START_TEST(test_process_when_waited_for_is_gone) {
    owner_t *own = new_slot();
    ck_assert(child_kill(start(own)));
    ck_assert(gone(own));
    ck_assert(!stopped(own));
}
END_TEST

START_TEST(test_process_when_a_zombie_is_gone) {
    owner_t *own = new_slot();
    pid_t pid = start(own);
    siginfo_t info;
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    ck_assert(gone(own));
    child_wait(pid);
}
END_TEST

static void *open_gate_and_wait(void *arg) {
    (void)arg;
    gate_open(&ready);
    for (;;)
        pause();
    return NULL;
}

static void live_on_in_a_thread(void *arg) {
    pthread_t thread;
    process_introduce(arg);
    ck_assert_int_eq(pthread_create(&thread, NULL, open_gate_and_wait, NULL), 0);
    pthread_exit(NULL);
}

/* Its first thread is a zombie, as one sees in /proc/PID/stat; the process is not. */
START_TEST(test_process_when_only_its_first_thread_has_ended_is_not_gone) {
    owner_t *own = new_slot();
    pid_t pid = child_start(live_on_in_a_thread, own);
    ck_assert(gate_wait(&ready));
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    /* The thread ends by itself; nothing tells us when. */
    do {
        FILE *f = fopen(path, "r");
        ck_assert_ptr_nonnull(f);
        ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
        fclose(f);
    } while (strncmp(strrchr(text, ')'), ") Z", 3) != 0);
    ck_assert(!gone(own));
    ck_assert(child_kill(pid));
    ck_assert(gone(own));
}
END_TEST

START_TEST(test_process_when_its_pid_is_another_processs_now_is_gone) {
    owner_t *own = new_slot();
    pid_t pid = start(own);
    own->start_time--;
    ck_assert(gone(own));
    own->start_time = 0; /* unknown */
    ck_assert(!gone(own));
    ck_assert(child_kill(pid));
    ck_assert(gone(own));
}
END_TEST

START_TEST(test_process_when_its_pid_means_nothing_to_us_is_not_gone) { /* proves [LOCK-18] */
    owner_t *own = new_slot();
    ck_assert(child_kill(start(own)));
    ck_assert(gone(own));
    owner_t dead = *own;
    own->boot_id[0] ^= 1; /* of another boot */
    ck_assert(!gone(own));
    *own = dead;
    own->pid_ns++; /* of another PID namespace */
    ck_assert(!gone(own));
    own->pid_ns = 0; /* unknown */
    ck_assert(!gone(own));
}
END_TEST

/* ------------------------------------------------------------------------ stopped */

START_TEST(test_process_when_stopped_is_stopped_and_not_gone) {
    owner_t *own = new_slot();
    pid_t pid = start(own);
    ck_assert(!stopped(own));
    ck_assert(child_stop(pid));
    ck_assert(stopped(own));
    ck_assert(!gone(own));
    child_continue(pid);
    ck_assert(child_kill(pid));
}
END_TEST

int main(void) {
    Suite *s = suite_create("process");
    TCase *tc = case_new(s, "facts");
    tcase_add_test(tc, test_introduce_tells_of_the_process_and_of_nothing_else);
    tc = case_new(s, "gone");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_process_that_lives_is_not_gone);
    tcase_add_test(tc, test_process_when_waited_for_is_gone);
    tcase_add_test(tc, test_process_when_a_zombie_is_gone);
    tcase_add_test(tc, test_process_when_only_its_first_thread_has_ended_is_not_gone);
    tcase_add_test(tc, test_process_when_its_pid_is_another_processs_now_is_gone);
    tcase_add_test(tc, test_process_when_its_pid_means_nothing_to_us_is_not_gone);
    tc = case_new(s, "stopped");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_process_when_stopped_is_stopped_and_not_gone);
    return suite_main(s);
}
