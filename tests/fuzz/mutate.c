/*
 * Mutated segments: open, read, walk, verify, report, write; nothing may crash,
 * read out of bounds, or take long.
 *
 * A case is an image (a vector, or one made here) and a few mutations of it, both
 * drawn from the seed and the case's number: bits flipped, words replaced by
 * others of the image, by offsets just inside or outside it, by lengths and counts
 * that are too large; links swapped; intents made up that store anywhere; locks
 * that name anybody. The header is sealed again, so that what lies behind the
 * checksum is reached. Then everything the library has is done to the segment,
 * read-only and writable.
 *
 * Every mapping of a segment stands between two PROT_NONE regions. Worker processes
 * run the cases, two for each processor, since half of their time they wait for locks of
 * the dead; a death of one, or more than 100 ms of CPU time in one case, is a violation. The
 * case is then repeated with fewer mutations, as long as it fails, and told.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/fuzz/images.h"

#define CASE_LIMIT_NS 100000000u
#define HANG_S 1
#define TOO_LONG 4 /* exit status */

static struct exercise segment;

static struct {
    uint64_t seed, cases, cpu_ns, until_ms;
    unsigned workers;
    bool go_on;
    atomic_bool *over; /* a worker has found a violation, and one is enough */
} plan = {.cases = ~0ULL, .cpu_ns = 60000000000u};

static _Noreturn void give_up(const char *what) {
    fprintf(stderr, "mutate: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ------------------------------------------------------------------------------- a case */

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void hung(int sig) {
    (void)sig;
    static const char text[] = "a case does not end\n";
    (void)!write(2, text, sizeof text - 1);
    _exit(3);
}

static uint64_t case_run(const struct trial *t, uint64_t mask) {
    struct itimerval limit = {.it_value = {.tv_sec = HANG_S}}, off = {0};
    exercise_lay(&segment, trial_size(t, mask));
    trial_write(t, mask, segment.file);
    uint64_t from = cpu_ns();
    setitimer(ITIMER_PROF, &limit, NULL);
    exercise_run(&segment, &t->im->keys, &t->conduct);
    setitimer(ITIMER_PROF, &off, NULL);
    return cpu_ns() - from;
}

/* In a child: does it crash, abort, or take long, three times out of three? */
static bool fails(const struct trial *t, uint64_t mask, int *status) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        exercise_begin(&segment, segment.path);
        uint64_t best = ~0ULL;
        for (int i = 0; i < 3 && best > CASE_LIMIT_NS; i++) {
            uint64_t ns = case_run(t, mask);
            best = ns < best ? ns : best;
        }
        if (best > CASE_LIMIT_NS)
            fprintf(stderr, "%.1f ms of CPU time\n", (double)best / 1e6);
        _exit(best > CASE_LIMIT_NS ? TOO_LONG : 0);
    }
    if (pid < 0 || waitpid(pid, status, 0) != pid)
        give_up("fork");
    return *status != 0;
}

static void tell_case(const struct trial *t, uint64_t mask) {
    fprintf(stderr, "image %s, %llu bytes, sealed %d, replace %d\n", t->im->name,
            (unsigned long long)t->im->size, t->seal, t->conduct.replace);
    for (unsigned i = 0; i < t->n; i++)
        if (mask >> i & 1)
            fprintf(stderr, "  0x%llx: %u bytes: 0x%llx becomes 0x%llx\n",
                    (unsigned long long)t->m[i].off, t->m[i].width,
                    (unsigned long long)image_word(t->im, t->m[i].off),
                    (unsigned long long)t->m[i].value);
}

/* Tell of a case that fails again, without the mutations that it fails without. */
static bool report(uint64_t seed, uint64_t number) {
    struct trial t;
    int status = 0;
    trial_draw(&t, seed, number);
    uint64_t mask = t.n == 64 ? ~0ULL : (1ULL << t.n) - 1;
    if (!fails(&t, mask, &status))
        return false;
    if (atomic_exchange(plan.over, !plan.go_on))
        return true; /* another worker tells of its own */
    fprintf(stderr, "VIOLATION: SHMKV_TEST_SEED=%llu case %llu (repeat with --case %llu)\n",
            (unsigned long long)seed, (unsigned long long)number, (unsigned long long)number);
    for (unsigned i = 0; i < t.n; i++)
        if (fails(&t, mask & ~(1ULL << i), &status))
            mask &= ~(1ULL << i);
    fails(&t, mask, &status);
    if (WIFSIGNALED(status))
        fprintf(stderr, "signal %d, %s\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        fprintf(stderr, "exit status %d\n", WEXITSTATUS(status));
    tell_case(&t, mask);
    return true;
}

/* ---------------------------------------------------------------------------- a worker */

#define MAX_WORKERS 16

/* What a worker has done, where it is seen when it is dead. It takes every workers-th case. */
struct worker {
    uint64_t at, cases, opened, wrote, read_ok, clean, longest, longest_case;
    bool done;
};

static void work(void *arg) {
    struct worker *w = arg;
    exercise_begin(&segment, segment.path);
    for (; w->at < plan.cases && !atomic_load(plan.over); w->at += plan.workers, w->cases++) {
        if (w->cases % 64 == 63 && (cpu_ns() >= plan.cpu_ns || now_ms() >= plan.until_ms))
            break;
        struct trial t;
        trial_draw(&t, plan.seed, w->at);
        uint64_t ns = case_run(&t, ~0ULL);
        if (ns > CASE_LIMIT_NS)
            _exit(TOO_LONG);
        if (ns > w->longest) {
            w->longest = ns;
            w->longest_case = w->at;
        }
    }
    w->opened += segment.opened;
    w->wrote += segment.wrote;
    w->read_ok += segment.read_ok;
    w->clean += segment.clean;
    w->done = true;
}

/* Run a worker again and again, as long as it dies. The number of violations. */
static unsigned supervise(struct worker *w) {
    unsigned violations = 0;
    while (!w->done) {
        pid_t pid = child_start(work, w);
        int status = child_wait(pid);
        if (status == 0)
            continue;
        if (report(plan.seed, w->at)) {
            violations++;
        } else if (!WIFEXITED(status) || WEXITSTATUS(status) != TOO_LONG) {
            fprintf(stderr, "case %llu: status %d, and not again\n", (unsigned long long)w->at,
                    status);
            violations++;
        }
        if (violations && !plan.go_on)
            break;
        w->at += plan.workers;
        w->cases++;
    }
    return violations;
}

static void supervise_child(void *arg) { exit(supervise(arg) ? 1 : 0); }

/* ------------------------------------------------------------------------------- main */

static bool tell_results(const struct worker *workers, bool violated) {
    struct worker sum = {0};
    for (unsigned i = 0; i < plan.workers; i++) {
        const struct worker *w = &workers[i];
        sum.cases += w->cases, sum.opened += w->opened, sum.clean += w->clean;
        sum.wrote += w->wrote, sum.read_ok += w->read_ok;
        if (w->longest > sum.longest)
            sum.longest = w->longest, sum.longest_case = w->longest_case;
    }
    printf(
        "%llu mutated segments of %u images: %llu attached, %llu of them sound, %llu written to, "
        "%llu values read; longest %.1f ms of CPU time (case %llu); %s\n",
        (unsigned long long)sum.cases, image_count, (unsigned long long)sum.opened,
        (unsigned long long)sum.clean, (unsigned long long)sum.wrote,
        (unsigned long long)sum.read_ok, (double)sum.longest / 1e6,
        (unsigned long long)sum.longest_case, violated ? "VIOLATIONS" : "no violation");
    /* A run that reached nothing has shown nothing. */
    return !violated && sum.opened && sum.wrote && sum.read_ok && sum.clean;
}

static bool run_workers(void) {
    struct worker *workers = shared_memory(plan.workers * sizeof *workers);
    pid_t pids[MAX_WORKERS];
    bool violated = false;
    for (unsigned i = 0; i < plan.workers; i++) {
        char entry[32];
        snprintf(entry, sizeof entry, "segment-%u", i);
        segment.path = scratch_path(entry);
        workers[i].at = i;
        fflush(NULL);
        pids[i] = child_start(supervise_child, &workers[i]);
    }
    for (unsigned i = 0; i < plan.workers; i++)
        violated |= !child_succeeded(pids[i]);
    return tell_results(workers, violated);
}

static int usage(void) {
    fprintf(stderr, "usage: mutate [--seed N] [--cases N] [--seconds CPU] [--workers N] [--case N] "
                    "[--go-on] DIRECTORY...\n");
    return 2;
}

int main(int argc, char **argv) {
    uint64_t only = ~0ULL, seconds = 60;
    int at = 1;
    plan.workers = 2 * (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--go-on") == 0)
            plan.go_on = true;
        else if (at + 1 == argc)
            return usage();
        else if (strcmp(argv[at], "--cases") == 0)
            plan.cases = strtoull(argv[++at], NULL, 10);
        else if (strcmp(argv[at], "--seconds") == 0)
            seconds = strtoull(argv[++at], NULL, 10);
        else if (strcmp(argv[at], "--workers") == 0)
            plan.workers = (unsigned)strtoull(argv[++at], NULL, 10);
        else if (strcmp(argv[at], "--seed") == 0)
            setenv("SHMKV_TEST_SEED", argv[++at], 1);
        else if (strcmp(argv[at], "--case") == 0)
            only = strtoull(argv[++at], NULL, 10);
        else
            return usage();
    }
    if (at >= argc || plan.workers == 0)
        return usage();
    plan.workers = plan.workers < MAX_WORKERS ? plan.workers : MAX_WORKERS;
    names_begin();
    segment.path = scratch_path("segment");
    for (; at < argc; at++)
        images_add(argv[at], segment.path);
    images_make(segment.path);

    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    plan.seed = random_begin("mutate").state;
    plan.cpu_ns = seconds * 1000000000u;
    plan.over = shared_memory(sizeof *plan.over);
    plan.until_ms = now_ms() + seconds * 4000; /* beside another test, and waiting for the dead */
    signal(SIGPROF, hung);
    bool good = only != ~0ULL ? !report(plan.seed, only) : run_workers();
    names_sweep(false);
    return good ? 0 : 1;
}
