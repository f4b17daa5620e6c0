/*
 * Two processes with equal pids in different PID namespaces share a segment.
 *
 * Each is the first process of a namespace of its own, so its pid is 1. /proc stays
 * that of the outer namespace: this is what a container without its own /proc sees.
 * With the argument "proc" each mounts one of its own. For each kind of lock one of
 * them takes it, and the other wants it: while the holder lives, it times out and
 * says who holds it; a waiter that is killed is not taken for the holder; when the
 * holder is killed, the other takes over. The holder's slot is made to show the same
 * start time as the other's: only the namespace tells them apart. Once more the holder
 * is of the outer namespace, with a pid that nobody has where the other lives.
 *
 * Exit status: 0 all well, 1 a violation, 77 to must_fail.sh: the system allows no namespaces.
 *
 * proves [LOCK-18] [LOCK-19]
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/must.h"
#include "tests/support/namespaces.h"
#include "tests/support/support.h"

#define SHORT_MS 60

static bool own_proc;
static const char *name;

/* ------------------------------------------------------------------ namespaces */

/* The next child is the first of a new namespace. */
static pid_t first_of_a_namespace(void (*body)(void *), void *arg) {
    pid_t outer = fork();
    if (outer != 0)
        return outer;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* Not by child_start(): it compares getppid(), which is 0 in there. */
    if (!apart(CLONE_NEWPID | (own_proc ? CLONE_NEWNS : 0)))
        _exit(77);
    fflush(NULL);
    pid_t inner = fork();
    if (inner == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getpid() != 1)
            _exit(98);
        if (own_proc && !mounted_apart("/proc", "proc", NULL))
            _exit(77);
        body(arg);
        fflush(NULL);
        _exit(0);
    }
    int status = child_wait(inner);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status));
}

static int outcome(pid_t pid) {
    int status = child_wait(pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

/* ---------------------------------------------------------------------- the two */

struct meeting {
    struct gate held, waiting, tried;
    uint32_t domain; /* which lock */
    bool outside;    /* is the holder of the outer namespace? */
    uint64_t pid_ns[2];
};
static struct meeting *meet;

static bool whole(shmkv_t *kv) {
    uint64_t problems = 1;
    return shmkv_verify(kv, NULL, NULL, &problems) == SHMKV_OK && problems == 0;
}

static shmkv_t *enter(struct context **ctx, bool outside) {
    struct shmkv_options opts = {.size = sizeof opts, .lock_timeout_ms = SHORT_MS};
    shmkv_t *kv;
    MUST(shmkv_open(name, &opts, &kv) == SHMKV_OK);
    MUST(context_acquire(segment_of(kv), ctx) == SHMKV_OK);
    MUST(outside || (*ctx)->own->pid == 1);
    return kv;
}

static void hold(void *arg) {
    (void)arg;
    struct context *ctx;
    shmkv_t *kv = enter(&ctx, meet->outside);
    struct domain d = domain_at(segment_of(kv), meet->domain);
    meet->pid_ns[0] = pid_namespace();
    MUST(lock_take(ctx, &d) == SHMKV_OK);
    gate_open(&meet->held);
    for (;;)
        pause();
}

static void want(void *arg) {
    (void)arg;
    struct context *ctx;
    shmkv_t *kv = enter(&ctx, false);
    struct domain d = domain_at(segment_of(kv), meet->domain);
    meet->pid_ns[1] = pid_namespace();
    uint32_t slot = (uint32_t)FIELD(load_acquire_u32(d.lock), LOCK_OWNER) - 1;
    if (meet->outside) { /* nobody in here has its pid */
        MUST(kill((pid_t)segment_of(kv)->owners[slot].pid, 0) != 0 && errno == ESRCH);
        MUST(owner_liveness(segment_of(kv), slot) == SHMKV_ALIVE);
    }
    /* It lives, whatever our process of that pid says: not even if that one started at
     * another time. And then as alike as two can be: the same start time as well. */
    segment_of(kv)->owners[slot].start_time = ctx->own->start_time + 1;
    MUST(owner_liveness(segment_of(kv), slot) == SHMKV_ALIVE);
    MUST(lock_take(ctx, &d) == SHMKV_ETIMEDOUT);
    segment_of(kv)->owners[slot].start_time = ctx->own->start_time;
    MUST(owner_liveness(segment_of(kv), slot) == SHMKV_ALIVE);
    MUST(lock_take(ctx, &d) == SHMKV_ETIMEDOUT);
    MUST(meet->outside || strstr(shmkv_error_detail(), "process 1 ") != NULL);
    if (pid_namespace() && segment_of(kv)->owners[slot].pid_ns)
        MUST(strstr(shmkv_error_detail(), "of another PID namespace") != NULL);
    gate_open(&meet->tried);
    ctx->patience_ms = getenv("SHMKV_MUTANT") ? 2000 : 20000;
    gate_open(&meet->waiting);
    MUST(lock_take(ctx, &d) == SHMKV_OK);
    lock_release(ctx, &d);
    context_release(ctx);
    MUST(shmkv_put(kv, "after", 5, "v", 1) == SHMKV_OK);
    MUST(whole(kv));
    MUST(shmkv_close(kv) == SHMKV_OK);
}

/* Waits for the lock until it is killed. */
static void wait_in_vain(void *arg) {
    (void)arg;
    struct context *ctx;
    shmkv_t *kv = enter(&ctx, false);
    struct domain d = domain_at(segment_of(kv), meet->domain);
    ctx->patience_ms = 60000;
    gate_open(&meet->waiting);
    lock_take(ctx, &d);
    _exit(97);
}

/* SIGKILL to the inner process ends the outer one with 100 + SIGKILL. */
static void kill_inner(pid_t outer) {
    char path[64], text[32] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)outer, (int)outer);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    close(fd);
    MUST(n > 0 && kill(atoi(text), SIGKILL) == 0);
}

static void one_lock(uint32_t domain, bool outside) {
    meet->held = gate_new();
    meet->waiting = gate_new();
    meet->tried = gate_new();
    meet->domain = domain;
    meet->outside = outside;
    snprintf(story, sizeof story, "lock %u, held by a process %s", domain,
             outside ? "of the outer namespace" : "with the same pid");
    pid_t holder = outside ? child_start(hold, NULL) : first_of_a_namespace(hold, NULL);
    MUST(gate_wait_from(&meet->held, holder));
    pid_t vain = first_of_a_namespace(wait_in_vain, NULL);
    MUST(gate_wait_from(&meet->waiting, vain));
    pid_t wanter = first_of_a_namespace(want, NULL);
    MUST(gate_wait_from(&meet->tried, wanter));
    kill_inner(vain);
    MUST(outcome(vain) == 100 + SIGKILL);
    MUST(gate_wait_from(&meet->waiting, wanter));
    if (outside) {
        MUST(child_kill(holder));
    } else {
        kill_inner(holder);
        MUST(outcome(holder) == 100 + SIGKILL);
    }
    MUST(outcome(wanter) == 0);
    if (own_proc)
        MUST(meet->pid_ns[0] && meet->pid_ns[1] && meet->pid_ns[0] != meet->pid_ns[1]);
    int *ends[] = {meet->held.ends, meet->waiting.ends, meet->tried.ends};
    for (int i = 0; i < 3; i++)
        close(ends[i][0]), close(ends[i][1]);
}

static void nothing(void *arg) { (void)arg; }

int main(int argc, char **argv) {
    own_proc = argc > 1 && strcmp(argv[1], "proc") == 0;
    if (outcome(first_of_a_namespace(nothing, NULL)) == 77)
        return skipped("the system lets us make no PID namespace: needs root or user namespaces");
    names_begin();
    name = unique_name();
    meet = shared_memory(sizeof *meet);
    shmkv_t *kv;
    MUST(shmkv_open(name, NULL, &kv) == SHMKV_OK);
    uint32_t shards = segment_of(kv)->shard_count, all = domain_count(segment_of(kv));
    uint32_t domains[] = {0, shards - 1, shards, all - 2, all - 1};
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
        one_lock(domains[i], false);
    one_lock(0, true);
    MUST(whole(kv));
    MUST(shmkv_close(kv) == SHMKV_OK);
    MUST(shmkv_unlink(name) == SHMKV_OK);
    printf("%s: 6 locks, 17 processes with pid 1, %u checks outside\n",
           own_proc ? "each with a /proc of its own" : "all with the outer /proc", must_checks);
    return names_sweep(true) ? 1 : 0;
}
