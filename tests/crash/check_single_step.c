/*
 * Death, and standing still, after every instruction.
 *
 * A child does one thing (attach, claim a slot, put or delete, give the slot back,
 * detach; or repair; or replace; or create). After each instruction of it that changed
 * the segment:
 *
 *  - on the spot, while the child stands still: one who was attached all along gets
 *    every key, the subject's old or new value and never again the old one after the
 *    new, and a cursor gives every entry once. A process that may do nothing but read
 *    and write what it has open (seccomp) gets them too: no lock, no waiting. The
 *    inspector's get, keys, check and dump, in a process of their own, say the same;
 *  - in a copy, in which everybody is dead: what check_crash.c asks of its deaths.
 *
 * With SHMKV_STEP_ALL=1 every state is repaired in a copy, otherwise a sample of them.
 * SHMKV_STEP_ONLY=TEXT leaves out everything whose name does not contain the text.
 *
 * proves [OP-03] [CRASH-05] [CRASH-06] [LOCK-22]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/scenarios.h"
#include "tests/crash/stepping.h"
#include "tools/inspect/inspect.h"

/* Everything, or as much as fits into an ordinary test run? */
static bool complete(void) {
    const char *given = getenv("SHMKV_STEP_ALL");
    return given && *given == '1';
}

/* SHMKV_STEP_ONLY: a part of the name of what is to be stepped through. */
static bool wanted(const char *what) {
    const char *only = getenv("SHMKV_STEP_ONLY");
    return !only || strstr(what, only);
}

/* About so many of all, at equal distances, the first at random. */
struct sample {
    uint64_t every, phase;
};
static struct sample some_of(uint64_t all, uint64_t wanted) {
    uint64_t every = all / wanted + 1;
    return (struct sample){every, random_u64() % every};
}
static struct sample sample_of(uint64_t all, uint64_t wanted) {
    return complete() ? (struct sample){1, 0} : some_of(all, wanted);
}
static bool sampled(const struct sample *s, uint64_t n) { return n % s->every == s->phase; }

/* ------------------------------------------------------------------------ readers */

/* How long gets took while a writer stood still. */
#define TIMES 200000
static uint64_t times_ns[TIMES];
static size_t times;

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool timed_has_value(shmkv_t *kv, const char *key, long size) {
    uint64_t t0 = clock_ns();
    bool has = has_value(kv, key, size);
    if (times < TIMES)
        times_ns[times++] = clock_ns() - t0;
    return has;
}

static int by_time(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print_times(void) {
    if (!times)
        return;
    qsort(times_ns, times, sizeof *times_ns, by_time);
    size_t over = 0;
    for (size_t i = 0; i < times; i++)
        over += times_ns[i] > 1000000;
    printf("  %zu gets beside a writer that stands still: median %.1f us, p99 %.1f us, most %.0f "
           "us, over 1 ms %zu\n",
           times, (double)times_ns[times / 2] / 1e3, (double)times_ns[times * 99 / 100] / 1e3,
           (double)times_ns[times - 1] / 1e3, over);
}

static enum outcome subject_outcome(shmkv_t *kv) {
    if (scenario->act == TRANSACT) /* a get may find the old value and the next one the new */
        return outcome_in_snapshot(kv);
    bool old = timed_has_value(kv, subject, scenario->before);
    bool new = timed_has_value(kv, subject, scenario->after);
    ck_assert_msg(old || new, "the subject is neither old nor new");
    return old ? OLD : NEW;
}

/* From here on the kernel kills us for any system call but read, write and exit. Not the
 * strict mode: that takes the time stamp counter away, which the clock needs that an
 * expiry is compared with. */
static bool forbid_system_calls(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* All gets without a system call. */
static void get_without_system_calls(void *arg) {
    shmkv_t *kv = arg;
    has_value(kv, subject, scenario->before); /* the thread's record */
    if (!forbid_system_calls())
        _exit(errno == EINVAL ? 0 : 1); /* a kernel without it */
    bool good = has_value(kv, subject, scenario->before) || has_value(kv, subject, scenario->after);
    syscall(SYS_exit, good ? 0 : 1);
}

/* ---------------------------------------------------------------------- inspector */

const char *command_name = "inspector"; /* of its messages */

/* How long its commands took in the processor, opening the segment included, starting a process
 * not. `keys` goes through all entries as `dump` does; what a dump takes longer is spent on
 * printing. */
#define COMMANDS 4
static const struct command *const inspected[COMMANDS] = {&command_get, &command_keys,
                                                          &command_check, &command_dump};
static struct inspector_times {
    size_t n, over;
    uint64_t most, sum, printed;
} * inspector; /* of each; shared with the processes that run them */

static uint64_t processor_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void inspector_took(struct inspector_times *times_, uint64_t ns, uint64_t printed) {
    times_->n++;
    times_->printed += printed;
    times_->sum += ns;
    times_->most = ns > times_->most ? ns : times_->most;
    times_->over += ns > 1000000;
}

static int run_command(int which, int out) {
    const char *operands[] = {seg_path, subject};
    struct args args = {.raw = which == 0,
                        .limit = UINT64_MAX,
                        .length = UINT64_MAX,
                        .count = which == 0 ? 2 : 1,
                        .operands = (char **)(uintptr_t)operands};
    if (ftruncate(out, 0) != 0 || lseek(out, 0, SEEK_SET) != 0)
        _exit(1);
    uint64_t before = processor_ns();
    int status = inspected[which]->run(&args);
    fflush(stdout);
    inspector_took(&inspector[which], processor_ns() - before, (uint64_t)lseek(out, 0, SEEK_END));
    return status;
}

static bool said_value(long size, int status, const char *said, size_t len) {
    return size == ABSENT ? status == STATUS_NO && len == 0 : status == STATUS_OK && is_value(subject, size, said, len);
}

static bool said_right(int which, int status, enum outcome outcome, const char *said, size_t len) {
    uint64_t lines = 0;
    switch (which) {
    case 0:
        return said_value(outcome == OLD ? scenario->before : scenario->after, status, said, len) ||
               (in_between(outcome) && said_value(scenario->before, status, said, len));
    case 1:
    case 3:
        for (size_t i = 0; i < len; i++)
            lines += said[i] == '\n';
        return status == STATUS_OK && entries_fit(lines, outcome);
    default:
        return status == STATUS_OK && len == 3 && memcmp(said, "ok\n", 3) == 0;
    }
}

static void inspect(void *arg) {
    const enum outcome *outcome = arg;
    int out = memfd_create("said", MFD_CLOEXEC),
        complaints = memfd_create("complaints", MFD_CLOEXEC);
    int tell = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (out < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(complaints, STDERR_FILENO) < 0)
        _exit(1);
    for (int i = 0; i < COMMANDS; i++) {
        int status = run_command(i, out);
        off_t len = lseek(out, 0, SEEK_END);
        void *said = len > 0 ? mmap(NULL, (size_t)len, PROT_READ, MAP_SHARED, out, 0) : NULL;
        if (said == MAP_FAILED || !said_right(i, status, *outcome, said, (size_t)len)) {
            char why[512];
            ssize_t n = pread(complaints, why, sizeof why, 0);
            dprintf(tell, "shmkv-inspect %s: status %d, %ld bytes %.*s\n", inspected[i]->name,
                    status, (long)len, n > 0 ? (int)n : 0, why);
            _exit(1);
        }
        if (said)
            munmap(said, (size_t)len);
    }
    _exit(0);
}

static void print_inspector_times(void) {
    for (int i = 0; i < COMMANDS && inspector->n; i++)
        printf("  %zu times shmkv-inspect %s beside it: mean %.0f us of processor time, most %.0f "
               "us, over 1 ms %zu, "
               "%.1f KB printed\n",
               inspector[i].n, inspected[i]->name,
               (double)inspector[i].sum / (double)inspector[i].n / 1e3,
               (double)inspector[i].most / 1e3, inspector[i].over,
               (double)inspector[i].printed / (double)inspector[i].n / 1e3);
}

/* On the spot. */
static enum outcome look_beside(shmkv_t *kv, enum outcome before) {
    enum outcome outcome = subject_outcome(kv);
    ck_assert_msg(outcome == NEW || before == OLD || scenario->before == scenario->after,
                  "the subject is old again");
    return outcome;
}

static void look_around(shmkv_t *kv, enum outcome outcome) {
    if (scenario->prepare != prepare_nothing)
        each_bystander(kv, false);
    check_cursor(kv, outcome);
    ck_assert(child_succeeded(child_start(get_without_system_calls, kv)));
    fflush(stdout);
    ck_assert_msg(child_succeeded(child_start(inspect, &outcome)),
                  "the inspector says something else");
}

/* ------------------------------------------------------------------- in a copy */

/* seg_path stands still. Look at a copy of it, in which everybody is dead, and let
 * somebody repair it. */
static enum outcome look_at_copy(const struct shmkv_stats *undisturbed) {
    const char *stands = seg_path;
    file_copy(stands, crashed_path);
    seg_path = crashed_path;
    enum outcome outcome = look_at_once();
    repair_and_repeat(outcome, undisturbed);
    unlink(crashed_path);
    seg_path = stands;
    return outcome;
}

struct tally {
    uint64_t steps, states, copies;
    uint64_t repairs, kinds; /* that were repairs, and so many stepped through */
};

static void add(struct tally *t, const struct stepping *s) {
    t->steps += s->steps;
    t->states += s->changes;
}

static void step_through(void (*body)(void), const struct shmkv_stats *undisturbed, uint64_t all,
                         uint64_t copies, struct tally *t) {
    struct sample look = sample_of(all, 3000), copy = sample_of(all, copies);
    struct stepping s;
    make_value_ready();
    if (!inspector)
        inspector = shared_memory(COMMANDS * sizeof *inspector);
    step_begin(&s, body, seg_path);
    shmkv_t *reader = open_mode(seg_path, SHMKV_READONLY);
    enum outcome outcome = subject_outcome(reader);
    while (step_on(&s)) {
        if (sampled(&look, s.changes))
            outcome = look_beside(reader, outcome);
        if (!sampled(&copy, s.changes))
            continue;
        outcome = look_beside(reader, outcome);
        look_around(reader, outcome);
        ck_assert(look_at_copy(undisturbed) == outcome || scenario->before == scenario->after);
        t->copies++;
    }
    ck_assert_msg(step_succeeded(&s), "the child ended with status 0x%x", (unsigned)s.status);
    look_around(reader, look_beside(reader, outcome));
    ck_assert_ok(shmkv_close(reader));
    add(t, &s);
    step_end(&s);
}

static void print_tally(const char *what, const char *when, const struct tally *t) {
    printf("%s%s%s: ", what, when ? ", " : "", when ? when : "");
    if (t->repairs)
        printf("%llu repairs of %llu kinds, ", (unsigned long long)t->repairs,
               (unsigned long long)t->kinds);
    printf("%llu stores, %llu states, %llu of them repaired in a copy\n",
           (unsigned long long)t->steps, (unsigned long long)t->states,
           (unsigned long long)t->copies);
}

START_TEST(test_every_instruction_of_an_operation_leaves_old_or_new_and_loses_nothing) {
    scenario = &scenarios[_i];
    if (!wanted(scenario->what))
        return;
    prepare_base();
    struct shmkv_stats undisturbed = run_undisturbed();
    struct tally t = {0};
    file_copy(base_path, seg_path);
    step_through(act, &undisturbed, scenario->states, 20, &t);
    print_tally(scenario->what, NULL, &t);
    print_times();
    print_inspector_times();
    ck_assert_uint_gt(t.copies, 0);
    forget_files();
}
END_TEST

/* ----------------------------------------------------------------------- recovery */

/* What @p body does to seg_path, state by state. */
static void trace_of(void (*body)(void), struct trace *trace) {
    struct stepping s;
    make_value_ready();
    step_begin(&s, body, seg_path);
    s.trace = trace;
    while (step_on(&s))
        ;
    ck_assert_msg(step_succeeded(&s), "the child ended with status 0x%x", (unsigned)s.status);
    step_end(&s);
}

/* Let @p body work on seg_path as it did before, and kill it after the n-th change. */
static void die_at_change(void (*body)(void), const struct trace *trace, uint64_t n) {
    struct stepping s;
    make_value_ready();
    step_begin(&s, body, seg_path);
    ck_assert_msg(step_to(&s, trace, n), "it ended before state %llu", (unsigned long long)n);
    step_kill(&s);
    step_end(&s);
}

/* What repairs were stepped through, each told by the words that it changed, in order. Another that
 * changes the same ones in the same order does the same, and leaves the same states. */
struct kinds {
    uint64_t *kind;
    size_t count;
};

static bool is_new_kind(struct kinds *kinds, const struct trace *trace) {
    uint64_t kind = 0;
    for (uint64_t i = 0; i < trace->count; i++) {
        const struct state *s = &trace->states[i];
        kind = hash_bytes((uint64_t[]){s->syscalls, s->word, s->nth}, 3 * sizeof kind, kind);
    }
    for (size_t i = 0; i < kinds->count; i++)
        if (kinds->kind[i] == kind)
            return false;
    kinds->kind = realloc(kinds->kind, (kinds->count + 1) * sizeof kind);
    ck_assert_ptr_nonnull(kinds->kind);
    kinds->kind[kinds->count++] = kind;
    return true;
}

#define REPAIR_STATES 20 /* about */
#define DEATHS 2         /* of the operation, and of who repairs it */

/* seg_path is what a death left, and number @p death of DEATHS. It is repaired, and if that is of a
 * new kind, again, step by step, and then by one who dies at sampled states. */
static void step_through_repairs(const struct shmkv_stats *undisturbed, struct kinds *kinds, int death,
                                 struct tally t[DEATHS]) {
    const char *left = scratch_path(death == 1 ? "left" : "left-again");
    struct trace repairs = {0};
    file_copy(seg_path, left);
    trace_of(repair, &repairs);
    ck_assert_uint_gt(repairs.count, 0);
    repair_and_repeat(look_at_once(), undisturbed);
    unlink(seg_path);
    t[death - 1].repairs++;
    if (is_new_kind(kinds, &repairs)) {
        t[death - 1].kinds++;
        file_copy(left, seg_path);
        step_through(repair, undisturbed, REPAIR_STATES, death == 1 ? 6 : 3, &t[death - 1]);
        unlink(seg_path);
        struct sample sample = some_of(repairs.count, 1);
        for (uint64_t at = sample.phase + 1; death < DEATHS && at <= repairs.count; at += sample.every) {
            file_copy(left, seg_path);
            die_at_change(repair, &repairs, at);
            step_through_repairs(undisturbed, kinds, death + 1, t);
        }
    }
    unlink(left);
    trace_free(&repairs);
}

/* The repairer is stepped through, after a death of the operation at sampled states; and
 * a second repairer, after a death of the first. */
START_TEST(test_every_instruction_of_a_recovery_leaves_what_it_found_and_loses_nothing) {
    scenario = &scenarios[_i];
    if (!wanted(scenario->what))
        return;
    prepare_base();
    struct shmkv_stats undisturbed = run_undisturbed();
    struct tally t[DEATHS] = {{0}};
    struct trace acts = {0};
    struct kinds kinds = {0};
    file_copy(base_path, seg_path);
    trace_of(act, &acts);
    unlink(seg_path);
    struct sample sample = sample_of(acts.count, 6);
    for (uint64_t at = sample.phase + 1; at <= acts.count; at += sample.every) {
        file_copy(base_path, seg_path);
        die_at_change(act, &acts, at);
        step_through_repairs(&undisturbed, &kinds, 1, t);
    }
    trace_free(&acts);
    free(kinds.kind);
    print_tally(scenario->what, "after a death", &t[0]);
    print_tally(scenario->what, "after another", &t[1]);
    ck_assert_uint_gt(t[0].copies, 0);
    forget_files();
}
END_TEST

/* --------------------------------------------------------------------- real deaths */

/* SIGKILL at sampled states, with the locks that the child holds. With @p beside, another is
 * attached, who has the first owner slot: the child goes other ways then. The number of deaths. */
static unsigned kill_at_states(bool beside, const struct shmkv_stats *undisturbed) {
    struct trace acts = {0};
    struct sample deaths = {1, 0};
    unsigned kills = 0;
    for (uint64_t at = 0; at <= acts.count; at += at ? deaths.every : deaths.phase + 1) {
        file_copy(base_path, seg_path);
        shmkv_t *attached = beside ? open_ok(seg_path, NULL) : NULL;
        if (at == 0) { /* nobody dies */
            trace_of(act, &acts);
            deaths = sample_of(acts.count, 3);
        } else {
            die_at_change(act, &acts, at);
            kills++;
        }
        enum outcome outcome = look_at_once();
        if (attached)
            use_attached(attached, outcome);
        ck_assert_ok(shmkv_close(attached));
        repair_and_repeat(outcome, undisturbed);
        unlink(seg_path);
    }
    trace_free(&acts);
    return kills;
}

START_TEST(test_a_process_that_is_killed_at_any_instruction_is_repaired_by_others) {
    scenario = &scenarios[_i];
    if (!wanted(scenario->what))
        return;
    prepare_base();
    struct shmkv_stats undisturbed = run_undisturbed();
    unsigned alone = kill_at_states(false, &undisturbed),
             beside = kill_at_states(true, &undisturbed);
    printf("%s: killed at %u states, and beside another at %u\n", scenario->what, alone, beside);
    ck_assert_uint_gt(alone, 0);
    ck_assert_uint_gt(beside, 0);
    forget_files();
}
END_TEST

/* ----------------------------------------------------------- creating and replacing */

START_TEST(test_every_instruction_of_creating_leaves_nothing_or_a_whole_segment) {
    static const struct scenario create = {"create", prepare_nothing, ABSENT, 20, 211, PUT_OR_DELETE};
    scenario = &create;
    if (!wanted("create"))
        return;
    seg_path = scratch_path("seg");
    struct stepping s;
    bool seen = false;
    step_begin(&s, act, seg_path);
    while (step_on(&s)) {
        bool there = access(seg_path, F_OK) == 0;
        ck_assert_msg(there || !seen, "it was there already");
        ck_assert_uint_eq(directory_count(scratch_dir()), there);
        if (there)
            look_at_once();
        seen = there;
    }
    ck_assert(step_succeeded(&s));
    printf("create: %llu stores, %llu states\n", (unsigned long long)s.steps,
           (unsigned long long)s.changes);
    step_end(&s);
    check_settled();
    ck_assert_ok(shmkv_unlink(seg_path));
}
END_TEST

/* What has the name is whole at every instruction, old or new and never old again. The
 * replacer ends by itself, or is killed at change @p last; then another replaces. */
static void step_through_replacing(uint64_t last, struct tally *t) {
    new_victim();
    shmkv_t *attached = open_mode(seg_path, SHMKV_READONLY);
    struct stepping s;
    enum outcome outcome = OLD;
    step_begin(&s, replace, seg_path);
    bool through = false;
    while (s.changes < last && !through) {
        through = !step_on(&s);
        if (last != UINT64_MAX && s.changes < last)
            continue; /* who goes through looks everywhere */
        enum outcome now = open_and_look(SHMKV_READONLY);
        ck_assert_msg(now == NEW || outcome == OLD, "the old segment has come back");
        outcome = now;
        ck_assert_int_eq(look_at_replaced(attached), outcome);
    }
    if (through)
        ck_assert(step_succeeded(&s));
    else
        step_kill(&s);
    add(t, &s);
    step_end(&s);
    ck_assert_int_eq(look_at_replaced(attached), open_and_look(SHMKV_EXISTING));
    ck_assert_ok(shmkv_close(attached));
    replace_after_death();
    ck_assert_ok(shmkv_unlink(seg_path));
}

START_TEST(test_every_instruction_of_replacing_leaves_the_old_or_the_new_segment) {
    if (!wanted("replace"))
        return;
    struct tally t = {0}, again = {0};
    step_through_replacing(UINT64_MAX, &t);
    struct sample deaths = sample_of(t.states, 10);
    unsigned kills = 0;
    for (uint64_t at = deaths.phase + 1; at < t.states; at += deaths.every, kills++)
        step_through_replacing(at, &again);
    printf("replace: %llu stores, %llu states, killed at %u\n", (unsigned long long)t.steps,
           (unsigned long long)t.states, kills);
}
END_TEST

static Suite *single_step_suite(void) {
    Suite *s = suite_create("single_step");
    TCase *tc = case_new(s, "operations");
    tcase_set_timeout(tc, 900);
    tcase_add_loop_test(tc,
                        test_every_instruction_of_an_operation_leaves_old_or_new_and_loses_nothing,
                        0, SCENARIO_COUNT);
    tc = case_new(s, "replacing");
    tcase_set_timeout(tc, 900);
    tcase_add_test(tc, test_every_instruction_of_creating_leaves_nothing_or_a_whole_segment);
    tcase_add_test(tc, test_every_instruction_of_replacing_leaves_the_old_or_the_new_segment);
    tc = case_new(s, "recovery");
    tcase_set_timeout(tc, 900);
    tcase_add_loop_test(tc,
                        test_every_instruction_of_a_recovery_leaves_what_it_found_and_loses_nothing,
                        0, SCENARIO_COUNT);
    tc = case_new(s, "deaths");
    tcase_set_timeout(tc, 900);
    tcase_add_loop_test(tc, test_a_process_that_is_killed_at_any_instruction_is_repaired_by_others,
                        0, SCENARIO_COUNT);
    return s;
}

/* Else the C library copies by one instruction that counts as a step for each byte. */
static void copy_by_words(char **argv) {
    const char *name = "GLIBC_TUNABLES";
    if (getenv(name))
        return;
    setenv(name,
           "glibc.cpu.x86_rep_movsb_threshold=10000000:glibc.cpu.x86_rep_stosb_threshold=10000000",
           1);
    execv("/proc/self/exe", argv);
    perror("starting again");
    exit(2);
}

int main(int argc, char **argv) {
    (void)argc;
    copy_by_words(argv);
    return suite_main(single_step_suite());
}
