/* Owner slots: claims, liveness, what the dead leave. Spec 4.4, 4.5. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define MAX_REPORTED 600

static const char *name;
static struct gate ready, go, leave;

static void set_up(void) {
    name = unique_name();
    ready = gate_new();
    go = gate_new();
    leave = gate_new();
}

static size_t owners_of(shmkv_t *kv, struct shmkv_owner *owners) {
    size_t n;
    ck_assert_ok(shmkv_owners(kv, owners, MAX_REPORTED, &n));
    ck_assert_uint_le(n, MAX_REPORTED);
    return n;
}

static size_t count_liveness(shmkv_t *kv, int liveness) {
    static struct shmkv_owner owners[MAX_REPORTED];
    size_t n = owners_of(kv, owners), found = 0;
    for (size_t i = 0; i < n; i++)
        found += owners[i].liveness == liveness;
    return found;
}

static shmkv_t *open_with_slots(uint32_t slots) {
    struct shmkv_options opts = {.size = sizeof opts, .owner_slots = slots, .lock_timeout_ms = 300};
    return open_ok(name, &opts);
}

/* ------------------------------------------------------------------------- claim */

START_TEST(test_open_claims_a_slot_that_tells_who_it_is) {
    shmkv_t *kv = open_ok(name, NULL);
    struct shmkv_owner owners[MAX_REPORTED];
    ck_assert_uint_eq(owners_of(kv, owners), 1);
    ck_assert_int_eq(owners[0].liveness, SHMKV_ALIVE);
    ck_assert_int_eq(owners[0].stopped, 0);
    ck_assert_uint_eq(owners[0].pid, getpid());
    ck_assert_uint_eq(owners[0].uid, geteuid());
    ck_assert_uint_eq(owners[0].generation, 1);
    ck_assert_uint_eq(owners[0].locks_held, 0);
    ck_assert_uint_ne(owners[0].pid_ns, 0);
    ck_assert_uint_ne(owners[0].start_time, 0);
    ck_assert_uint_ne(owners[0].attached_ns, 0);
    ck_assert(strncmp(owners[0].name, program_invocation_short_name, 15) == 0);
    finish(kv, name);
}
END_TEST

START_TEST(test_close_frees_the_slot_and_gives_back_what_it_held) {
    shmkv_t *kv = open_ok(name, NULL);
    put_text(kv, "k", "v");
    put_text(kv, "k", "w"); /* the old cell stays with the owner */
    ck_assert_uint_ne(segment_of(kv)->owners[0].cell, 0);
    ck_assert_ok(shmkv_close(kv));
    kv = open_mode(name, SHMKV_READONLY);
    ck_assert_uint_eq(stats_of(kv).owners_live, 0);
    ck_assert_uint_eq(stats_of(kv).cells_used, 2); /* the record, the directory */
    ck_assert_uint_eq(segment_of(kv)->owners[0].cell, 0);
    finish(kv, name);
}
END_TEST

START_TEST(test_two_handles_of_one_process_are_two_owners) {
    shmkv_t *a = open_ok(name, NULL), *b = open_ok(name, NULL);
    ck_assert_uint_eq(count_liveness(a, SHMKV_ALIVE), 2);
    put_text(a, "k", "a");
    put_text(b, "k", "b");
    ck_assert_ok(shmkv_close(a));
    ck_assert_uint_eq(count_liveness(b, SHMKV_ALIVE), 1);
    put_text(b, "k", "c");
    finish(b, name);
}
END_TEST

START_TEST(test_generation_when_a_slot_is_claimed_again_is_another) {
    uint32_t last = 0;
    for (int i = 0; i < 5; i++) {
        shmkv_t *kv = open_ok(name, NULL);
        uint32_t generation = (uint32_t)FIELD(segment_of(kv)->owners[0].state, OWNER_STATE_GENERATION);
        ck_assert_uint_eq(generation, last + 1);
        last = generation;
        ck_assert_ok(shmkv_close(kv));
    }
    finish(open_ok(name, NULL), name);
}
END_TEST

/* proves [LOCK-16] [LAYOUT-23] */
START_TEST(test_version_of_a_slot_never_goes_back) {
    uint64_t last = 0;
    for (int i = 0; i < 5; i++) {
        shmkv_t *kv = open_ok(name, NULL);
        uint64_t before = segment_of(kv)->owners[0].version;
        ck_assert_uint_eq(before & 1, 0);
        ck_assert_uint_ge(before, last);
        ck_assert_uint_eq(before >> 48, 1);
        put_text(kv, "k", "v");
        last = segment_of(kv)->owners[0].version;
        ck_assert_uint_gt(last, before);
        ck_assert_ok(shmkv_close(kv));
    }
    finish(open_ok(name, NULL), name);
}
END_TEST

START_TEST(test_read_only_claims_nothing) {
    ck_assert_ok(shmkv_close(open_ok(name, NULL)));
    shmkv_t *kv = open_mode(name, SHMKV_READONLY);
    ck_assert_uint_eq(count_liveness(kv, SHMKV_ALIVE), 0);
    ck_assert_int_eq(segment_of(kv)->lock_fd, -1);
    finish(kv, name);
}
END_TEST

/* -------------------------------------------------------------------- out of slots */

START_TEST(test_open_when_every_slot_is_taken_is_enoslots) {
    shmkv_t *a = open_with_slots(2), *b = open_ok(name, NULL), *c;
    ck_assert_err(shmkv_open(name, NULL, &c), SHMKV_ENOSLOTS);
    ck_assert_detail("2 slots");
    /* A reader needs none. */
    c = open_mode(name, SHMKV_READONLY);
    ck_assert_ok(shmkv_close(c));
    ck_assert_ok(shmkv_close(a));
    c = open_ok(name, NULL);
    put_text(c, "k", "v");
    ck_assert_ok(shmkv_close(c));
    finish(b, name);
}
END_TEST

static void try_to_open(void *arg) {
    unsigned *results = arg;
    shmkv_t *kv;
    gate_open(&ready);
    ck_assert(gate_wait(&go));
    int err = shmkv_open(name, NULL, &kv);
    ck_assert(err == SHMKV_OK || err == SHMKV_ENOSLOTS);
    __atomic_add_fetch(&results[err == SHMKV_OK], 1, __ATOMIC_RELAXED);
    gate_open(&ready);
    ck_assert(gate_wait(&leave));
    if (!err) {
        put_text(kv, "k", "v");
        ck_assert_ok(shmkv_close(kv));
    }
}

START_TEST(test_open_when_more_race_than_there_are_slots_serves_as_many_as_there_are) {
    enum { RACERS = 20, SLOTS = 5 };
    unsigned *results = shared_memory(2 * sizeof *results);
    ck_assert_ok(shmkv_close(open_with_slots(SLOTS)));
    pid_t pids[RACERS];
    for (int i = 0; i < RACERS; i++)
        pids[i] = child_start(try_to_open, results);
    const struct gate *phases[] = {&go, &leave};
    for (int phase = 0; phase < 2; phase++) {
        for (int i = 0; i < RACERS; i++)
            ck_assert(gate_wait(&ready));
        for (int i = 0; i < RACERS; i++)
            gate_open(phases[phase]);
    }
    for (int i = 0; i < RACERS; i++)
        ck_assert(child_succeeded(pids[i]));
    ck_assert_uint_eq(results[true], SLOTS);
    ck_assert_uint_eq(results[false], RACERS - SLOTS);
    finish(open_ok(name, NULL), name);
}
END_TEST

static void *put_many(void *arg) {
    shmkv_t *kv = arg;
    uint64_t base = (uint64_t)(uintptr_t)pthread_self();
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t key = base + i % 50;
        int err = shmkv_put(kv, &key, sizeof key, &i, sizeof i);
        if (err)
            return (void *)(intptr_t)err;
    }
    return NULL;
}

START_TEST(test_threads_when_there_are_fewer_slots_take_turns) {
    shmkv_t *kv = open_with_slots((uint32_t)_i);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, put_many, kv), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        ck_assert_int_eq((int)(intptr_t)result, SHMKV_OK);
    }
    ck_assert_uint_eq(count_of(kv), 200);
    finish(kv, name);
}
END_TEST

static void *put_one_and_wait(void *arg) {
    shmkv_t *kv = arg;
    put_many(kv);
    return NULL;
}

START_TEST(test_threads_when_more_than_contexts_all_get_through) {
    enum { THREADS = MAX_CONTEXTS + 16 };
    shmkv_t *kv = open_ok(name, NULL);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, put_one_and_wait, kv), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_le(stats_of(kv).owners_live, MAX_CONTEXTS);
    finish(kv, name);
}
END_TEST

START_TEST(test_threads_when_all_contexts_stay_busy_are_told_so) {
    shmkv_t *kv = open_with_slots(MAX_CONTEXTS + 1);
    struct context *busy[MAX_CONTEXTS];
    for (int i = 0; i < MAX_CONTEXTS; i++)
        busy[i] = context_of(kv);
    struct context *one_more;
    ck_assert_err(context_acquire(segment_of(kv), &one_more), SHMKV_EBUSY);
    ck_assert_detail("64 threads of this handle are writing");
    context_release(busy[0]);
    ck_assert_ok(context_acquire(segment_of(kv), &one_more));
    context_release(one_more);
    for (int i = 1; i < MAX_CONTEXTS; i++)
        context_release(busy[i]);
    finish(kv, name);
}
END_TEST

START_TEST(test_threads_when_all_slots_stay_busy_are_told_how_many) {
    shmkv_t *kv = open_with_slots(2);
    struct context *busy[] = {context_of(kv), context_of(kv)}, *one_more;
    ck_assert_err(context_acquire(segment_of(kv), &one_more), SHMKV_EBUSY);
    ck_assert_detail(": 2 threads of this handle are writing");
    context_release(busy[0]);
    context_release(busy[1]);
    finish(kv, name);
}
END_TEST

START_TEST(test_description_of_an_owner_shows_what_can_be_shown) {
    shmkv_t *kv = open_ok(name, NULL);
    struct segment *seg = segment_of(kv);
    owner_t *own = &seg->owners[0];
    char text[128];
    memcpy(own->name, "a\033b", 4);
    own->pid = 12;
    owner_describe(seg, 0, text, sizeof text);
    ck_assert_str_eq(text, "process 12 (a?b)");
    own->name[0] = '\0';
    own->pid_ns ^= 1;
    owner_describe(seg, 0, text, sizeof text);
    ck_assert_str_eq(text, "process 12 (unknown) of another PID namespace");
    finish(kv, name);
}
END_TEST

/* -------------------------------------------------------------------------- death */

/* Attach, write, hold the cell of an overwritten record, wait. */
static void write_and_wait(void *arg) {
    (void)arg;
    shmkv_t *kv = open_ok(name, NULL);
    put_text(kv, "child", "v");
    put_text(kv, "child", "w");
    gate_open(&ready);
    gate_wait(&go);
    ck_assert_ok(shmkv_close(kv));
}

static pid_t start_writer(void) {
    pid_t pid = child_start(write_and_wait, NULL);
    ck_assert(gate_wait(&ready));
    return pid;
}

START_TEST(test_owner_when_killed_is_dead_and_the_next_opener_reaps_it) {
    shmkv_t *reader, *kv = open_ok(name, NULL);
    pid_t pid = start_writer();
    ck_assert_uint_eq(count_liveness(kv, SHMKV_ALIVE), 2);
    ck_assert(child_kill(pid));
    reader = open_mode(name, SHMKV_READONLY);
    ck_assert_uint_eq(count_liveness(reader, SHMKV_DEAD), 1);
    uint64_t cells = stats_of(reader).cells_used;
    ck_assert_ok(shmkv_close(open_ok(name, NULL))); /* claims the dead slot or another, and reaps */
    ck_assert_uint_eq(count_liveness(reader, SHMKV_DEAD), 0);
    ck_assert_uint_eq(stats_of(reader).cells_used, cells - 1);
    ck_assert_value(kv, "child", "w");
    ck_assert_ok(shmkv_close(reader));
    finish(kv, name);
}
END_TEST

START_TEST(test_owners_when_all_slots_are_of_the_dead_are_claimed_one_by_one) {
    shmkv_t *kv = open_with_slots(4);
    pid_t pids[3];
    for (int i = 0; i < 3; i++)
        pids[i] = start_writer();
    for (int i = 0; i < 3; i++)
        ck_assert(child_kill(pids[i]));
    shmkv_t *more[3];
    for (int i = 0; i < 3; i++)
        more[i] = open_ok(name, NULL);
    ck_assert_uint_eq(count_liveness(kv, SHMKV_ALIVE), 4);
    for (int i = 0; i < 3; i++)
        ck_assert_ok(shmkv_close(more[i]));
    finish(kv, name);
}
END_TEST

START_TEST(test_put_when_space_is_short_reaps_the_dead_first) {
    struct shmkv_options opts = {.size = sizeof opts, .max_size = 1 << 20};
    shmkv_t *kv = open_ok(name, &opts);
    static char big[600 * 1024];
    ck_assert_ok(shmkv_put(kv, "big", 3, big, 8));
    /* A large run in the hands of a dead owner. */
    pid_t pid = start_writer();
    owner_t *own = &segment_of(kv)->owners[1];
    ck_assert_uint_eq(own->pid, pid);
    struct context *ctx = context_of(kv);
    struct context stand_in = *ctx;
    stand_in.own = own;
    ck_assert_ok(large_take(&stand_in, sizeof big, &own->dir));
    context_release(ctx);
    ck_assert_err(shmkv_put(kv, "big", 3, big, sizeof big), SHMKV_ENOSPC);
    ck_assert(child_kill(pid));
    ck_assert_ok(shmkv_put(kv, "big", 3, big, sizeof big));
    finish(kv, name);
}
END_TEST

/* proves [LOCK-25] */
START_TEST(test_reap_when_a_live_process_is_in_the_way_leaves_the_slot_to_the_next) {
    shmkv_t *kv = open_ok(name, NULL);
    pid_t dead = start_writer(), stopped = start_writer();
    struct segment *seg = segment_of(kv);
    ck_assert_uint_eq(seg->owners[1].pid, dead);
    /* The stopped one holds the arena to which the dead one's cell has to go. */
    struct domain d = arena_domain(seg, 1);
    *d.lock = (uint32_t)(MAKE(LOCK_OWNER, 3) | MAKE(LOCK_GENERATION, FIELD(seg->owners[2].state, OWNER_STATE_GENERATION)));
    ck_assert(child_stop(stopped));
    ck_assert(child_kill(dead));
    shmkv_t *other = open_with_slots(0);
    ck_assert_uint_eq(count_liveness(kv, SHMKV_DEAD), 1);
    put_text(other, "k", "v");
    *d.lock = 0;
    ck_assert_ok(shmkv_close(other));
    ck_assert_ok(shmkv_close(open_ok(name, NULL)));
    ck_assert_uint_eq(count_liveness(kv, SHMKV_DEAD), 0);
    child_continue(stopped);
    gate_open(&go);
    ck_assert(child_succeeded(stopped));
    finish(kv, name);
}
END_TEST

START_TEST(test_owner_when_a_zombie_is_dead) {
    shmkv_t *kv = open_ok(name, NULL);
    pid_t pid = start_writer();
    kill(pid, SIGKILL);
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    ck_assert_uint_eq(count_liveness(kv, SHMKV_DEAD), 1);
    child_wait(pid);
    finish(kv, name);
}
END_TEST

START_TEST(test_owner_when_stopped_is_alive_and_reported_as_stopped) {
    shmkv_t *kv = open_ok(name, NULL);
    pid_t pid = start_writer();
    ck_assert(child_stop(pid));
    struct shmkv_owner owners[MAX_REPORTED];
    ck_assert_uint_eq(owners_of(kv, owners), 2);
    ck_assert_uint_eq(owners[1].pid, pid);
    ck_assert_int_eq(owners[1].liveness, SHMKV_ALIVE);
    ck_assert_int_eq(owners[1].stopped, 1);
    child_continue(pid);
    gate_open(&go);
    ck_assert(child_succeeded(pid));
    finish(kv, name);
}
END_TEST

/* ---------------------------------------------------------------------------- fork */

static shmkv_t *inherited;

static void write_inherited(void *arg) {
    /* Before anything is called: a child that never calls us keeps nobody alive. */
    ck_assert_int_eq(segment_of(inherited)->lock_fd, -1);
    put_text(inherited, arg, "by the child");
    ck_assert_value(inherited, "parent", "before");
    struct shmkv_owner owners[MAX_REPORTED];
    ck_assert_uint_eq(owners_of(inherited, owners), 2);
    ck_assert_uint_eq(owners[1].pid, getpid());
    ck_assert_uint_eq(owners[0].pid, getppid());
    ck_assert_ok(shmkv_close(inherited));
}

/* proves [LOCK-12] */
START_TEST(test_fork_gives_the_child_a_slot_of_its_own) {
    inherited = open_ok(name, NULL);
    put_text(inherited, "parent", "before");
    ck_assert(child_succeeded(child_start(write_inherited, (void *)(uintptr_t)"child")));
    ck_assert_uint_eq(count_liveness(inherited, SHMKV_ALIVE), 1);
    put_text(inherited, "parent", "after");
    ck_assert_value(inherited, "child", "by the child");
    finish(inherited, name);
}
END_TEST

static void close_inherited(void *arg) {
    (void)arg;
    ck_assert_ok(shmkv_close(inherited));
}

START_TEST(test_fork_when_the_child_only_closes_leaves_the_parents_slot_alone) {
    inherited = open_ok(name, NULL);
    ck_assert(child_succeeded(child_start(close_inherited, NULL)));
    ck_assert_uint_eq(count_liveness(inherited, SHMKV_ALIVE), 1);
    shmkv_t *other = open_ok(name, NULL);
    ck_assert_uint_eq(count_liveness(other, SHMKV_ALIVE), 2);
    ck_assert_ok(shmkv_close(other));
    put_text(inherited, "k", "v");
    finish(inherited, name);
}
END_TEST

static volatile uint32_t *grandchild;

static void live_on(void *arg) {
    (void)arg;
    gate_open(&ready);
    gate_wait(&go);
}

/* Hold a lock, leave a child behind that has our descriptors, or copies. */
static void hold_and_have_a_child(void *arg) {
    shmkv_t *kv = open_ok(name, NULL);
    struct context *ctx = context_of(kv);
    struct domain d = shard_domain(segment_of(kv), 7);
    ck_assert_ok(lock_take(ctx, &d));
    pid_t pid = arg ? (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) : fork();
    if (pid == 0) {
        live_on(NULL);
        _exit(0);
    }
    *grandchild = (uint32_t)pid;
    gate_open(&ready);
    gate_wait(&go);
}

static void expect_takeover_although_a_child_lives(void *bare_clone) {
    grandchild = shared_memory(sizeof *grandchild);
    struct shmkv_options opts = {.size = sizeof opts, .lock_timeout_ms = 20000};
    shmkv_t *kv = open_ok(name, &opts);
    pid_t pid = child_start(hold_and_have_a_child, bare_clone);
    ck_assert(gate_wait(&ready) && gate_wait(&ready));
    ck_assert_uint_eq(count_liveness(kv, SHMKV_ALIVE), 2);
    ck_assert(child_kill(pid));
    ck_assert_int_eq(kill((pid_t)*grandchild, 0), 0);
    ck_assert_uint_eq(count_liveness(kv, SHMKV_DEAD), 1);
    char key[KEY_TEXT_SIZE];
    struct key_search s = search_shard(kv, 7, "key");
    key_find(&s, key);
    uint64_t began = now_ms();
    put_text(kv, key, "v");
    ck_assert_uint_lt(now_ms() - began, 5000);
    kill((pid_t)*grandchild, SIGKILL);
    finish(kv, name);
}

START_TEST(test_owner_when_killed_is_dead_although_its_child_lives) { expect_takeover_although_a_child_lives(NULL); }
END_TEST

/* proves [LOCK-18]: the child has the very descriptor that holds the lock */
START_TEST(test_owner_when_killed_is_dead_although_a_bare_clone_lives) {
    expect_takeover_although_a_child_lives(&ready);
}
END_TEST

/* proves [LOCK-11] [LOCK-13] */
START_TEST(test_lock_descriptor_is_a_file_of_its_own_and_closed_on_exec) {
    shmkv_t *kv = open_ok(name, NULL);
    struct segment *seg = segment_of(kv);
    ck_assert_int_ne(seg->lock_fd, seg->fd);
    ck_assert_int_eq(fcntl(seg->lock_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    ck_assert_int_eq(fcntl(seg->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    /* Not the mapped description: moving one's position does not move the other's. */
    lseek(seg->fd, 5, SEEK_SET);
    ck_assert_int_eq(lseek(seg->lock_fd, 0, SEEK_CUR), 0);
    finish(kv, name);
}
END_TEST

static void *fork_while_writing(void *arg) {
    shmkv_t *kv = arg;
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            int me = getpid();
            int err = shmkv_put(kv, &me, sizeof me, &i, sizeof i);
            _exit(err || shmkv_close(kv) ? 1 : 0);
        }
        if (!child_succeeded(pid))
            return (void *)1;
    }
    return NULL;
}

START_TEST(test_fork_in_one_thread_while_others_write_works_in_the_child) {
    shmkv_t *kv = open_ok(name, NULL);
    pthread_t writers[2], forker;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&writers[i], NULL, put_many, kv), 0);
    ck_assert_int_eq(pthread_create(&forker, NULL, fork_while_writing, kv), 0);
    void *result;
    pthread_join(forker, &result);
    ck_assert_ptr_null(result);
    for (int i = 0; i < 2; i++)
        pthread_join(writers[i], NULL);
    ck_assert_uint_eq(count_of(kv), 120);
    finish(kv, name);
}
END_TEST

/* -------------------------------------------------------------------- PID namespaces */

/* Process 1 of a namespace of its own holds the lock of shard 7. */
static void hold_in_a_namespace(void *arg) {
    bool *possible = arg;
    if (unshare(CLONE_NEWPID) != 0) {
        printf("not checked: cannot make a PID namespace: %s\n", strerror(errno));
        gate_open(&ready);
        return;
    }
    *possible = true;
    pid_t pid = fork();
    if (pid == 0) {
        shmkv_t *kv = open_ok(name, NULL);
        struct context *ctx = context_of(kv);
        struct domain d = shard_domain(segment_of(kv), 7);
        ck_assert_ok(lock_take(ctx, &d));
        gate_open(&ready);
        gate_wait(&go);
        _exit(0); /* dies holding it */
    }
    child_wait(pid);
}

START_TEST(test_lock_when_its_owner_is_in_another_pid_namespace_is_kept_and_inherited) {
    bool *possible = shared_memory(sizeof *possible);
    shmkv_t *kv = open_with_slots(0);
    pid_t pid = child_start(hold_in_a_namespace, possible);
    ck_assert(gate_wait(&ready));
    if (*possible) {
        char key[KEY_TEXT_SIZE];
        struct key_search s = search_shard(kv, 7, "key");
        key_find(&s, key);
        ck_assert_err(shmkv_put(kv, key, strlen(key), "v", 1), SHMKV_ETIMEDOUT);
        ck_assert_detail("process 1 ");
        ck_assert_detail("another PID namespace");
        gate_open(&go);
        child_wait(pid);
        put_text(kv, key, "v");
    } else {
        child_wait(pid);
    }
    finish(kv, name);
}
END_TEST

/* ------------------------------------------------------------------------- threads */

/* Many threads claim at once while there are dead owners to clean up after. A
 * lock taken for a clean-up must not look like a dead one's. proves [LOCK-17] */
START_TEST(test_threads_when_they_claim_among_the_dead_do_not_rob_each_other) {
    for (int round = 0; round < 10; round++) {
        pid_t pids[4];
        for (int i = 0; i < 4; i++)
            pids[i] = start_writer();
        for (int i = 0; i < 4; i++)
            ck_assert(child_kill(pids[i]));
        shmkv_t *kv = open_ok(name, NULL);
        pthread_t threads[8];
        for (int i = 0; i < 8; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, put_many, kv), 0);
        for (int i = 0; i < 8; i++) {
            void *result;
            pthread_join(threads[i], &result);
            ck_assert_ptr_null(result);
        }
        ck_assert_whole(kv);
        ck_assert_ok(shmkv_close(kv));
    }
    finish(open_ok(name, NULL), name);
}
END_TEST

static Suite *owner_suite(void) {
    Suite *s = suite_create("owner");
    TCase *tc = case_new(s, "claim");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_open_claims_a_slot_that_tells_who_it_is);
    tcase_add_test(tc, test_close_frees_the_slot_and_gives_back_what_it_held);
    tcase_add_test(tc, test_two_handles_of_one_process_are_two_owners);
    tcase_add_test(tc, test_generation_when_a_slot_is_claimed_again_is_another);
    tcase_add_test(tc, test_version_of_a_slot_never_goes_back);
    tcase_add_test(tc, test_read_only_claims_nothing);
    tc = case_new(s, "out of slots");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_open_when_every_slot_is_taken_is_enoslots);
    tcase_add_test(tc, test_open_when_more_race_than_there_are_slots_serves_as_many_as_there_are);
    tcase_add_loop_test(tc, test_threads_when_there_are_fewer_slots_take_turns, 1, 4);
    tcase_add_test(tc, test_threads_when_more_than_contexts_all_get_through);
    tcase_add_test(tc, test_threads_when_all_contexts_stay_busy_are_told_so);
    tcase_add_test(tc, test_threads_when_all_slots_stay_busy_are_told_how_many);
    tcase_add_test(tc, test_description_of_an_owner_shows_what_can_be_shown);
    tc = case_new(s, "death");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_owner_when_killed_is_dead_and_the_next_opener_reaps_it);
    tcase_add_test(tc, test_owners_when_all_slots_are_of_the_dead_are_claimed_one_by_one);
    tcase_add_test(tc, test_put_when_space_is_short_reaps_the_dead_first);
    tcase_add_test(tc, test_reap_when_a_live_process_is_in_the_way_leaves_the_slot_to_the_next);
    tcase_add_test(tc, test_owner_when_a_zombie_is_dead);
    tcase_add_test(tc, test_owner_when_stopped_is_alive_and_reported_as_stopped);
    tc = case_new(s, "fork");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_fork_gives_the_child_a_slot_of_its_own);
    tcase_add_test(tc, test_fork_when_the_child_only_closes_leaves_the_parents_slot_alone);
    tcase_add_test(tc, test_owner_when_killed_is_dead_although_its_child_lives);
    tcase_add_test(tc, test_owner_when_killed_is_dead_although_a_bare_clone_lives);
    tcase_add_test(tc, test_lock_descriptor_is_a_file_of_its_own_and_closed_on_exec);
    tcase_add_test(tc, test_fork_in_one_thread_while_others_write_works_in_the_child);
    tc = case_new(s, "PID namespaces");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_lock_when_its_owner_is_in_another_pid_namespace_is_kept_and_inherited);
    tc = case_new(s, "threads");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_threads_when_they_claim_among_the_dead_do_not_rob_each_other);
    return s;
}

int main(void) { return suite_main(owner_suite()); }
