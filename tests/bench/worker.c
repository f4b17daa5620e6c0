#include "tests/bench/worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/ticks.h"

/* Most keys that are looked up before the first turn: enough to touch every page. */
#define WARM_KEYS (1 << 21)

/* What a working process has. */
struct work {
    const struct job *job;
    void *handle;
    struct random random;
    struct block block;
    uint8_t *in, *out; /* values */
    uint64_t clock_cost;
    cpu_set_t cpus; /* those it may use */
    int cpu;        /* the one it keeps to, or ANY_CPU */
    bool undisturbed;
};

/* ------------------------------------------------------------------- operations */

/* Operations @p from to @p to of the block. False: one of them failed. */
static bool operate(struct work *w, unsigned from, unsigned to) {
    const struct store *store = w->job->store;
    const struct block *b = &w->block;
    for (unsigned i = from; i < to; i++) {
        if (b->read[i]) {
            if (store->get(w->handle, b->keys[i], w->in) != 0 || !value_is_of(w->in, b->keys[i]))
                return false;
        } else {
            value_for(w->out, b->keys[i]);
            if (store->put(w->handle, b->keys[i], w->out) != 0)
                return false;
        }
    }
    return true;
}

static bool fail(struct answer *a, const struct store *store, const char *what) {
    const char *why = store->why ? store->why() : errno ? strerror(errno) : "";
    snprintf(a->trouble, sizeof a->trouble, "%s%s%s", what, *why ? ": " : "", why);
    return false;
}

static bool operation_failed(struct answer *a, const struct store *store) {
    return fail(a, store, "a get or put failed, or a value was another key's");
}

/* How often the processor was taken away, other than by waiting. */
static long preemptions(const struct work *w) {
    struct rusage usage;
    return w->undisturbed && getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_nivcsw : 0;
}

/* The block, timed: most of it as a whole for the throughput, as a program would run it, where the
 * processor may begin an operation before the last one has ended; a few alone, for the latency. */
static bool time_block(struct work *w, struct answer *a) {
    unsigned ops = w->block.ops, whole = ops < BLOCK_TIMED ? ops : BLOCK_TIMED, singles = ops - whole;
    uint64_t single[BLOCK_SAMPLED] = {0};
    long before = preemptions(w);
    errno = 0;
    uint64_t t0 = ticks_now();
    if (!operate(w, 0, whole))
        return operation_failed(a, w->job->store);
    uint64_t ticks = ticks_now() - t0 - w->clock_cost;
    for (unsigned i = 0; i < singles; i++) {
        t0 = ticks_now();
        if (!operate(w, whole + i, whole + i + 1))
            return operation_failed(a, w->job->store);
        single[i] = ticks_now() - t0 - w->clock_cost;
    }
    a->blocks++;
    for (unsigned i = 0; i < singles; i++)
        a->aside_ticks += single[i];
    if (preemptions(w) != before) {
        a->left_out++;
        return true;
    }
    a->ops += whole;
    a->ticks += ticks;
    for (unsigned i = 0; i < singles; i++)
        histogram_add(&a->latency, single[i]);
    return true;
}

/* ----------------------------------------------------------------------- orders */

static bool walk(struct work *w, struct answer *a, uint64_t step, bool read) {
    uint64_t keys = w->job->setup.keys;
    for (uint64_t n = 0; n < keys; n += w->block.ops * step) {
        block_walk(&w->block, n, step, keys, read);
        if (!time_block(w, a))
            return false;
    }
    return true;
}

static void fill(struct work *w, struct answer *a) {
    errno = 0;
    w->handle = w->job->store->create(&w->job->setup);
    if (w->handle)
        walk(w, a, 1, false);
    else
        fail(a, w->job->store, "it could not be created");
}

static void attach(struct work *w, struct answer *a) {
    errno = 0;
    w->handle = w->job->store->attach(&w->job->setup);
    if (w->handle)
        walk(w, a, w->job->setup.keys / WARM_KEYS + 1, true);
    else
        fail(a, w->job->store, "attaching failed");
}

/* Draw the next operations, and set that time aside, but not if the processor was taken away meanwhile:
 * waiting for it counts, wherever it happens. */
static void draw(struct work *w, unsigned read_percent, uint64_t *least, struct answer *a) {
    uint64_t ticks = ticks_now();
    block_draw(&w->block, w->job->popularity, &w->random, read_percent);
    ticks = ticks_now() - ticks;
    *least = ticks < *least ? ticks : *least;
    a->aside_ticks += ticks < *least * 2 ? ticks : *least * 2;
}

/* @p cpu counts those that we may use. */
static void keep_to(struct work *w, int cpu) {
    if (cpu == w->cpu)
        return;
    w->cpu = cpu;
    cpu_set_t one;
    CPU_ZERO(&one);
    int usable = CPU_COUNT(&w->cpus);
    for (int i = 0, n = 0; i < CPU_SETSIZE && cpu != ANY_CPU; i++)
        if (CPU_ISSET((unsigned)i, &w->cpus) && n++ == cpu % usable)
            CPU_SET((unsigned)i, &one);
    sched_setaffinity(0, sizeof one, cpu == ANY_CPU ? &w->cpus : &one);
}

static void run(struct work *w, const struct order *order, struct answer *a) {
    struct timespec start = {.tv_sec = (time_t)(order->start_ns / 1000000000u),
                             .tv_nsec = (long)(order->start_ns % 1000000000u)};
    keep_to(w, order->cpu);
    w->undisturbed = order->undisturbed;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, NULL) == EINTR)
        ;
    uint64_t least = UINT64_MAX, now;
    do {
        draw(w, order->read_percent, &least, a);
        if (!time_block(w, a))
            return;
        now = clock_ns();
    } while (now < order->end_ns);
    a->wall_ns = now - order->start_ns;
}

/* ---------------------------------------------------------------------- process */

static bool send_all(int fd, const void *bytes, size_t len) {
    const char *p = bytes;
    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n, len -= (size_t)n;
    }
    return true;
}

static bool receive_all(int fd, void *bytes, size_t len) {
    char *p = bytes;
    while (len) {
        ssize_t n = recv(fd, p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n, len -= (size_t)n;
    }
    return true;
}

static bool work_init(struct work *w, const struct job *job) {
    *w = (struct work){.job = job, .random = {job->seed}, .clock_cost = ticks_cost(), .cpu = ANY_CPU};
    if (sched_getaffinity(0, sizeof w->cpus, &w->cpus) != 0)
        return false;
    /* A little more: a store may copy whole words. */
    w->in = calloc(1, job->setup.value_size + 64);
    w->out = calloc(1, job->setup.value_size + 64);
    return w->in && w->out;
}

static void work_end(struct work *w) {
    if (w->handle)
        w->job->store->detach(w->handle);
    free(w->in);
    free(w->out);
}

static int worker_main(const struct job *job, int socket) {
    static struct answer answer;
    struct work work;
    struct order order;
    /* Not to outlive the driver, whatever happens to it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!work_init(&work, job))
        return 1;
    while (receive_all(socket, &order, sizeof order)) {
        memset(&answer, 0, sizeof answer);
        switch (order.kind) {
        case ORDER_FILL:
            fill(&work, &answer);
            break;
        case ORDER_ATTACH:
            attach(&work, &answer);
            break;
        case ORDER_RUN:
            run(&work, &order, &answer);
            break;
        }
        if (!send_all(socket, &answer, sizeof answer))
            break;
    }
    work_end(&work);
    return 0;
}

bool worker_start(struct worker *w, const struct job *job) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        return false;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(sockets[0]);
        _exit(worker_main(job, sockets[1]));
    }
    close(sockets[1]);
    if (pid < 0) {
        close(sockets[0]);
        return false;
    }
    *w = (struct worker){.job = job, .pid = pid, .socket = sockets[0]};
    return true;
}

bool worker_order(const struct worker *w, const struct order *order) {
    return send_all(w->socket, order, sizeof *order);
}

bool worker_answer(const struct worker *w, struct answer *answer) {
    return receive_all(w->socket, answer, sizeof *answer);
}

void worker_end(struct worker *w) {
    /* Workers that were begun later have a copy of the socket, so closing it is not enough. */
    shutdown(w->socket, SHUT_RDWR);
    close(w->socket);
    while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* ---------------------------------------------------------------------- untimed */

void work_untimed(const struct job *job, unsigned read_percent, uint64_t count, char trouble[TROUBLE_SIZE]) {
    static struct answer answer;
    static struct work work;
    memset(&answer, 0, sizeof answer);
    if (!work_init(&work, job)) {
        snprintf(trouble, TROUBLE_SIZE, "out of memory");
        return;
    }
    fill(&work, &answer);
    for (uint64_t done = 0; !answer.trouble[0] && done < count; done += BLOCK_OPS) {
        block_draw(&work.block, job->popularity, &work.random, read_percent);
        errno = 0;
        if (!operate(&work, 0, BLOCK_OPS))
            operation_failed(&answer, job->store);
    }
    work_end(&work);
    memcpy(trouble, answer.trouble, sizeof answer.trouble);
}
