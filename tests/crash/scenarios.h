/*
 * What the crash tests have in common.
 *
 * A scenario prepares a segment, once, at base_path. Then a child does one thing to a
 * copy of it at seg_path: act() attaches, puts or deletes the key "subject", and
 * detaches. Whoever interrupts it calls what follows here to see that nothing was
 * torn or lost. All of these are Check assertions.
 */
#ifndef SHMKV_TESTS_CRASH_SCENARIOS_H
#define SHMKV_TESTS_CRASH_SCENARIOS_H

#include "tests/support/checks.h"

#define ABSENT -1
/* How the subject gets from one to the other. */
enum act {
    PUT_OR_DELETE, ADD, GET_OR_SET, REPLACE, SWAP, TAKE, CAS, CAS_VALUE, DELETE_IF, DELETE_VALUE, INCR, APPEND,
    UPDATE, TOUCH, SWEEP, POP, CLEAR, LOCK, MANY, TRANSACT
};

struct scenario {
    const char *what;
    void (*prepare)(shmkv_t *kv);
    long before, after; /* sizes of the subject's values, or ABSENT; the same: nothing is done */
    unsigned states;    /* of the segment during act(), about */
    enum act act;
};
#define SCENARIO_COUNT 47
extern const struct scenario scenarios[];
void prepare_nothing(shmkv_t *kv);

/* The one under test, and its files. */
extern const struct scenario *scenario;
extern const char *const subject;
extern const char *seg_path, *base_path, *crashed_path;
void prepare_base(void);
void forget_files(void);

/* What children do to seg_path. repair() attaches and detaches, and so reaps and
 * takes over the locks of the dead. */
void act(void);
void act_attached(shmkv_t *kv); /* without attaching and detaching */
void repair(void);
/* Before a child is forked that will act(), so that it need not make the value. */
void make_value_ready(void);

enum outcome { OLD, NEW };

/* A reader's look, before any repair: the segment is whole, the subject has its old
 * or its new value, which is returned, everything else is as it was. */
enum outcome look_at_once(void);
/* Parts of it, for a handle that is open already. Several keys that change together are
 * all old or all new in a snapshot; a get may find some before the others. */
enum outcome outcome_in_snapshot(shmkv_t *kv);
bool in_between(enum outcome outcome); /* does a get perhaps give what was before? */
bool entries_fit(uint64_t n, enum outcome outcome);
bool has_value(shmkv_t *kv, const char *key, long size);
bool is_value(const char *key, long size, const void *got, size_t len);
void each_bystander(shmkv_t *kv, bool put);
void check_cursor(shmkv_t *kv, enum outcome outcome); /* gives each entry once, also over a half-done split */
uint64_t entries_after(enum outcome outcome);

/* A writer's, who was attached when it happened. */
void use_attached(shmkv_t *kv, enum outcome outcome);
/* Nobody is attached: nothing is locked, owned, half done or lost. */
struct shmkv_stats check_settled(void);
/* What is in use after act() without a death. */
struct shmkv_stats run_undisturbed(void);
/* A writer repairs everything; then the dead one's work is done again, and the
 * segment is as if nobody had died. */
void repair_and_repeat(enum outcome outcome, const struct shmkv_stats *undisturbed);

/* The same for EXCLUSIVE: a segment at seg_path, and its replacement by replace(). */
void new_victim(void);
void replace(void);
enum outcome look_at_replaced(shmkv_t *kv);
enum outcome open_and_look(int mode);
void check_attached_follow(shmkv_t *reader, shmkv_t *writer, enum outcome outcome);
void replace_after_death(void);

#endif
