/*
 * More writers than owner slots.
 *
 * A segment with few slots, from one on. Those who got one keep it while another opens:
 * SHMKV_ENOSLOTS, with the number and what to do; readers are not concerned. When one
 * closes, is killed, or is killed while it is stopped, the next gets in. Threads of one
 * handle take turns with the slots there are. Many processes that come and go, repeating
 * what ENOSLOTS refused, lose no update.
 *
 * Exit status: 0 all well, 1 a violation.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/support/must.h"
#include "tests/support/support.h"

#define THREADS 8
#define COMERS 12
#define ROUNDS 40
#define UPDATES 300

static const char *path;
static unsigned slots;
static struct gate ready, go;

static int open_one(int mode, shmkv_t **kv) {
    struct shmkv_options opts = {.size = sizeof opts, .mode = mode, .owner_slots = slots};
    return shmkv_open(path, &opts, kv);
}

static void whole(shmkv_t *kv) {
    uint64_t problems;
    MUST(shmkv_verify(kv, NULL, NULL, &problems) == SHMKV_OK);
}

static void refused(void) {
    shmkv_t *kv;
    char text[40];
    for (int mode = SHMKV_SHARED; mode <= SHMKV_EXISTING; mode++) {
        MUST(open_one(mode, &kv) == SHMKV_ENOSLOTS && !kv);
        snprintf(text, sizeof text, "has %u slots", slots);
        MUST(strstr(shmkv_error_detail(), text) &&
             strstr(shmkv_error_detail(), "close some handles"));
    }
}

static void reader_sees(const char *key, bool there) {
    shmkv_t *kv;
    MUST(open_one(SHMKV_READONLY, &kv) == SHMKV_OK);
    MUST(shmkv_exists(kv, key, strlen(key)) == (there ? SHMKV_OK : SHMKV_ENOTFOUND));
    whole(kv);
    MUST(shmkv_close(kv) == SHMKV_OK);
}

/* ------------------------------------------------------------------------ keepers */

static void keep_a_slot(void *arg) {
    const char *key = arg;
    shmkv_t *kv;
    MUST(open_one(SHMKV_SHARED, &kv) == SHMKV_OK);
    MUST(shmkv_put(kv, key, strlen(key), key, strlen(key)) == SHMKV_OK);
    gate_open(&ready);
    MUST(gate_wait(&go));
    MUST(shmkv_close(kv) == SHMKV_OK);
}

/* Waits for nothing: the others are waiting at the gate, and one of them would be let go instead.
 */
static void come_and_go_at_once(void *arg) {
    const char *key = arg;
    shmkv_t *kv;
    MUST(open_one(SHMKV_SHARED, &kv) == SHMKV_OK);
    MUST(shmkv_put(kv, key, strlen(key), key, strlen(key)) == SHMKV_OK);
    MUST(shmkv_close(kv) == SHMKV_OK);
}

static void newcomer(const char *key) {
    MUST(child_succeeded(child_start(come_and_go_at_once, (void *)(uintptr_t)key)));
}

static void keepers(void) {
    pid_t pids[16];
    char keys[16][8];
    snprintf(story, sizeof story, "%u slots", slots);
    ready = gate_new();
    go = gate_new();
    for (unsigned i = 0; i < slots; i++) {
        snprintf(keys[i], sizeof keys[i], "k%u", i);
        pids[i] = child_start(keep_a_slot, keys[i]);
        MUST(gate_wait(&ready));
    }
    refused();
    reader_sees(keys[slots - 1], true);
    reader_sees("newcomer", false);
    MUST(child_kill(pids[0])); /* killed: its slot is free at once */
    newcomer("newcomer");
    reader_sees("newcomer", true);
    reader_sees("k0", true);
    pids[0] = child_start(keep_a_slot, keys[0]);
    MUST(gate_wait(&ready));
    refused();
    MUST(child_stop(pids[0]));
    refused(); /* one that is stopped is not robbed */
    MUST(child_kill(pids[0]));
    pids[0] = child_start(keep_a_slot, keys[0]);
    MUST(gate_wait(&ready));
    refused();
    for (unsigned i = 0; i < slots; i++)
        gate_open(&go);
    for (unsigned i = 0; i < slots; i++)
        MUST(child_succeeded(pids[i]));
    newcomer("last"); /* all closed */
    MUST(shmkv_unlink(path) == SHMKV_OK);
}

/* ------------------------------------------------------------------------ threads */

static shmkv_t *shared;

static void *update(void *arg) {
    unsigned me = *(unsigned *)arg;
    for (unsigned i = 1; i <= UPDATES; i++)
        MUST(shmkv_put(shared, &me, sizeof me, &i, sizeof i) == SHMKV_OK);
    return NULL;
}

/* The first context has the handle's own slot; the others get those that are left. */
static void threads(void) {
    pthread_t ids[THREADS];
    unsigned numbers[THREADS], got;
    snprintf(story, sizeof story, "%u slots, %u threads", slots, THREADS);
    MUST(open_one(SHMKV_SHARED, &shared) == SHMKV_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        MUST(pthread_create(&ids[i], NULL, update, &numbers[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        MUST(pthread_join(ids[i], NULL) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        MUST(shmkv_get(shared, &i, sizeof i, &got, sizeof got, NULL) == SHMKV_OK && got == UPDATES);
    whole(shared);
    MUST(shmkv_close(shared) == SHMKV_OK);
    reader_sees("nobody", false);
    MUST(shmkv_unlink(path) == SHMKV_OK);
}

/* -------------------------------------------------------------------- come and go */

static struct crowd {
    _Atomic(uint64_t) refusals;
    _Atomic(unsigned) inside, most;
} * crowd;

static void come_and_go(void *arg) {
    unsigned me = *(unsigned *)arg;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        shmkv_t *kv;
        int err;
        while ((err = open_one(SHMKV_SHARED, &kv)) == SHMKV_ENOSLOTS) {
            crowd->refusals++;
            sched_yield();
        }
        MUST(err == SHMKV_OK);
        unsigned now = ++crowd->inside;
        if (now > crowd->most)
            crowd->most = now;
        MUST(now <= slots);
        unsigned last = 0;
        err = shmkv_get(kv, &me, sizeof me, &last, sizeof last, NULL);
        MUST(round == 1 ? err == SHMKV_ENOTFOUND : err == SHMKV_OK && last == round - 1);
        MUST(shmkv_put(kv, &me, sizeof me, &round, sizeof round) == SHMKV_OK);
        crowd->inside--;
        MUST(shmkv_close(kv) == SHMKV_OK);
    }
}

static void crowds(void) {
    pid_t pids[COMERS];
    unsigned numbers[COMERS], got;
    snprintf(story, sizeof story, "%u slots, %u processes", slots, COMERS);
    *crowd = (struct crowd){0};
    for (unsigned i = 0; i < COMERS; i++) {
        numbers[i] = i;
        pids[i] = child_start(come_and_go, &numbers[i]);
    }
    for (unsigned i = 0; i < COMERS; i++)
        MUST(child_succeeded(pids[i]));
    shmkv_t *kv;
    MUST(open_one(SHMKV_EXISTING, &kv) == SHMKV_OK);
    for (unsigned i = 0; i < COMERS; i++)
        MUST(shmkv_get(kv, &i, sizeof i, &got, sizeof got, NULL) == SHMKV_OK && got == ROUNDS);
    whole(kv);
    MUST(shmkv_close(kv) == SHMKV_OK && shmkv_unlink(path) == SHMKV_OK);
    printf("%u slots: %llu times refused, at most %u inside\n", slots,
           (unsigned long long)crowd->refusals, crowd->most);
}

int main(void) {
    names_begin();
    path = scratch_path("slots");
    crowd = shared_memory(sizeof *crowd);
    for (slots = 1; slots <= 4; slots++) {
        keepers();
        threads();
        crowds();
    }
    MUST(names_sweep(true) == 0);
    return 0;
}
