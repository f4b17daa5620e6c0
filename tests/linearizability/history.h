/*
 * Is the recorded history of one key linearizable? A key is a register that may be
 * absent, which is the value 0.
 *
 * The search is Wing and Gong's ("Testing and Verifying Concurrent Objects", 1993) with
 * Lowe's memoisation and his order of looking ("Testing for Linearizability", 2017: just
 * in time): the events are taken as they came, and what is kept is the set of
 * configurations, each a value and which of the calls under way have taken effect. Only
 * a response forces anything: that call must have taken effect by now, after whichever
 * of the others. Where no call is under way a configuration is nothing but a value, so
 * the history falls into short pieces at such points by itself.
 *
 * Three things keep the set small. A call that changes nothing takes effect as soon as its
 * result fits: that never takes a choice from another call. A pending write takes effect
 * only when somebody notices: what is overwritten unseen might as well never have been.
 * And of two configurations that differ in the pending writes used up, the one with fewer
 * stands for both.
 */
#ifndef SHMKV_TESTS_HISTORY_H
#define SHMKV_TESTS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum kind {
    GET,    /* value: what was found, 0 for nothing */
    EXISTS, /* value: 0 or 1 */
    PUT,    /* value: the new one */
    DELETE, /* value: was there anything? 0 or 1 */
};

struct call {
    uint64_t invoke, response; /* response 0: it never came */
    uint64_t value;
    uint32_t key;
    uint8_t kind, who;
};

struct verdict {
    bool ok;
    size_t first, last;      /* if not: the calls of the piece that makes no sense, by invocation */
    uint64_t failed;         /* the response that nothing explains */
    uint64_t before;         /* a value that the key could have had before the piece */
    uint64_t longest;        /* configurations looked at in one piece */
    uint64_t pieces;
    unsigned widest; /* calls under way at once */
};

/* The calls of one key; they are put in order of invocation. It begins absent.
 * At most 64 may be under way at once, counting the pending ones: else the program ends. */
struct verdict history_check(struct call *calls, size_t n);
void history_print(FILE *out, const struct call *calls, const struct verdict *v);

#endif
