#include "tests/bench/contender.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/bench/report.h"
#include "tests/bench/ticks.h"

struct contender contenders[STORES];
double tick_rate;

/* Of the space in the directory, and of the machine's free memory. */
#define SHARE_OF_ROOM 0.8

static void remove_files(struct contender *c) {
    if (c->path[0])
        unlink(c->path);
    if (c->second_path[0])
        unlink(c->second_path);
}

/* The workers hold no files by name, and die with us. */
static void interrupted(int signal_number) {
    for (unsigned i = 0; i < STORES; i++)
        remove_files(&contenders[i]);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void contenders_init(void) {
    tick_rate = ticks_per_ns();
    static const int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (unsigned i = 0; i < sizeof deadly / sizeof *deadly; i++)
        signal(deadly[i], interrupted);
}

static void begin(struct contender *c, const struct store *store, const struct options *o,
                  const struct store_setup *setup) {
    c->store = store;
    snprintf(c->path, sizeof c->path, "%s/shmkv-bench.%ld.%s", o->dir, (long)getpid(), store->name);
    if (store->second_file)
        snprintf(c->second_path, sizeof c->second_path, "%.*s%s", PATH_MAX - 16, c->path,
                 store->second_file);
    for (unsigned i = 0; i < MAX_PROCESSES; i++) {
        c->jobs[i] = (struct job){.store = store,
                                  .setup = *setup,
                                  .whole = o->check,
                                  /* Every store sees the same operations, every process its own. */
                                  .seed = o->seed * 1000003 + i};
        c->jobs[i].setup.path = c->path;
    }
}

void contenders_begin(const struct options *o, const struct store_setup *setup,
                      bool (*fits)(const struct store *)) {
    for (unsigned i = 0; i < STORES; i++)
        if (o->chosen[i] && stores[i]->create && (!fits || fits(stores[i])))
            begin(&contenders[i], stores[i], o, setup);
}

void contender_stop(struct contender *c) {
    while (c->started)
        worker_end(&c->workers[--c->started]);
    remove_files(c);
}

void contenders_end(void) {
    for (unsigned i = 0; i < STORES; i++) {
        contender_stop(&contenders[i]);
        contenders[i].store = NULL;
        contenders[i].path[0] = contenders[i].second_path[0] = '\0';
    }
}

struct contender *contender_in_turn(unsigned round, unsigned i) {
    struct contender *c = &contenders[round % 2 ? STORES - 1 - i : i];
    return c->store ? c : NULL;
}

bool contender_complain(const struct contender *c, const char *trouble) {
    fprintf(stderr, "bench: %s: %s\n", c->store->name, trouble);
    return false;
}

bool contender_start(struct contender *c) {
    if (!worker_start(&c->workers[c->started], &c->jobs[c->started]))
        return contender_complain(c, strerror(errno));
    c->started++;
    return true;
}

bool contender_order(struct contender *c, unsigned worker, const struct order *order) {
    return worker_order(&c->workers[worker], order) || contender_complain(c, "a process died");
}

const struct answer *contender_wait(struct contender *c, unsigned worker) {
    const struct answer *answer = c->workers[worker].answer;
    bool ok = worker_wait(&c->workers[worker]) || contender_complain(c, "a process died");
    if (ok && answer->trouble[0])
        ok = contender_complain(c, answer->trouble);
    return ok ? answer : NULL;
}

const struct answer *contender_add(struct contender *c, const struct order *order) {
    if (!contender_start(c) || !contender_order(c, c->started - 1, order))
        return NULL;
    return contender_wait(c, c->started - 1);
}

uint64_t contender_bytes(const struct contender *c) {
    struct stat st;
    return stat(c->path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

/* ------------------------------------------------------------------------- room */

static double free_room(const char *dir) {
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0)
        return INFINITY; /* the stores will say why */
    double room = (double)fs.f_bavail * (double)fs.f_frsize;
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    unsigned long kib;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %lu kB", &kib) == 1)
            room = fmin(room, (double)kib * 1024);
    if (f)
        fclose(f);
    return room;
}

bool contenders_have_room(const struct options *o, const struct dataset *data) {
    double need = 0, room = free_room(o->dir);
    for (unsigned i = 0; i < STORES; i++)
        if (o->chosen[i] && stores[i]->create)
            need +=
                (double)data->keys * (KEY_SIZE + (double)data->value_size + 64) * stores[i]->room;
    if (need <= room * SHARE_OF_ROOM)
        return true;
    static const struct column none[] = {{0}};
    struct result r = result_begin("left-out", "left out, for want of room", none);
    result_parameter(&r, "keys", (double)data->keys);
    result_parameter(&r, "value_size", (double)data->value_size);
    result_parameter(&r, "needs_bytes", need);
    result_parameter(&r, "free_bytes", room);
    report_result(&r);
    return false;
}
