/*
 * Fifty processes open a name that does not exist, all at once, some of them are killed by
 * SIGKILL while they do, and so a thousand times. One segment wins: every survivor is
 * attached to it, can write, read and verify at once, finds what the others wrote, and
 * nothing else is left behind, under no name and under none.
 *
 * The names are plain ones, files, and files where there is no O_TMPFILE (the linker puts an open()
 * of ours in front of the library's). The processes are kept for all rounds, wait for a word in
 * shared memory, and only those killed are replaced.
 *
 * proves [LIFE-01] [LIFE-02]
 *
 * Arguments: rounds, creators. SHMKV_TEST_SEED chooses who is killed, and about when.
 */
#include "tests/races/races.h"

#include <stdarg.h>

#define MOST_CREATORS 200
#define MOST_KILLS 6 /* of a round */

enum kind { PLAIN, PATH, NO_TMPFILE, KINDS };
static const char *const kind_names[] = {"plain names", "paths", "paths without O_TMPFILE"};

static struct meeting {
    struct event phase;    /* odd: create, even: close */
    struct event arrivals; /* somebody has done so */
    enum kind kind;
    char name[PATH_MAX];
    struct creator {
        uint32_t reached; /* phase */
        uint64_t incarnation;
        uint8_t uuid[16];
    } creators[MOST_CREATORS];
} * meet;

static unsigned creator_count;
static pid_t pids[MOST_CREATORS];
static uint32_t phase_at_start; /* of those that are being started */

/* ------------------------------------------------------------------ without O_TMPFILE */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

int __wrap_open(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, int) : 0;
    va_end(args);
    if ((flags & O_TMPFILE) == O_TMPFILE && meet && meet->kind == NO_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return __real_open(path, flags, mode);
}

/* --------------------------------------------------------------------------- creators */

static void value_of(uint32_t me, uint32_t phase, uint64_t value[4]) {
    for (uint64_t i = 0; i < 4; i++)
        value[i] = ((uint64_t)phase << 32 | me) * (2 * i + 1);
}

static void must_have(shmkv_t *kv, uint32_t who, uint32_t phase) {
    uint64_t value[4], expected[4];
    size_t len;
    must(shmkv_get(kv, &who, sizeof who, value, sizeof value, &len));
    value_of(who, phase, expected);
    if (len != sizeof expected || memcmp(value, expected, sizeof expected) != 0)
        die("%s: what %u wrote is not what it was", meet->name, who);
}

/* Whole at first sight, and of use. */
static void use_at_once(shmkv_t *kv, uint32_t me, uint32_t phase) {
    struct shmkv_info info = {.size = sizeof info};
    uint64_t value[4];
    must(shmkv_info(kv, &info));
    if (info.incarnation != 1 || info.state != SHMKV_SEGMENT_STATE_LIVE)
        die("%s is incarnation %llu in state %u", meet->name, (unsigned long long)info.incarnation,
            info.state);
    value_of(me, phase, value);
    must(shmkv_put(kv, &me, sizeof me, value, sizeof value));
    must_have(kv, me, phase);
    if ((me + phase) % 8 == 0) { /* every eighth, as it takes longest */
        int err = shmkv_verify(kv, print_problem, NULL, NULL);
        if (err && err != SHMKV_EBUSY)
            die("%s: verify: %s (%s)", meet->name, shmkv_strerror(err), shmkv_error_detail());
    }
    meet->creators[me].incarnation = info.incarnation;
    memcpy(meet->creators[me].uuid, info.uuid, sizeof info.uuid);
}

static void arrive(uint32_t me, uint32_t phase) {
    __atomic_store_n(&meet->creators[me].reached, phase, __ATOMIC_SEQ_CST);
    event_happens(&meet->arrivals);
}

static void create_for_ever(void *arg) {
    uint32_t me = (uint32_t)(uintptr_t)arg, phase = phase_at_start;
    struct shmkv_options opts = {.size = sizeof opts, .owner_slots = MOST_CREATORS + 8};
    for (;;) {
        shmkv_t *kv;
        event_reach(&meet->phase, ++phase);
        must(shmkv_open(meet->name, &opts, &kv));
        use_at_once(kv, me, phase);
        arrive(me, phase);
        event_reach(&meet->phase, ++phase);
        must(shmkv_close(kv));
        arrive(me, phase);
    }
}

/* ----------------------------------------------------------------------------- rounds */

static void wait_for_all(uint32_t phase) {
    for (uint64_t deadline = now_ns() + 60000000000u;;) {
        uint32_t seen = event_count(&meet->arrivals), missing = 0, who = 0;
        for (uint32_t i = 0; i < creator_count; i++)
            if (pids[i] && __atomic_load_n(&meet->creators[i].reached, __ATOMIC_SEQ_CST) != phase)
                missing++, who = i;
        if (!missing)
            return;
        must_live(pids[who], "a creator");
        if (now_ns() > deadline)
            die("%u creators hang", missing);
        event_wait(&meet->arrivals, seen);
    }
}

static void start_the_missing(void) {
    phase_at_start = event_count(&meet->phase);
    for (uint32_t i = 0; i < creator_count; i++)
        if (!pids[i])
            pids[i] = child_start(create_for_ever, (void *)(uintptr_t)i);
}

/* Some, while they are at it. */
static unsigned kill_some(struct random *r, uint64_t round_ns) {
    unsigned n = (unsigned)random_below(r, MOST_KILLS + 1), killed = 0;
    for (unsigned i = 0; i < n; i++) {
        uint32_t victim = (uint32_t)random_below(r, creator_count);
        pass_time(r, random_below(r, round_ns) / n); /* rather at the beginning */
        if (!pids[victim])
            continue;
        if (!child_kill(pids[victim]))
            die("creator %u had ended by itself", victim);
        pids[victim] = 0;
        killed++;
    }
    return killed;
}

static void check_survivors(uint32_t phase) {
    struct shmkv_info info = {.size = sizeof info};
    struct shmkv_options opts = {.size = sizeof opts, .mode = SHMKV_EXISTING};
    shmkv_t *kv;
    must(shmkv_open(meet->name, &opts, &kv));
    must(shmkv_info(kv, &info));
    for (uint32_t i = 0; i < creator_count; i++) {
        if (!pids[i])
            continue;
        if (memcmp(meet->creators[i].uuid, info.uuid, sizeof info.uuid) != 0)
            die("%s: creator %u is attached to another segment", meet->name, i);
        must_have(kv, i, phase);
    }
    must_be_whole(kv);
    must(shmkv_close(kv));
}

/* After all have closed: the dead are cleaned up after, and the segment is all there is. */
static void check_what_is_left(const char *dir, unsigned others, unsigned killed,
                               unsigned *private_files) {
    shmkv_t *kv;
    struct shmkv_stats st = {.size = sizeof st};
    must(shmkv_open(meet->name, NULL, &kv));
    must(shmkv_stats(kv, &st));
    if (st.owners_live != 1)
        die("%s: %u owners are left", meet->name, st.owners_live - 1);
    if (directory_count(dir) >
        others + *private_files + 1 + (meet->kind == NO_TMPFILE ? killed : 0))
        die("%s: %u other things are left in %s", meet->name, directory_count(dir) - others - 1,
            dir);
    finish(kv, meet->name);
    *private_files = directory_count(dir) - others;
    if (meet->kind != NO_TMPFILE && *private_files)
        die("%s: %u things are left in %s", meet->name, *private_files, dir);
}

/* What a creator leaves that is killed where there is no O_TMPFILE; nobody looks at it. */
static void remove_private_files(const char *dir) {
    char command[PATH_MAX + 64];
    snprintf(command, sizeof command, "rm -f %s/.shmkv-new-????????????????", dir);
    if (system(command) != 0)
        die("%s", command);
}

struct tally {
    unsigned rounds, kills, private_files;
};

static void play(unsigned n, const char *dir, struct random *r, uint64_t *round_ns,
                 struct tally *t) {
    static unsigned left;
    unsigned others = strcmp(dir, "/dev/shm") == 0; /* the directory of the paths */
    snprintf(meet->name, sizeof meet->name, "%s%sround-%u", meet->kind == PLAIN ? "" : dir,
             meet->kind == PLAIN ? "" : "/", n);
    if (meet->kind == NO_TMPFILE)
        left = t->private_files;
    else
        left = 0;
    uint32_t phase = event_count(&meet->phase) + 1;
    uint64_t before = now_ns();
    event_happens(&meet->phase);
    unsigned killed = kill_some(r, *round_ns);
    wait_for_all(phase);
    if (!killed)
        *round_ns = (*round_ns * 3 + now_ns() - before) / 4;
    check_survivors(phase);
    event_happens(&meet->phase);
    wait_for_all(phase + 1);
    check_what_is_left(dir, others, killed, &left);
    if (meet->kind == NO_TMPFILE)
        t->private_files = left;
    t->rounds++;
    t->kills += killed;
}

static int run(int argc, char **argv) {
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 1000;
    creator_count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 50;
    if (creator_count < 2 || creator_count > MOST_CREATORS)
        die("2 to %d creators", MOST_CREATORS);
    struct random r = random_begin("creators");
    struct place_of_segments place = place_make();
    meet = shared_memory(sizeof *meet);
    struct tally tally[KINDS] = {{0}};
    uint64_t round_ns = 1000000;
    const char *files = scratch_dir();
    for (unsigned n = 0; n < rounds; n++) {
        /* One kind after the other: what is left is counted by kind. */
        meet->kind = (enum kind)((uint64_t)n * KINDS / rounds);
        if (meet->kind == PLAIN && !place.own_shm)
            meet->kind = PATH;
        start_the_missing();
        play(n, meet->kind == PLAIN ? place.dir : files, &r, &round_ns, &tally[meet->kind]);
    }
    for (uint32_t i = 0; i < creator_count; i++)
        if (pids[i] && !child_kill(pids[i]))
            die("creator %u had ended by itself", i);
    remove_private_files(files);
    if (rmdir(files) != 0 && errno != ENOENT)
        die("%s is not empty", files);
    if (place.own_shm)
        place_must_be_empty(&place);
    for (int k = 0; k < KINDS; k++)
        printf("%s: %u rounds of %u creators, %u killed; %u private files of the killed\n",
               kind_names[k], tally[k].rounds, creator_count, tally[k].kills,
               tally[k].private_files);
    return 0;
}

int main(int argc, char **argv) { return supervise(run, argc, argv); }
