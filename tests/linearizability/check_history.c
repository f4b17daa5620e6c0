/* The checker itself, on histories made by hand: it must accept the good and refuse the bad. */
#include "tests/linearizability/looks.h"
#include "tests/support/checks.h"

static struct call call(uint64_t invoke, uint64_t response, enum kind kind, uint64_t value) {
    return (struct call){invoke, response, value, 7, (uint8_t)kind, 0};
}

#define PENDING 0
#define verdict_of(...)                                                   \
    history_check((struct call[]){__VA_ARGS__},                           \
                  sizeof((struct call[]){__VA_ARGS__}) / sizeof(struct call))
#define ck_assert_good(...) ck_assert(verdict_of(__VA_ARGS__).ok)
#define ck_assert_bad(...) ck_assert(!verdict_of(__VA_ARGS__).ok)

START_TEST(one_after_another) {
    ck_assert_good(call(1, 2, GET, 0), call(3, 4, PUT, 5), call(5, 6, GET, 5), call(7, 8, EXISTS, 1),
                   call(9, 10, DELETE, 1), call(11, 12, EXISTS, 0), call(13, 14, DELETE, 0));
    ck_assert_bad(call(1, 2, GET, 5));
    ck_assert_bad(call(1, 2, PUT, 5), call(3, 4, DELETE, 0));
    ck_assert_bad(call(1, 2, EXISTS, 1));
    ck_assert_bad(call(1, 2, DELETE, 1));
}
END_TEST

START_TEST(stale_read) {
    ck_assert_bad(call(1, 2, PUT, 5), call(3, 4, PUT, 6), call(5, 6, GET, 5));
    ck_assert_good(call(1, 2, PUT, 5), call(3, 6, PUT, 6), call(4, 5, GET, 5));
    ck_assert_bad(call(1, 2, PUT, 5), call(3, 4, DELETE, 1), call(5, 6, EXISTS, 1));
}
END_TEST

START_TEST(lost_write) {
    ck_assert_bad(call(1, 2, PUT, 5), call(3, 4, GET, 0));
    /* Two at once: either may be the last, but one of them must have been. */
    ck_assert_good(call(1, 3, PUT, 5), call(2, 4, PUT, 6), call(5, 6, GET, 5));
    ck_assert_good(call(1, 3, PUT, 5), call(2, 4, PUT, 6), call(5, 6, GET, 6));
    ck_assert_bad(call(1, 3, PUT, 5), call(2, 4, PUT, 6), call(5, 6, GET, 0));
    ck_assert_bad(call(1, 3, PUT, 5), call(2, 4, PUT, 6), call(5, 6, GET, 5), call(7, 8, GET, 6));
}
END_TEST

START_TEST(read_from_the_future) {
    ck_assert_bad(call(1, 2, GET, 5), call(3, 4, PUT, 5));
    ck_assert_good(call(1, 3, GET, 5), call(2, 4, PUT, 5));
}
END_TEST

START_TEST(new_old_inversion) {
    ck_assert_bad(call(1, 2, PUT, 5), call(3, 10, PUT, 6), call(4, 5, GET, 6), call(6, 7, GET, 5));
    ck_assert_good(call(1, 2, PUT, 5), call(3, 10, PUT, 6), call(4, 5, GET, 5), call(6, 7, GET, 6));
    /* at the same time, either order will do */
    ck_assert_good(call(1, 2, PUT, 5), call(3, 10, PUT, 6), call(4, 7, GET, 6), call(5, 6, GET, 5));
}
END_TEST

START_TEST(pending_put) {
    ck_assert_good(call(1, PENDING, PUT, 5), call(2, 3, GET, 5));
    ck_assert_good(call(1, PENDING, PUT, 5), call(2, 3, GET, 0));
    /* later, after others */
    ck_assert_good(call(1, PENDING, PUT, 5), call(2, 3, PUT, 6), call(4, 5, GET, 6), call(6, 7, GET, 5));
    /* but once, and not before it began */
    ck_assert_bad(call(1, PENDING, PUT, 5), call(2, 3, GET, 5), call(4, 5, PUT, 6), call(6, 7, GET, 5));
    ck_assert_bad(call(1, 2, GET, 5), call(3, PENDING, PUT, 5));
    /* seen by its trace only */
    ck_assert_good(call(1, PENDING, PUT, 5), call(2, 3, EXISTS, 0), call(4, 5, EXISTS, 1), call(6, 7, DELETE, 1));
}
END_TEST

START_TEST(pending_delete) {
    ck_assert_good(call(1, 2, PUT, 5), call(3, PENDING, DELETE, 0), call(4, 5, GET, 5), call(6, 7, GET, 0));
    ck_assert_bad(call(1, 2, PUT, 5), call(3, PENDING, DELETE, 0), call(4, 5, GET, 0), call(6, 7, GET, 5));
    ck_assert_good(call(1, 2, PUT, 5), call(3, PENDING, GET, 99), call(4, 5, GET, 5));
}
END_TEST

START_TEST(what_is_told) {
    struct call calls[] = {call(1, 2, PUT, 5), call(3, 4, PUT, 6), call(5, 8, PUT, 7), call(6, 7, GET, 5),
                           call(9, 10, GET, 7)};
    struct verdict v = history_check(calls, 5);
    ck_assert(!v.ok);
    ck_assert_uint_eq(v.before, 6);
    ck_assert_uint_eq(v.failed, 7);
    ck_assert_uint_eq(v.first, 2);
    ck_assert_uint_eq(v.last, 4);
}
END_TEST

/* Six writers at once again and again, and 20 that never return: still a short search. */
START_TEST(search_stays_short) {
    enum { ROUNDS = 1000, WRITERS = 6, DEAD = 20 };
    static struct call calls[DEAD + ROUNDS * (WRITERS + 1)];
    size_t n = 0;
    uint64_t t = 1;
    for (uint64_t i = 0; i < DEAD; i++)
        calls[n++] = call(t++, PENDING, PUT, 1000000 + i);
    for (uint64_t r = 0; r < ROUNDS; r++, t += 20) {
        for (uint64_t w = 0; w < WRITERS; w++)
            calls[n++] = call(t + w, t + 10 + w, PUT, 10 * r + w + 1);
        calls[n++] = call(t + 18, t + 19, GET, 10 * r + r % WRITERS + 1);
    }
    struct verdict v = history_check(calls, n);
    ck_assert(v.ok);
    ck_assert_uint_le(v.longest, 100000);
}
END_TEST

/* ------------------------------------------------------- looks at many keys at once */

static struct call of_key(uint32_t key, uint64_t invoke, uint64_t response, enum kind kind, uint64_t value) {
    return (struct call){invoke, response, value, key, (uint8_t)kind, 0};
}

/* Key 1 is put, overwritten and deleted; key 2 is put twice, the second time never to return; key 3 comes late. */
static struct call key_1[3], key_2[2], key_3[1];
static struct key_history histories[] = {{1, key_1, 3, {0}}, {2, key_2, 2, {0}}, {3, key_3, 1, {0}}};

static const struct call *put_among_them(uint64_t value) {
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < histories[k].n; i++)
            if (histories[k].calls[i].kind == PUT && histories[k].calls[i].value == value)
                return &histories[k].calls[i];
    return NULL;
}

static const struct histories three = {histories, 3, put_among_them};

static void make_histories(void) {
    key_1[0] = of_key(1, 10, 20, PUT, 11);
    key_1[1] = of_key(1, 30, 40, PUT, 12);
    key_1[2] = of_key(1, 70, 80, DELETE, 1);
    key_2[0] = of_key(2, 12, 22, PUT, 21);
    key_2[1] = of_key(2, 50, PENDING, PUT, 22);
    key_3[0] = of_key(3, 60, 65, PUT, 31);
    for (size_t k = 0; k < 3; k++)
        timeline_make(&histories[k].timeline, histories[k].calls, histories[k].n);
}

#define sightings(...) ((struct sighting[]){__VA_ARGS__}), sizeof((struct sighting[]){__VA_ARGS__}) / sizeof(struct sighting)

static bool snapshot_is_good(uint64_t invoke, uint64_t response, struct sighting *seen, size_t n) {
    struct look look = {.invoke = invoke, .response = response, .n = n, .kind = LOCKED_SNAPSHOT};
    struct spans when = {0};
    bool good = snapshot_fits(stdout, &three, &look, seen, &when);
    spans_free(&when);
    return good;
}

static bool walk_is_good(uint64_t invoke, uint64_t response, struct sighting *seen, size_t n) {
    struct look look = {.invoke = invoke, .response = response, .n = n, .kind = WALK};
    uint64_t certain = 0;
    return walk_fits(stdout, &three, &look, seen, &certain);
}

START_TEST(snapshot_of_one_moment) {
    make_histories();
    ck_assert(snapshot_is_good(1, 5, NULL, 0));
    ck_assert(snapshot_is_good(41, 45, sightings({21, 2}, {12, 1})));
    ck_assert(snapshot_is_good(31, 45, sightings({11, 1}, {21, 2})));
    ck_assert(snapshot_is_good(51, 59, sightings({12, 1}, {22, 2})));
    ck_assert(snapshot_is_good(71, 75, sightings({22, 2}, {31, 3})));
}
END_TEST

START_TEST(snapshot_of_no_moment) {
    make_histories();
    ck_assert(!snapshot_is_good(41, 45, sightings({11, 1}, {21, 2})));          /* stale */
    ck_assert(!snapshot_is_good(31, 90, sightings({11, 1}, {22, 2})));          /* old and new */
    ck_assert(!snapshot_is_good(31, 90, sightings({11, 1}, {21, 2}, {31, 3}))); /* from the future */
    ck_assert(!snapshot_is_good(51, 90, sightings({21, 2}, {31, 3}, {11, 1})));
    ck_assert(!snapshot_is_good(41, 45, sightings({12, 1})));                   /* one is missing */
    ck_assert(!snapshot_is_good(81, 90, sightings({12, 1}, {21, 2}, {31, 3}))); /* one was deleted */
    ck_assert(!snapshot_is_good(41, 45, sightings({12, 1}, {12, 1}, {21, 2}))); /* twice */
    ck_assert(!snapshot_is_good(41, 45, sightings({12, 1}, {12, 2})));          /* another key's value */
    ck_assert(!snapshot_is_good(41, 45, sightings({12, 1}, {21, 2}, {99, 4}))); /* never put */
}
END_TEST

START_TEST(what_a_walk_must_give) {
    make_histories();
    ck_assert(walk_is_good(23, 69, sightings({11, 1}, {22, 2})));
    ck_assert(walk_is_good(23, 69, sightings({12, 1}, {21, 2}, {31, 3})));
    ck_assert(walk_is_good(11, 90, sightings({21, 2}))); /* key 1 came and went, key 2 was coming */
    ck_assert(!walk_is_good(23, 69, sightings({11, 1})));
    ck_assert(!walk_is_good(23, 69, sightings({11, 1}, {22, 2}, {12, 1})));
    ck_assert(!walk_is_good(41, 69, sightings({11, 1}, {22, 2}))); /* an old value */
}
END_TEST

int main(void) {
    Suite *suite = suite_create("history");
    TCase *c = case_new(suite, "registers");
    tcase_add_test(c, one_after_another);
    tcase_add_test(c, stale_read);
    tcase_add_test(c, lost_write);
    tcase_add_test(c, read_from_the_future);
    tcase_add_test(c, new_old_inversion);
    tcase_add_test(c, pending_put);
    tcase_add_test(c, pending_delete);
    tcase_add_test(c, what_is_told);
    tcase_add_test(c, search_stays_short);
    c = case_new(suite, "looks");
    tcase_add_test(c, snapshot_of_one_moment);
    tcase_add_test(c, snapshot_of_no_moment);
    tcase_add_test(c, what_a_walk_must_give);
    return suite_main(suite);
}
