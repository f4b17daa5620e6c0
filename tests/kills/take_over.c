/*
 * How long a waiter takes to learn that the holder of a lock was killed.
 *
 * In each round one process takes a lock and stops; another wants it, and sleeps; then
 * the first is killed. Measured is the time from just before kill() to the moment
 * when the second has the lock: the kernel's taking the process apart, which drops its
 * owner lock and grows with its memory, and the rest of the waiter's sleep.
 *
 * The figures are for people. The test fails only if nobody could call that prompt.
 * proves [LOCK-05] [LOCK-06]
 *
 * Argument: number of rounds for each kind of lock.
 */
#include "tests/stress/stress.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS_MAX 2000
#define PROMPT_NS 100000000u /* more than this in the median, and the test fails */
#define LARGE_BYTES (2ull << 30)

static const char *name;
static struct gate held;
static struct round {
    uint32_t domain;
    size_t memory; /* of the holder */
    uint64_t taken_ns;
} *now;

static struct context *attach(shmkv_t **kv) {
    must(shmkv_open(name, NULL, kv));
    struct context *ctx;
    must(context_acquire(segment_of(*kv), &ctx));
    return ctx;
}

static void hold(void *arg) {
    (void)arg;
    shmkv_t *kv;
    struct context *ctx = attach(&kv);
    if (now->memory) {
        void *p = mmap(NULL, now->memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (p == MAP_FAILED)
            die("no memory");
    }
    struct domain d = domain_at(ctx->seg, now->domain);
    must(lock_take(ctx, &d));
    gate_open(&held);
    for (;;)
        pause();
}

static void wait_for_it(void *arg) {
    (void)arg;
    shmkv_t *kv;
    struct context *ctx = attach(&kv);
    struct domain d = domain_at(ctx->seg, now->domain);
    must(lock_take(ctx, &d));
    now->taken_ns = now_ns();
    lock_release(ctx, &d);
    context_release(ctx);
    must(shmkv_close(kv));
}

static uint64_t one_round(shmkv_t *kv) {
    struct domain d = domain_at(segment_of(kv), now->domain);
    pid_t holder = child_start(hold, NULL);
    if (!gate_wait(&held))
        die("the holder does not get the lock");
    pid_t waiter = child_start(wait_for_it, NULL);
    /* Until the waiter says that it sleeps. */
    while (!FIELD(load_acquire_u32(d.lock), LOCK_WAITERS))
        if (waitpid(waiter, NULL, WNOHANG) != 0)
            die("the waiter did not wait");
    uint64_t before = now_ns();
    if (!child_kill(holder))
        die("the holder had ended by itself");
    if (!child_succeeded(waiter))
        die("the waiter failed");
    return now->taken_ns - before;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void measure(shmkv_t *kv, const char *what, uint32_t domain, size_t memory, unsigned rounds) {
    static uint64_t times[ROUNDS_MAX];
    now->domain = domain;
    now->memory = memory;
    for (unsigned i = 0; i < rounds; i++)
        times[i] = one_round(kv);
    qsort(times, rounds, sizeof *times, by_value);
    printf("%s: %u rounds, median %.2f ms, p90 %.2f, p99 %.2f, most %.2f\n", what, rounds, (double)times[rounds / 2] / 1e6,
           (double)times[rounds * 9 / 10] / 1e6, (double)times[rounds * 99 / 100] / 1e6, (double)times[rounds - 1] / 1e6);
    if (!memory && times[rounds / 2] > PROMPT_NS)
        die("%s: that is not prompt", what);
}

static int run(int argc, char **argv) {
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 100;
    if (rounds < 1 || rounds > ROUNDS_MAX)
        die("1 to %u rounds", ROUNDS_MAX);
    now = shared_memory(sizeof *now);
    held = gate_new();
    name = unique_name();
    shmkv_t *kv;
    must(shmkv_open(name, NULL, &kv));
    const struct segment *seg = segment_of(kv);
    measure(kv, "shard lock", 0, 0, rounds);
    measure(kv, "arena lock", seg->shard_count, 0, rounds);
    measure(kv, "space lock", seg->shard_count + seg->arena_count, 0, rounds);
    measure(kv, "shard lock of a process of 2 GiB", 0, LARGE_BYTES, 2);
    return finish(kv, name);
}

int main(int argc, char **argv) { return supervise(run, argc, argv); }
