/*
 * Somebody sets the clock while processes wait for each other, by years, forwards and
 * backwards, again and again: no wait ends early or hangs, locks of the dead are taken
 * over, and nothing else depends on the time of day.
 *
 * The linker puts a clock_gettime() of ours in front of the library's: the time of day is
 * what the test says, and each look at it finds it changed. The other clocks are the real
 * ones; waits are measured by them. With the argument "namespaces" the two processes are in
 * time namespaces whose clocks since boot are a year apart, as in containers that were moved to
 * another machine; the processes' start times seem to differ then.
 *
 * Exit status: 0 all well, 1 a violation, 77 to must_fail.sh: the system allows no time namespaces.
 *
 * proves [LOCK-05] [LOCK-19]
 *
 * Arguments: seconds of work under a jumping clock; "namespaces" for the other part.
 */
#include "tests/races/races.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define YEAR_NS (365 * 86400 * 1000000000ull)
#define PATIENCE_MS 400
#define WORKERS 4

static struct meeting {
    int64_t jump_ns; /* how far each look at the time of day moves it; 0: it is right */
    _Atomic(uint64_t) looks;
    struct event held, waiting, let_go, stop;
    uint64_t calls, waited_ns;
} * meet;

static const char *name;

/* ------------------------------------------------------------------- the time of day */

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);

/* Up and down, by up to some ten years, for each process in its own way. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *t) {
    int result = __real_clock_gettime(clock, t);
    if (clock == CLOCK_REALTIME && meet && meet->jump_ns) {
        uint64_t n = atomic_fetch_add(&meet->looks, 1);
        int64_t years = (int64_t)(n * 7 % 21) - 10;
        t->tv_sec += years * meet->jump_ns / 1000000000;
    }
    return result;
}

/* ----------------------------------------------------------------------------- waits */

static shmkv_t *open_patiently(struct context **ctx) {
    struct shmkv_options opts = {.size = sizeof opts, .lock_timeout_ms = PATIENCE_MS};
    shmkv_t *kv;
    must(shmkv_open(name, &opts, &kv));
    must(context_acquire(segment_of(kv), ctx));
    return kv;
}

static struct domain lock_of(shmkv_t *kv) { return shard_domain(segment_of(kv), 3); }

/* Takes the lock, and gives it back when told; or is killed before. */
static void hold(void *arg) {
    (void)arg;
    struct context *ctx;
    shmkv_t *kv = open_patiently(&ctx);
    struct domain d = lock_of(kv);
    uint32_t go = event_count(&meet->let_go) + 1;
    must(lock_take(ctx, &d));
    event_happens(&meet->held);
    event_reach(&meet->let_go, go);
    lock_release(ctx, &d);
    context_release(ctx);
    must(shmkv_close(kv));
}

static uint64_t real_ns(void) {
    struct timespec t;
    __real_clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The holder lives: the wait is as long as it should be, and a minute at most, on a busy machine.
 */
static void must_time_out(struct context *ctx, const struct domain *d) {
    uint64_t before = real_ns();
    int err = lock_take(ctx, d);
    uint64_t waited = real_ns() - before;
    if (err != SHMKV_ETIMEDOUT)
        die("a lock of a living process: %s", err ? shmkv_strerror(err) : "had");
    if (waited < PATIENCE_MS * 1000000ull || waited > 60000000000u)
        die("a wait of %d ms took %.1f ms", PATIENCE_MS, (double)waited / 1e6);
    meet->waited_ns += waited;
}

/* It is free, or its holder dead or about to be: soon it is ours, on a busy machine too. */
static void must_get(struct context *ctx, const struct domain *d) {
    uint64_t end = real_ns() + 60000000000u;
    int err;
    while ((err = lock_take(ctx, d)) == SHMKV_ETIMEDOUT && real_ns() < end)
        ;
    must(err);
    lock_release(ctx, d);
}

typedef pid_t (*starter)(void (*body)(void *), void *arg);

static void start_holder(starter start, pid_t *pid) {
    uint32_t held = event_count(&meet->held) + 1;
    *pid = start(hold, NULL);
    event_reach(&meet->held, held);
}

/* What the waiter does, in the world it is in. The holder is started by @p start. */
static void wait_three_times(starter start) {
    struct context *ctx;
    pid_t holder;
    start_holder(start, &holder);
    shmkv_t *kv = open_patiently(&ctx);
    struct domain d = lock_of(kv);
    must_time_out(ctx, &d);
    event_happens(&meet->let_go); /* it goes, while we wait or before */
    must_get(ctx, &d);
    if (!child_succeeded(holder))
        die("the holder failed");
    start_holder(start, &holder);
    must_time_out(ctx, &d);
    if (!child_kill(holder))
        die("the holder had ended by itself");
    must_get(ctx, &d);
    context_release(ctx);
    must_be_whole(kv);
    must(shmkv_close(kv));
}

/* ------------------------------------------------------------------------------ work */

static void work(void *arg) {
    uint64_t me = (uint64_t)(uintptr_t)arg;
    shmkv_t *kv;
    must(shmkv_open(name, NULL, &kv));
    for (uint64_t i = 0; !event_count(&meet->stop); i++) {
        uint64_t key[2] = {me, i % 100}, value[4] = {i, me, ~i, ~me}, found[4];
        size_t len;
        must(shmkv_put(kv, key, sizeof key, value, sizeof value));
        int err = shmkv_get(kv, key, sizeof key, found, sizeof found, &len);
        if (err && err != SHMKV_ENOTFOUND) /* it may have been replaced in between */
            must(err);
        if (!err && (len != sizeof found || memcmp(found, value, sizeof value) != 0))
            die("not the value that was put");
        err = shmkv_delete(kv, key, sizeof key);
        if (err && err != SHMKV_ENOTFOUND)
            must(err);
        if (i % 1000 == me * 100) {
            shmkv_t *fresh;
            struct shmkv_options opts = {.size = sizeof opts, .mode = SHMKV_EXCLUSIVE};
            must(shmkv_open(name, &opts, &fresh));
            must(shmkv_close(fresh));
        }
        __atomic_fetch_add(&meet->calls, 1, __ATOMIC_RELAXED);
    }
    must(shmkv_close(kv));
}

static void work_under_jumps(unsigned seconds) {
    pid_t pids[WORKERS];
    struct random r = random_begin("clocks");
    for (uintptr_t i = 0; i < WORKERS; i++)
        pids[i] = child_start(work, (void *)i);
    const uint64_t end = real_ns() + seconds * 1000000000ull;
    while (real_ns() < end) {
        uint32_t victim = (uint32_t)random_below(&r, WORKERS);
        pass_time(&r, 20000000);
        must_live(pids[victim], "a worker");
        child_kill(pids[victim]);
        pids[victim] = child_start(work, (void *)(uintptr_t)victim);
    }
    event_happens(&meet->stop);
    for (int i = 0; i < WORKERS; i++)
        if (!child_succeeded(pids[i]))
            die("a worker failed");
}

/* ------------------------------------------------------------------------- namespaces */

static const char *shift; /* of the clocks since boot, in the next child's time namespace */

typedef void (*body_fn)(void *);

/* The body runs in a child, whose clocks are shifted; we are between. */
static void in_shifted_time(void *arg) {
    body_fn body = *(body_fn *)arg;
    char offsets[128];
    if (!apart(CLONE_NEWTIME))
        exit(77);
    snprintf(offsets, sizeof offsets, "monotonic %s 0\nboottime %s 0\n", shift, shift);
    int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, offsets, strlen(offsets)) != (ssize_t)strlen(offsets))
        exit(77);
    close(fd);
    pid_t pid = child_start(body, NULL);
    int status = child_wait(pid);
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static pid_t start_shifted(void (*body)(void *), void *arg) {
    (void)arg;
    return child_start(in_shifted_time, &body);
}

static void check_status(pid_t pid) {
    int status = child_wait(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        exit(skipped("the system allows no time namespaces"));
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        die("a process in another time namespace failed: status 0x%x", status);
}

static void nothing(void *arg) { (void)arg; }

static void wait_for_plain_holder(void *arg) {
    (void)arg;
    wait_three_times(child_start);
}

static void wait_for_shifted_holder(void *arg) {
    (void)arg;
    wait_three_times(start_shifted);
}

/* Waiter here and holder a year ahead, a year ahead of the holder's waiter, and both ahead. */
static void in_namespaces(void) {
    shift = "31536000";
    check_status(start_shifted(nothing, NULL));
    wait_for_shifted_holder(NULL);
    printf("a holder a year ahead: had in time, taken over\n");
    check_status(start_shifted(wait_for_plain_holder, NULL));
    printf("both a year ahead: had in time, taken over\n");
    check_status(start_shifted(wait_for_shifted_holder, NULL));
    printf("a holder ahead of one ahead: had in time, taken over\n");
}

static int run(int argc, char **argv) {
    bool namespaces = argc > 1 && strcmp(argv[1], "namespaces") == 0;
    unsigned seconds = argc > 1 && !namespaces ? (unsigned)strtoul(argv[1], NULL, 0) : 3;
    meet = shared_memory(sizeof *meet);
    name = unique_name();
    shmkv_t *kv;
    must(shmkv_open(name, NULL, &kv));
    must(shmkv_close(kv));
    if (namespaces) {
        in_namespaces();
    } else {
        meet->jump_ns = YEAR_NS;
        for (int i = 0; i < 3; i++)
            wait_three_times(child_start);
        work_under_jumps(seconds);
    }
    must(shmkv_open(name, NULL, &kv));
    finish(kv, name);
    printf("%.1f s waited for the living, %llu rounds of work, %llu looks at a clock that jumps\n",
           (double)meet->waited_ns / 1e9, (unsigned long long)meet->calls,
           (unsigned long long)atomic_load(&meet->looks));
    return 0;
}

int main(int argc, char **argv) { return supervise(run, argc, argv); }
