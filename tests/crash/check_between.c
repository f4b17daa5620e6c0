/*
 * What others see and do between two steps of ours. They do so at fault points, in our own process,
 * and so at exactly that moment.
 */
#include <string.h>
#include <unistd.h>

#include "tests/support/checks.h"

static const char *name;
static shmkv_t *kv;
static const char *point; /* at which it happens, whenever it is passed; NULL: nowhere */
static void (*happens)(void);
static unsigned times;

void shmkv_fault_point(const char *passed) {
    const char *here = point;
    if (!here || strcmp(passed, here) != 0)
        return;
    point = NULL; /* what happens has fault points of its own */
    happens();
    point = here;
    times++;
}

static void at(const char *p, void (*what)(void)) {
    point = p;
    happens = what;
    times = 0;
}

static void set_up(void) { name = unique_name(); }
static void tear_down(void) { finish(kv, name); }

/* ------------------------------------------------------------------------------ claim */

static struct gate bound;

static void bind_and_wait(void *arg) {
    (void)arg;
    shmkv_t *mine = open_ok(name, NULL);
    ck_assert_ok(shmkv_put_item(mine, "k", 1,
                                &(struct shmkv_item){.data = "v", .len = 1, .flags = SHMKV_BOUND}));
    gate_open(&bound);
    for (;;)
        pause();
}

/* Its owner lock is ours by now, and for our other threads nothing else says that he is dead. */
static void look_for_the_key(void) {
    ck_assert(!slot_is_ours(segment_of(kv), 1));
    ck_assert_err(shmkv_exists(kv, "k", 1), SHMKV_ENOTFOUND);
}

/* proves [LOCK-28] */
START_TEST(test_slot_of_the_dead_is_not_ours_before_it_has_another_generation) {
    kv = open_ok(name, NULL);
    bound = gate_new();
    pid_t pid = child_start(bind_and_wait, NULL);
    ck_assert(gate_wait_from(&bound, pid));
    ck_assert(child_kill(pid));
    struct context *first = context_of(kv);
    at("condemn-after", look_for_the_key);
    struct context *second;
    ck_assert_ok(context_acquire(segment_of(kv), &second));
    point = NULL;
    ck_assert_uint_eq(times, 1);
    ck_assert_uint_eq(second->slot, 1);
    context_release(second);
    context_release(first);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("between");
    TCase *tc = case_new(suite, "claim");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_slot_of_the_dead_is_not_ours_before_it_has_another_generation);
    return suite_main(suite);
}
