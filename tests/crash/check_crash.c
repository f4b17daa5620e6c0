/*
 * Death at every fault point of every operation, and of every recovery.
 *
 * A scenario prepares a segment, once. Then a child does one thing to a copy of
 * it, again and again, and kills itself at the first fault point it passes, at
 * the second, and so on until it gets through. After each death:
 *
 *  - at once, without repair: the segment verifies, the key that the child was
 *    working on is old or new, all others are as they were, and a process that
 *    was attached all along reads and writes;
 *  - after repair by whoever opens it next: nothing is locked, owned or lost;
 *  - after repeating what the dead one did: the same cells, groups and runs are
 *    in use as in a run in which nobody died;
 *  - and all of this again with a repairer that dies at each of its own points.
 *
 * proves [CRASH-01] [CRASH-02] [CRASH-03] [CRASH-05] [CRASH-06] [CRASH-07]
 * [CRASH-08] [CRASH-09] [LAYOUT-10] [LOCK-07] [LOCK-14] [LOCK-21] [LOCK-22]
 * [LOCK-23] [LOCK-24] [OP-02] [OP-09] [OP-11] [OP-15] [OP-17] [OP-18] [OP-19] [OP-20]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/scenarios.h"

/* ------------------------------------------------------------------- fault points */

/* Every FAULT_POINT() of the core. One that is not here fails the test, and so
 * does one at which no child has died. */
static const char *const points[] = {
    "alarm-after-wake",        "alarm-before-wake",
    "block-before-cells",      "block-without-cells",     "carry-out-after-entry",   "carry-out-after-intent",
    "cell-returned",
    "claim-after-live",        "commit-after-entry",      "commit-after-intent",     "commit-before-first",
    "commit-before-intent",    "condemn-after",           "create-after-link",       "create-before-link",
    "decide-after",
    "decide-before",           "extend-after-allocate",   "freeze-after-store",      "freeze-before-store",
    "group-before-kind",       "join-after-intent",       "join-before-intent",      "load-before-replace",
    "owner-asked",
    "reap-after-locks",        "record-before-even",      "replace-after-exchange",  "replace-after-replacing",
    "replace-after-state",     "replace-before-exchange", "replay-after-entry",      "replay-after-intent",
    "slab-in-hand",            "takeover-before-replay",  "takeover-before-swap",
};
#define POINT_COUNT (sizeof points / sizeof *points)

/* Across all children of all tests. */
static struct tally {
    unsigned deaths[POINT_COUNT];
    unsigned runs;
} * tally;

static unsigned armed, passed; /* die at this point, points passed; armed 0: never */
static const char *armed_at;   /* or at the first of this name */

void shmkv_fault_point(const char *name) {
    size_t i = 0;
    while (i < POINT_COUNT && strcmp(points[i], name) != 0)
        i++;
    if (i == POINT_COUNT) {
        fprintf(stderr, "fault point '%s' is not in the list of tests/crash\n", name);
        abort();
    }
    if (armed_at ? strcmp(name, armed_at) != 0 : !armed || ++passed != armed)
        return;
    __atomic_add_fetch(&tally->deaths[i], 1, __ATOMIC_RELAXED);
    raise(SIGKILL);
}

/* Run body in a child that dies at its n-th point. True if it got through. */
static bool get_through(void (*body)(void), unsigned n) {
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        armed = n;
        body();
        _exit(0);
    }
    int status = child_wait(pid);
    tally->runs++;
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    ck_assert_msg(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0),
                  "point %u: the child ended with status 0x%x", n, (unsigned)status);
    return !killed;
}

/* Every scenario with one death; another attached, or with more than that, every third, other ones in each run.
 * SHMKV_CRASH_ALL=1: all. */
#define TURNS 3
static uint64_t turn; /* drawn before there are children */

static bool has_turn(int which) {
    const char *all = getenv("SHMKV_CRASH_ALL");
    return (all && *all == '1') || (uint64_t)which % TURNS == turn;
}

/* ------------------------------------------------------------------------ one death */

/* Die at each point in turn. With a companion attached, whose slot becomes free
 * before the repair, so that the dead one's slot is reaped and not claimed. */
static unsigned die_everywhere(bool attached, const struct shmkv_stats *undisturbed) {
    for (unsigned n = 1;; n++) {
        file_copy(base_path, seg_path);
        shmkv_t *kv = attached ? open_ok(seg_path, NULL) : NULL;
        bool through = get_through(act, n);
        enum outcome outcome = look_at_once();
        ck_assert(!through || outcome == NEW || scenario->before == scenario->after);
        if (kv) {
            use_attached(kv, outcome);
            ck_assert_ok(shmkv_close(kv));
        }
        repair_and_repeat(outcome, undisturbed);
        unlink(seg_path);
        if (through)
            return n - 1;
    }
}

START_TEST(test_death_at_any_point_leaves_old_or_new_and_loses_nothing) {
    if (_i % 2 && !has_turn(_i / 2))
        return;
    scenario = &scenarios[_i / 2];
    prepare_base();
    struct shmkv_stats undisturbed = run_undisturbed();
    unsigned deaths = die_everywhere(_i % 2, &undisturbed);
    printf("%s%s: %u deaths\n", scenario->what, _i % 2 ? ", another attached" : "", deaths);
    ck_assert_uint_gt(deaths, 0);
    forget_files();
}
END_TEST

static void bind_and_die(void *arg) {
    (void)arg;
    armed = 0;
    const struct shmkv_item bound = {.data = "gone", .len = 4, .flags = SHMKV_BOUND};
    ck_assert_ok(shmkv_put_item(open_ok(seg_path, NULL), subject, strlen(subject), &bound));
    raise(SIGKILL);
}

/* Who attaches cleans up after the dead, so the other dies later. */
static void act_where_another_has_died(void) {
    shmkv_t *kv = open_ok(seg_path, NULL);
    ck_assert(!child_succeeded(child_start(bind_and_die, NULL)));
    act_attached(kv);
    ck_assert_ok(shmkv_close(kv));
}

/* proves [OP-08]: its key is absent for who adds it, and for who comes after his death */
START_TEST(test_death_while_taking_the_place_of_the_dead_loses_nothing) {
    for (scenario = scenarios; scenario->act != ADD;)
        scenario++;
    prepare_base();
    struct shmkv_stats undisturbed = run_undisturbed();
    bool through = false;
    for (unsigned n = 1; !through; n++) {
        file_copy(base_path, seg_path);
        through = get_through(act_where_another_has_died, n);
        enum outcome outcome = look_at_once();
        ck_assert(!through || outcome == NEW);
        repair_and_repeat(outcome, &undisturbed);
        unlink(seg_path);
    }
    forget_files();
}
END_TEST

/* ---------------------------------------------------------------------- and a second */

/* seg_path died once, at @p n; kept at crashed_path. Let its repairer die as well. */
static unsigned repairer_dies_everywhere(enum outcome outcome, const struct shmkv_stats *undisturbed) {
    for (unsigned m = 1;; m++) {
        file_copy(crashed_path, seg_path);
        bool through = get_through(repair, m);
        enum outcome now = look_at_once();
        ck_assert(now == outcome || scenario->before == scenario->after);
        repair_and_repeat(outcome, undisturbed);
        unlink(seg_path);
        if (through)
            return m - 1;
    }
}

/* Points from one first death to the next, so that a dozen are looked at. */
static unsigned stride(void) {
    unsigned n = 1;
    for (bool through = false; !through; n++) {
        file_copy(base_path, seg_path);
        through = get_through(act, n);
        unlink(seg_path);
    }
    return 1 + n / 12;
}

START_TEST(test_death_of_the_repairer_at_any_point_is_repaired_as_well) {
    if (!has_turn(_i))
        return;
    scenario = &scenarios[_i / 2];
    prepare_base();
    struct shmkv_stats undisturbed = run_undisturbed();
    unsigned deaths = 0, step = stride();
    bool through = false;
    for (unsigned n = 1; !through; n += step) {
        file_copy(base_path, seg_path);
        shmkv_t *kv = _i % 2 ? open_ok(seg_path, NULL) : NULL;
        through = get_through(act, n);
        ck_assert_ok(shmkv_close(kv)); /* frees slot 0: the repairer reaps another */
        enum outcome outcome = look_at_once();
        file_copy(seg_path, crashed_path);
        unlink(seg_path);
        if (!through)
            deaths += repairer_dies_everywhere(outcome, &undisturbed);
    }
    printf("%s%s: %u second deaths, one first death in %u\n", scenario->what, _i % 2 ? ", another attached" : "",
           deaths, step);
    forget_files();
}
END_TEST

/* ------------------------------------------------------------------- creating a segment */

START_TEST(test_death_while_creating_leaves_nothing_or_a_whole_segment) {
    static const struct scenario create = {"create", prepare_nothing, ABSENT, 20, 0, PUT_OR_DELETE};
    scenario = &create;
    seg_path = scratch_path("seg");
    bool through = false;
    for (unsigned n = 1; !through; n++) {
        through = get_through(act, n);
        ck_assert_uint_le(directory_count(scratch_dir()), 1);
        if (directory_count(scratch_dir()) == 1)
            look_at_once();
        act();
        check_settled();
        ck_assert_ok(shmkv_unlink(seg_path));
        ck_assert_uint_eq(directory_count(scratch_dir()), 0);
    }
}
END_TEST

/* proves [LIFE-11] [LIFE-12] */
START_TEST(test_death_while_replacing_leaves_the_old_or_the_new_segment) {
    bool through = false;
    unsigned n;
    for (n = 1; !through; n++) {
        new_victim();
        shmkv_t *reader = _i ? open_mode(seg_path, SHMKV_READONLY) : NULL;
        shmkv_t *writer = _i ? open_mode(seg_path, SHMKV_EXISTING) : NULL;
        through = get_through(replace, n);
        enum outcome outcome = open_and_look(SHMKV_READONLY);
        ck_assert(!through || outcome == NEW);
        if (_i)
            check_attached_follow(reader, writer, outcome);
        ck_assert_ok(shmkv_close(reader));
        ck_assert_ok(shmkv_close(writer));
        ck_assert_int_eq(open_and_look(SHMKV_EXISTING), outcome);
        replace_after_death();
        ck_assert_ok(shmkv_unlink(seg_path));
    }
    printf("replace: %u deaths\n", n - 2);
}
END_TEST

/* proves [LIFE-26]: whoever attaches next removes what the replacer left; or who unlinks the name */
START_TEST(test_death_while_replacing_leaves_nothing_for_long) {
    bool through = false;
    unsigned left = 0;
    for (unsigned n = 1; !through; n++) {
        new_victim();
        through = get_through(replace, n);
        left += directory_count(scratch_dir()) > 1;
        if (_i == 0) {
            ck_assert_ok(shmkv_close(open_ok(seg_path, NULL)));
            ck_assert_uint_eq(directory_count(scratch_dir()), 1);
        }
        ck_assert_ok(shmkv_unlink(seg_path));
        ck_assert_uint_eq(directory_count(scratch_dir()), 0);
    }
    ck_assert_uint_ge(left, 3); /* points between link and removal */
}
END_TEST

START_TEST(test_death_of_two_replacers_is_repaired_by_the_third) {
    bool first_through = false;
    unsigned deaths = 0;
    for (unsigned n = 1; !first_through; n += 11) {
        bool second_through = false;
        for (unsigned m = 1; !second_through && !first_through; m++) {
            new_victim();
            first_through = get_through(replace, n);
            second_through = get_through(replace, m);
            deaths += !second_through;
            shmkv_t *kv = open_mode(seg_path, SHMKV_READONLY);
            ck_assert_whole(kv);
            if (info_of(kv).incarnation == 1)
                each_bystander(kv, false);
            ck_assert_ok(shmkv_close(kv));
            replace_after_death();
            ck_assert_ok(shmkv_unlink(seg_path));
        }
    }
    printf("replace: %u second deaths\n", deaths);
}
END_TEST

/* ------------------------------------------------------------------- freezing a segment */

static void freeze(void) {
    shmkv_t *kv = open_ok(seg_path, NULL);
    ck_assert_ok(shmkv_freeze(kv));
    ck_assert_ok(shmkv_close(kv));
}

static void check_frozen(shmkv_t *kv, bool frozen) {
    ck_assert_err(shmkv_put(kv, subject, strlen(subject), "x", 1), frozen ? SHMKV_EFROZEN : SHMKV_OK);
    int err = shmkv_delete(kv, subject, strlen(subject));
    ck_assert_err(err, frozen ? SHMKV_EFROZEN : SHMKV_OK);
}

/* proves [LIFE-19] [LIFE-21]: frozen or not, and nobody waits for the dead */
START_TEST(test_death_while_freezing_leaves_a_frozen_segment_or_not) {
    bool through = false;
    unsigned n, frozen_deaths = 0;
    for (n = 1; !through; n++) {
        new_victim();
        shmkv_t *attached = _i ? open_mode(seg_path, SHMKV_EXISTING) : NULL;
        through = get_through(freeze, n);
        shmkv_t *kv = open_mode(seg_path, SHMKV_READONLY);
        ck_assert_whole(kv);
        each_bystander(kv, false);
        bool frozen = info_of(kv).frozen;
        ck_assert(frozen || !through);
        frozen_deaths += frozen;
        ck_assert_ok(shmkv_close(kv));
        if (attached)
            check_frozen(attached, frozen);
        ck_assert_ok(shmkv_close(attached));
        kv = open_mode(seg_path, SHMKV_EXISTING);
        check_frozen(kv, frozen);
        each_bystander(kv, false);
        ck_assert_ok(shmkv_freeze(kv));
        check_frozen(kv, true);
        ck_assert_ok(shmkv_close(kv));
        check_settled();
        ck_assert_ok(shmkv_unlink(seg_path));
    }
    printf("freeze: %u deaths, %u frozen\n", n - 2, frozen_deaths);
    ck_assert_uint_gt(frozen_deaths, 1);
}
END_TEST

/* Dead in the middle of anything, and then frozen: what [LIFE-21] lets go on. */
START_TEST(test_freeze_after_a_death_keeps_old_or_new_and_loses_nothing) {
    if (!has_turn(_i))
        return;
    scenario = &scenarios[_i];
    prepare_base();
    bool through = false;
    for (unsigned n = 1; !through; n += 1 + n / 8) {
        file_copy(base_path, seg_path);
        shmkv_t *kv = open_ok(seg_path, NULL);
        through = get_through(act, n);
        enum outcome outcome = look_at_once();
        ck_assert_ok(shmkv_freeze(kv));
        ck_assert_int_eq(look_at_once(), outcome);
        ck_assert_ok(shmkv_close(kv));
        ck_assert_ok(shmkv_close(open_ok(seg_path, NULL)));
        ck_assert_int_eq(look_at_once(), outcome);
        check_settled();
        unlink(seg_path);
    }
    forget_files();
}
END_TEST

/* -------------------------------------------------------------------- loading a dump */

static int dump_fd;

static void load_replacing(void) {
    shmkv_t *kv = open_ok(seg_path, NULL);
    ck_assert_int_eq(lseek(dump_fd, 0, SEEK_SET), 0);
    ck_assert_ok(shmkv_load(kv, dump_fd, SHMKV_LOAD_REPLACE, NULL));
    ck_assert_ok(shmkv_close(kv));
}

static void make_dump(void) {
    shmkv_t *kv = open_ok(seg_path, NULL);
    put_text(kv, "fresh", "new");
    dump_fd = memfd_create("dump", 0);
    ck_assert_int_ge(dump_fd, 0);
    ck_assert_ok(shmkv_dump(kv, dump_fd, 0, NULL));
    ck_assert_ok(shmkv_delete(kv, "fresh", 5));
    put_text(kv, "only old", "old");
    ck_assert_ok(shmkv_close(kv));
}

/* All of the old, or all of the new, and nothing of both. */
static enum outcome look_at_loaded(shmkv_t *kv) {
    ck_assert_whole(kv);
    each_bystander(kv, false);
    bool new = info_of(kv).incarnation == 2;
    ck_assert_value(kv, "fresh", new ? "new" : NULL);
    ck_assert_value(kv, "only old", new ? NULL : "old");
    return new ? NEW : OLD;
}

/* A load that dies; then one that does not. True if the first got through. */
static bool load_dies(unsigned n, const char *at, enum outcome *outcome) {
    new_victim();
    make_dump();
    shmkv_t *reader = open_mode(seg_path, SHMKV_READONLY);
    armed_at = at;
    bool through = get_through(load_replacing, n);
    armed_at = NULL;
    shmkv_t *kv = open_mode(seg_path, SHMKV_EXISTING);
    *outcome = look_at_loaded(kv);
    ck_assert_int_eq(look_at_loaded(reader), *outcome);
    ck_assert(!through || *outcome == NEW);
    ck_assert_ok(shmkv_close(reader));
    ck_assert_ok(shmkv_close(kv));
    if (*outcome == OLD)
        load_replacing();
    kv = open_mode(seg_path, SHMKV_EXISTING);
    ck_assert_int_eq(look_at_loaded(kv), NEW);
    ck_assert_ok(shmkv_close(kv));
    check_settled();
    close(dump_fd);
    replace(); /* clears what may lie at the swap name */
    ck_assert_uint_eq(directory_count(scratch_dir()), 1);
    ck_assert_ok(shmkv_unlink(seg_path));
    return through;
}

/* proves [DUMP-08]. Every segment has a seed of its own, and so another number of
 * points: those around the replacement are called by their names. */
START_TEST(test_death_while_loading_replaces_all_or_nothing) {
    static const struct {
        const char *at;
        enum outcome expected;
    } named[] = {{"load-before-replace", OLD},     {"replace-after-replacing", OLD},
                 {"replace-before-exchange", OLD}, {"replace-after-exchange", NEW},
                 {"replace-after-state", NEW}};
    enum outcome outcome;
    unsigned n = 1;
    for (; !load_dies(n, NULL, &outcome); n += 1 + n / 16)
        ;
    printf("load: died at points up to %u\n", n);
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        ck_assert(!load_dies(0, named[i].at, &outcome));
        ck_assert_int_eq(outcome, named[i].expected);
    }
}
END_TEST

/* Dead in the middle of anything, and then the machine was started anew: the first writer
 * verifies, and finds the segment whole before anything is repaired. proves [LIFE-22] */
START_TEST(test_reboot_after_a_death_finds_a_whole_segment) {
    if (!has_turn(_i))
        return;
    scenario = &scenarios[_i];
    prepare_base();
    struct shmkv_stats undisturbed = run_undisturbed();
    bool through = false;
    for (unsigned n = 1; !through; n += 1 + n / 8) {
        file_copy(base_path, seg_path);
        through = get_through(act, n);
        uint64_t other = 1;
        file_patch(seg_path, offsetof(header_t, boot), &other, sizeof other);
        enum outcome outcome = look_at_once();
        repair();
        file_read(seg_path, offsetof(header_t, boot), &other, sizeof other);
        ck_assert_uint_eq(other, boot_word());
        repair_and_repeat(outcome, &undisturbed);
        unlink(seg_path);
    }
    forget_files();
}
END_TEST

/* ------------------------------------------------------------------------------ all */

START_TEST(test_every_fault_point_has_been_died_at) {
    unsigned missed = 0;
    for (size_t i = 0; i < POINT_COUNT; i++) {
        printf("%6u %s\n", tally->deaths[i], points[i]);
        missed += tally->deaths[i] == 0;
    }
    printf("%u children\n", tally->runs);
    ck_assert_uint_eq(missed, 0);
}
END_TEST

static Suite *crash_suite(void) {
    Suite *s = suite_create("crash");
    TCase *tc = case_new(s, "one death");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, test_death_at_any_point_leaves_old_or_new_and_loses_nothing, 0, 2 * SCENARIO_COUNT);
    tcase_add_test(tc, test_death_while_taking_the_place_of_the_dead_loses_nothing);
    tcase_add_test(tc, test_death_while_creating_leaves_nothing_or_a_whole_segment);
    tcase_add_loop_test(tc, test_death_while_replacing_leaves_the_old_or_the_new_segment, 0, 2);
    tcase_add_loop_test(tc, test_death_while_replacing_leaves_nothing_for_long, 0, 2);
    tc = case_new(s, "whole segments");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, test_death_while_freezing_leaves_a_frozen_segment_or_not, 0, 2);
    tcase_add_loop_test(tc, test_freeze_after_a_death_keeps_old_or_new_and_loses_nothing, 0, SCENARIO_COUNT);
    tcase_add_test(tc, test_death_while_loading_replaces_all_or_nothing);
    tcase_add_loop_test(tc, test_reboot_after_a_death_finds_a_whole_segment, 0, SCENARIO_COUNT);
    tc = case_new(s, "two deaths");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, test_death_of_the_repairer_at_any_point_is_repaired_as_well, 0, 2 * SCENARIO_COUNT);
    tcase_add_test(tc, test_death_of_two_replacers_is_repaired_by_the_third);
    tc = case_new(s, "all points");
    tcase_add_test(tc, test_every_fault_point_has_been_died_at);
    return s;
}

int main(void) {
    tally = shared_memory(sizeof *tally);
    turn = random_u64() % TURNS;
    return suite_main(crash_suite());
}
