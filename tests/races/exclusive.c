/*
 * Eight processes open a name EXCLUSIVE over and over while eight others, attached all along,
 * put, get, walk and count: ten thousand replacements. Three parts: in peace; with both
 * kinds killed by SIGKILL at any moment; and with others that unlink the name and create it.
 *
 * Every call of a user succeeds or fails in a way that its description names; handles move
 * by themselves, or with SHMKV_STAY say ESTALE. A value names its key and the segment it was
 * written for, and has a checksum: none is torn, and none is met in another segment. Each
 * replacer gets a whole segment, every replacement counts (the incarnation grows by
 * one), and the last one has the name. At the end nothing else is left: no
 * object, no nameless memory, no descriptor and no mapping of those who were there all along.
 *
 * proves [LIFE-11] [LIFE-12] [LIFE-13] [LIFE-14] [LIFE-15] [LIFE-16]
 *
 * Argument: replacements. SHMKV_TEST_SEED chooses the operations, who is killed, and about when.
 */
#include "tests/races/races.h"

#define USERS 8
#define REPLACERS 8
#define OUTSIDERS 2 /* that unlink and create */
#define PEOPLE (USERS + REPLACERS + OUTSIDERS)
#define KEYS 16 /* of each user */

enum phase { PEACE, KILLS, UNLINKS, PARTS };
static const char *const part_names[] = {"in peace", "with kills", "with unlinks"};

static struct meeting {
    struct event swaps;   /* a replacement succeeded */
    struct event stop;    /* all are to finish, */
    struct event stopped; /* and somebody has */
    enum phase part;
    uint32_t wanted; /* replacements of this part */
    struct person {
        uint64_t calls, moves, stale, absent, swaps, unlinks;
    } people[PEOPLE];
} * meet;

static const char *name;
static uint64_t run_seed;
static uint32_t wanted_stop; /* of those that are being started */

static bool stopping(void) { return event_count(&meet->stop) > wanted_stop; }

/* ---------------------------------------------------------------------------- values */

/* A key of one who stays says which segment its value belongs to: no other may have it. */
struct key {
    uint32_t user, number, stays;
};
struct value {
    struct key key;
    uint32_t length; /* of all of it */
    uint8_t uuid[16];
    uint64_t sum;
    uint8_t more[2000];
};
#define VALUE_LEAST offsetof(struct value, more)

static uint64_t sum_of(const struct value *v) {
    return hash_bytes(v, offsetof(struct value, sum),
                      hash_bytes(v->more, v->length - VALUE_LEAST, 7));
}

static void make_value(struct value *v, const struct key *key, const uint8_t uuid[16],
                       struct random *r) {
    v->key = *key;
    v->length = (uint32_t)(VALUE_LEAST + random_below(r, sizeof v->more));
    memcpy(v->uuid, uuid, 16);
    memset(v->more, (int)random_next(r), v->length - VALUE_LEAST);
    v->sum = sum_of(v);
}

static void check_value(const struct value *v, size_t len, const void *key, size_t key_len) {
    if (len < VALUE_LEAST || len != v->length || v->sum != sum_of(v))
        die("a value of %zu bytes is torn", len);
    if (key_len != sizeof v->key || memcmp(&v->key, key, key_len) != 0)
        die("a value is that of another key");
}

/* ----------------------------------------------------------------------------- calls */

struct user {
    struct person *person;
    shmkv_t *kv;
    struct random r;
    uint32_t me, stays;
    uint8_t last[16]; /* the segment it was in last */
};

/* What a call may answer besides success. True: it did not succeed, and that is in order. */
static bool excused(struct user *u, int err, const char *call) {
    u->person->calls++;
    switch (err) {
    case SHMKV_OK:
        return false;
    case SHMKV_ENOTFOUND:
        return true;
    case SHMKV_ESTALE:
        u->person->stale++;
        if (u->stays || strcmp(call, "step") == 0)
            return true;
        break;
    case SHMKV_ENOSEGMENT: /* the name was unlinked; it comes back */
        u->person->absent++;
        if (meet->part == UNLINKS)
            return true;
        break;
    }
    die("%s: %s (%s)", call, shmkv_strerror(err), shmkv_error_detail());
}

/* Which segment the handle leads to. False: to none at the moment. */
static bool segment_now(struct user *u, uint8_t uuid[16]) {
    struct shmkv_info info = {.size = sizeof info};
    if (excused(u, shmkv_info(u->kv, &info), "info"))
        return false;
    memcpy(uuid, info.uuid, 16);
    u->person->moves += memcmp(u->last, uuid, 16) != 0;
    memcpy(u->last, uuid, 16);
    return true;
}

static void put_one(struct user *u, const uint8_t uuid[16]) {
    struct key key = {u->me, (uint32_t)random_below(&u->r, KEYS), u->stays};
    struct value v;
    make_value(&v, &key, uuid, &u->r);
    excused(u, shmkv_put(u->kv, &key, sizeof key, &v, v.length), "put");
}

/* Somebody's. What one who stays has written must be of this segment. */
static void get_one(struct user *u) {
    struct key key = {(uint32_t)random_below(&u->r, USERS), (uint32_t)random_below(&u->r, KEYS),
                      (uint32_t)random_below(&u->r, 2)};
    struct value v;
    uint8_t before[16], after[16];
    size_t len;
    if (!segment_now(u, before) ||
        excused(u, shmkv_get(u->kv, &key, sizeof key, &v, sizeof v, &len), "get") ||
        (check_value(&v, len, &key, sizeof key), !segment_now(u, after)))
        return;
    if (key.stays && memcmp(before, after, 16) == 0 && memcmp(v.uuid, before, 16) != 0)
        die("a value of another segment");
}

static void walk(struct user *u) {
    shmkv_cursor_t *c;
    const void *key, *value;
    size_t key_len, len;
    uint8_t uuid[16];
    bool known = false;
    if (excused(u, shmkv_cursor_open(u->kv, 0, &c), "walk"))
        return;
    while (!excused(u, shmkv_cursor_next(c, &key, &key_len, &value, &len), "step")) {
        struct value v;
        memcpy(&v, value, len < sizeof v ? len : sizeof v);
        check_value(&v, len, key, key_len);
        /* One walk is of one segment. */
        if (v.key.stays && known && memcmp(v.uuid, uuid, 16) != 0)
            die("a walk goes through two segments");
        if (v.key.stays)
            memcpy(uuid, v.uuid, 16), known = true;
    }
    shmkv_cursor_close(c);
}

static void delete_one(struct user *u) {
    struct key key = {u->me, (uint32_t)random_below(&u->r, KEYS), u->stays};
    excused(u, shmkv_delete(u->kv, &key, sizeof key), "delete");
}

static void look(struct user *u) {
    uint64_t n;
    int err = shmkv_verify(u->kv, print_problem, NULL, NULL);
    if (err != SHMKV_EBUSY)
        excused(u, err, "verify");
    excused(u, shmkv_count(u->kv, &n), "count");
}

static void act(struct user *u, const uint8_t uuid[16]) {
    unsigned what = (unsigned)random_below(&u->r, 64);
    if (what < 24)
        put_one(u, uuid);
    else if (what < 52)
        get_one(u);
    else if (what < 58)
        delete_one(u);
    else if (what < 63)
        walk(u);
    else
        look(u);
}

/* ----------------------------------------------------------------------------- people */

static int open_flags(int mode, unsigned flags, shmkv_t **kv) {
    struct shmkv_options opts = {.size = sizeof opts,
                                 .mode = mode,
                                 .flags = flags,
                                 .owner_slots = 64,
                                 .lock_timeout_ms = 60000};
    return shmkv_open(name, &opts, kv);
}

static void finished(void) { event_happens(&meet->stopped); }

/* Every other user stays, and opens the name again when told that its segment is stale. */
static void use_for_ever(void *arg) {
    struct user u = {.me = (uint32_t)(uintptr_t)arg};
    u.person = &meet->people[u.me];
    u.stays = u.me % 2;
    u.r = (struct random){run_seed + (uint64_t)getpid() * 1000003};
    must(open_flags(SHMKV_SHARED, u.stays ? SHMKV_STAY : 0, &u.kv));
    uint8_t uuid[16];
    segment_now(&u, uuid);
    unsigned fds = descriptors_open(), maps = mappings();
    for (uint64_t stale = u.person->stale; !stopping();) {
        if (u.stays && u.person->stale != stale) {
            must(shmkv_close(u.kv));
            must(open_flags(SHMKV_SHARED, SHMKV_STAY, &u.kv));
        }
        stale = u.person->stale;
        if (segment_now(&u, uuid))
            act(&u, uuid);
        if (u.person->calls % 128 < 2)
            sched_yield(); /* replacers need processors too */
    }
    if (!u.stays) { /* one call more moves it, and a write lets go of what it left */
        put_one(&u, uuid);
        put_one(&u, uuid);
    }
    if (descriptors_open() > fds || mappings() > maps + 8)
        die("user %u has %u descriptors and %u mappings; it began with %u and %u", u.me,
            descriptors_open(), mappings(), fds, maps);
    must(shmkv_close(u.kv));
    finished();
}

static void replace_for_ever(void *arg) {
    struct user u = {.me = (uint32_t)(uintptr_t)arg, .stays = 1};
    u.person = &meet->people[u.me];
    u.r = (struct random){run_seed + (uint64_t)getpid() * 1000003};
    uint64_t last = 0;
    while (!stopping()) {
        struct shmkv_info info = {.size = sizeof info};
        must(open_flags(SHMKV_EXCLUSIVE, SHMKV_STAY, &u.kv));
        u.person->swaps++;
        event_happens(&meet->swaps);
        /* It is mine, and new, and whole, unless it has been replaced by now. */
        if (!excused(&u, shmkv_info(u.kv, &info), "info")) {
            if (meet->part != UNLINKS && info.incarnation <= last)
                die("incarnation %llu after %llu", (unsigned long long)info.incarnation,
                    (unsigned long long)last);
            last = info.incarnation;
            put_one(&u, info.uuid);
            if (random_below(&u.r, 8) == 0)
                look(&u);
        }
        must(shmkv_close(u.kv));
        sched_yield(); /* or one does it again and again while the others wait for a processor */
    }
    finished();
}

static void unlink_for_ever(void *arg) {
    struct user u = {.me = (uint32_t)(uintptr_t)arg, .stays = 1};
    u.person = &meet->people[u.me];
    u.r = (struct random){run_seed + (uint64_t)getpid() * 1000003};
    for (uint32_t seen = event_count(&meet->swaps); !stopping();) {
        int err = shmkv_unlink(name);
        if (err != SHMKV_ENOSEGMENT)
            must(err);
        u.person->unlinks += err == SHMKV_OK;
        uint8_t uuid[16];
        must(open_flags(SHMKV_SHARED, SHMKV_STAY, &u.kv));
        if (segment_now(&u, uuid))
            put_one(&u, uuid);
        must(shmkv_close(u.kv));
        event_wait(&meet->swaps, seen); /* not more often than that */
        seen = event_count(&meet->swaps);
    }
    finished();
}

/* ------------------------------------------------------------------------------- parts */

static pid_t pids[PEOPLE];

static void start(uint32_t who) {
    void (*body)(void *) = who < USERS               ? use_for_ever
                           : who < USERS + REPLACERS ? replace_for_ever
                                                     : unlink_for_ever;
    pids[who] = child_start(body, (void *)(uintptr_t)who);
}

static uint64_t state_at_begin(void) {
    struct shmkv_info info = {.size = sizeof info};
    shmkv_t *kv;
    must(open_flags(SHMKV_SHARED, 0, &kv));
    must(shmkv_info(kv, &info));
    must(shmkv_close(kv));
    return info.incarnation;
}

static void replace_once(void) {
    shmkv_t *kv;
    must(open_flags(SHMKV_EXCLUSIVE, 0, &kv));
    must(shmkv_close(kv));
}

static void all_must_live(uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        must_live(pids[i], "somebody");
}

/* Replacements succeed as long as anybody lives: two minutes without one is a hang. */
static void wait_for_swaps(uint32_t until, uint32_t count) {
    uint64_t deadline = now_ns() + 120000000000u;
    for (uint32_t seen; (seen = event_count(&meet->swaps)) < until;) {
        all_must_live(count);
        event_wait(&meet->swaps, seen);
        if (event_count(&meet->swaps) != seen)
            deadline = now_ns() + 120000000000u;
        else if (now_ns() > deadline)
            die("nobody gets on");
    }
}

/* Somebody dies and is started again, and so on; replacements must go on meanwhile. */
static unsigned kill_until(uint32_t until, uint32_t count, struct random *r) {
    unsigned kills = 0;
    while (event_count(&meet->swaps) < until) {
        if (kills % 8 == 0)
            wait_for_swaps(event_count(&meet->swaps) + 1, count);
        pass_time(r, 300000);
        uint32_t victim = (uint32_t)random_below(r, count);
        if (!child_kill(pids[victim]))
            die("process %u had ended by itself", victim);
        kills++;
        start(victim);
    }
    return kills;
}

static void stop_all(uint32_t count) {
    event_happens(&meet->stop);
    uint64_t deadline = now_ns() + 120000000000u;
    for (uint32_t left = count; left;) {
        uint32_t seen = event_count(&meet->stopped);
        for (uint32_t i = 0; i < count; i++) {
            int status;
            if (!pids[i] || waitpid(pids[i], &status, WNOHANG) != pids[i])
                continue;
            if (status)
                die("process %u failed, status 0x%x", i, status);
            pids[i] = 0;
            left--;
        }
        if (now_ns() > deadline)
            die("%u of %u do not stop", left, count);
        if (left)
            event_wait(&meet->stopped, seen);
    }
}

/* Now that all have gone: how the name is left. */
static void check_the_end(const struct place_of_segments *place, enum phase part, uint64_t first,
                          uint64_t swaps, unsigned kills) {
    struct shmkv_info info = {.size = sizeof info};
    struct shmkv_stats st = {.size = sizeof st};
    shmkv_t *kv;
    must(open_flags(SHMKV_EXISTING, 0, &kv));
    must(shmkv_info(kv, &info));
    must(shmkv_stats(kv, &st));
    uint64_t done = info.incarnation - first;
    if (part != UNLINKS && (done < swaps || done > swaps + kills))
        die("%llu replacements and %u kills made %llu incarnations", (unsigned long long)swaps,
            kills, (unsigned long long)done);
    if (st.owners_live != 1)
        die("%u owners are left", st.owners_live - 1);
    must_be_whole(kv);
    if (directory_count(place->dir) != 1)
        die("%u objects are left in %s", directory_count(place->dir) - 1, place->dir);
    must(shmkv_close(kv));
}

static void tell(enum phase part, uint32_t count, uint64_t swaps, unsigned kills) {
    struct person sum = {0};
    for (uint32_t i = 0; i < count; i++) {
        const struct person *p = &meet->people[i];
        sum.calls += p->calls, sum.moves += p->moves, sum.stale += p->stale,
            sum.absent += p->absent;
        sum.unlinks += p->unlinks;
    }
    printf("%s: %llu replacements, %u kills, %llu unlinks; %llu calls, %llu moves, %llu ESTALE, "
           "%llu ENOSEGMENT\n",
           part_names[part], (unsigned long long)swaps, kills, (unsigned long long)sum.unlinks,
           (unsigned long long)sum.calls, (unsigned long long)sum.moves,
           (unsigned long long)sum.stale, (unsigned long long)sum.absent);
    fflush(stdout);
}

static void play(const struct place_of_segments *place, enum phase part, uint32_t wanted,
                 struct random *r) {
    uint32_t count = part == UNLINKS ? PEOPLE : USERS + REPLACERS;
    unsigned kills = 0;
    uint64_t swaps = 0;
    memset(meet->people, 0, sizeof meet->people);
    meet->part = part;
    wanted_stop = event_count(&meet->stop);
    uint32_t until = event_count(&meet->swaps) + wanted;
    uint64_t first = state_at_begin();
    for (uint32_t i = 0; i < count; i++)
        start(i);
    if (part == KILLS)
        kills = kill_until(until, count, r);
    wait_for_swaps(until, count);
    stop_all(count);
    for (uint32_t i = USERS; i < USERS + REPLACERS; i++)
        swaps += meet->people[i].swaps;
    if (part == KILLS) {
        /* The last of the killed may have been cleaning up after the last but one. */
        replace_once();
        swaps++;
    }
    check_the_end(place, part, first, swaps, kills);
    tell(part, count, swaps, kills);
}

static int run(int argc, char **argv) {
    uint32_t wanted = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 10000;
    static const unsigned share[PARTS] = {40, 40, 20};
    struct random r = random_begin("exclusive");
    run_seed = r.state;
    struct place_of_segments place = place_make();
    name = place_name(&place, "replaced");
    meet = shared_memory(sizeof *meet);
    for (enum phase part = 0; part < PARTS; part++)
        play(&place, part, wanted * share[part] / 100, &r);
    must(shmkv_unlink(name));
    place_must_be_empty(&place);
    return 0;
}

int main(int argc, char **argv) { return supervise(run, argc, argv); }
