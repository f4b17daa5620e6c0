/*
 * Writers in C, Perl, Python and Ruby are killed with SIGKILL at moments that nobody
 * chose, and started again. Every write that was acknowledged is there, every value is
 * whole, readers are never held up, nothing leaks, and the segment is sound whenever
 * anybody looks.
 *
 * Each writer has keys of its own and keeps a log in a file that survives it: before a
 * call it notes what it is about to do, after the call that it is done. A key whose
 * last call was acknowledged must be as that call left it; one whose last call
 * was cut short must be as it was before or as that call would have left it.
 * Writers in C write to a few common keys as well, which are always there and whose
 * values need only be whole; a reader that is not killed looks at these all along.
 *
 * proves [CRASH-07] [CRASH-08]
 *
 * Argument: number of kills. The environment: SHMKV_TEST_SEED chooses the operations; the
 * writers in other languages are started if SHMKV_PERL, SHMKV_PYTHON, SHMKV_RUBY name the
 * interpreters, and SHMKV_WRITERS the folder of their scripts.
 */
#include "tests/stress/stress.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LANGUAGES 4
#define WRITERS_C 4
#define WRITERS (WRITERS_C + LANGUAGES - 1)
#define KEYS 600 /* of each writer */
#define COMMON 8 /* keys of all, under the name of writer WRITERS */
#define LARGEST 320000
#define ENOUGH 20 /* calls that a writer makes before it may be killed */

/* A state of a key: 0 is absent, otherwise the seed of its value. */
struct key_log {
    uint64_t before, after;
    uint64_t acknowledged; /* the call that led to `after` has returned */
    uint64_t unused;
};

/* The scripts know this layout, and write each row by one system call: none lies in two pages,
 * between which a kill would end the call, with `after` written and `acknowledged` as it was. */
static struct log {
    uint64_t calls, deletes, large, unused;
    struct key_log keys[KEYS];
} * logs;
_Static_assert(4096 % sizeof(struct key_log) == 0 &&
                   offsetof(struct log, keys) % sizeof(struct key_log) == 0,
               "each row lies in one page");

static struct looks { uint64_t gets, slow; } * looks;

static const char *name, *log_path;
static uint64_t run_seed;

struct name_of_key {
    uint32_t writer, number;
};

/* ------------------------------------------------------------------------ values */

/* A value is its seed, again and again; the seed says how often. */
static size_t length_of(uint64_t seed) {
    uint64_t words = seed % 1000 == 1 ? LARGEST / 8 : seed % 50 == 1 ? 125 + seed % 4875 : 2 + seed % 37;
    return words * 8;
}

static size_t make_value(uint64_t seed, uint8_t *value) {
    size_t len = length_of(seed);
    for (size_t i = 0; i < len; i += 8)
        memcpy(value + i, &seed, 8);
    return len;
}

/* The seed of what the key has, 0 if it is absent; ends the program if it is torn. */
static uint64_t state_of(shmkv_t *kv, uint32_t writer, uint32_t number) {
    static uint8_t value[LARGEST], expected[LARGEST];
    struct name_of_key key = {writer, number};
    size_t len;
    uint64_t seed;
    int err = shmkv_get(kv, &key, sizeof key, value, sizeof value, &len);
    if (err == SHMKV_ENOTFOUND)
        return 0;
    must(err);
    memcpy(&seed, value, sizeof seed);
    if (len < 16 || len != length_of(seed) || make_value(seed, expected) != len || memcmp(value, expected, len) != 0)
        die("key %u of writer %u is torn: %zu bytes", number, writer, len);
    return seed;
}

/* ----------------------------------------------------------------------- writers */

static int put_or_delete(shmkv_t *kv, uint32_t writer, uint32_t number, uint64_t seed) {
    static uint8_t value[LARGEST];
    struct name_of_key key = {writer, number};
    if (!seed) {
        int err = shmkv_delete(kv, &key, sizeof key);
        return err == SHMKV_ENOTFOUND ? SHMKV_OK : err;
    }
    return shmkv_put(kv, &key, sizeof key, value, make_value(seed, value));
}

static void note(volatile uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }

static void write_in_c(uint32_t me) {
    struct log *log = &logs[me];
    struct random r = {run_seed + (uint64_t)getpid() * 1000003};
    shmkv_t *kv;
    must(shmkv_open(name, NULL, &kv));
    for (;;) {
        uint32_t number = (uint32_t)random_below(&r, KEYS);
        struct key_log *k = &log->keys[number];
        if (!k->acknowledged) { /* cut short by a death: see what became of it */
            uint64_t now = state_of(kv, me, number);
            if (now != k->before && now != k->after)
                die("key %u of writer %u is neither old nor new", number, me);
            note(&k->before, now);
            note(&k->after, now);
            note(&k->acknowledged, 1);
        }
        uint64_t seed = random_below(&r, 4) == 0 ? 0 : random_next(&r) | 1;
        note(&k->before, k->after);
        note(&k->acknowledged, 0);
        note(&k->after, seed);
        must(put_or_delete(kv, me, number, seed));
        note(&k->acknowledged, 1);
        log->deletes += seed == 0;
        log->large += seed && length_of(seed) >= 1000;
        note(&log->calls, log->calls + 1);
        if (random_below(&r, 8) == 0)
            must(put_or_delete(kv, WRITERS, (uint32_t)random_below(&r, COMMON), random_next(&r) | 1));
    }
}

static const struct language {
    const char *name, *interpreter, *script;
} languages[LANGUAGES] = {
    {"C", NULL, NULL},
    {"Perl", "SHMKV_PERL", "writer.pl"},
    {"Python", "SHMKV_PYTHON", "writer.py"},
    {"Ruby", "SHMKV_RUBY", "writer.rb"},
};

static unsigned language_of(uint32_t writer) { return writer < WRITERS_C ? 0 : writer - WRITERS_C + 1; }

/* The same loop as write_in_c(), but for the common keys. */
static void write_in_script(uint32_t me, const struct language *l) {
    char script[4096], number[2][32];
    snprintf(script, sizeof script, "%s/%s", getenv("SHMKV_WRITERS"), l->script);
    snprintf(number[0], sizeof number[0], "%u", me);
    snprintf(number[1], sizeof number[1], "%llu", (unsigned long long)(run_seed + (uint64_t)getpid()));
    const char *interpreter = getenv(l->interpreter);
    execl(interpreter, interpreter, script, name, log_path, number[0], number[1], (char *)NULL);
    die("%s: %s", interpreter, strerror(errno));
}

static void write_for_ever(void *arg) {
    uint32_t me = (uint32_t)(uintptr_t)arg;
    if (language_of(me))
        write_in_script(me, &languages[language_of(me)]);
    write_in_c(me);
}

static void read_for_ever(void *arg) {
    (void)arg;
    struct random r = {run_seed};
    struct shmkv_options reading = {.size = sizeof reading, .mode = SHMKV_READONLY};
    shmkv_t *kv;
    must(shmkv_open(name, &reading, &kv));
    for (;;) {
        uint64_t before = now_ns();
        if (!state_of(kv, WRITERS, (uint32_t)random_below(&r, COMMON)))
            die("a key that was always there was not found");
        looks->gets++;
        looks->slow += now_ns() - before > 1000000;
    }
}

/* ------------------------------------------------------------------------- checks */

/* What a writer's log promises; only while that writer is dead. */
static void check_log(shmkv_t *kv, uint32_t writer, uint64_t *cut_short) {
    for (uint32_t i = 0; i < KEYS; i++) {
        const struct key_log *k = &logs[writer].keys[i];
        uint64_t now = state_of(kv, writer, i);
        if (now != k->after && (k->acknowledged || now != k->before))
            die("key %u of writer %u: %s write lost", i, writer, k->acknowledged ? "acknowledged" : "earlier");
        *cut_short += !k->acknowledged;
    }
}

static uint64_t calls_of(uint32_t writer) { return __atomic_load_n(&logs[writer].calls, __ATOMIC_SEQ_CST); }

struct crew {
    unsigned writers; /* without the scripts, those in C only */
    pid_t pids[WRITERS], reader;
    uint64_t calls_before[WRITERS]; /* when they were started */
    unsigned kills[LANGUAGES];
};

static void start(struct crew *c, uint32_t writer) {
    c->calls_before[writer] = calls_of(writer);
    c->pids[writer] = child_start(write_for_ever, (void *)(uintptr_t)writer);
}

/* One that has begun to work since it was started. */
static uint32_t choose_victim(const struct crew *c, struct random *r) {
    for (uint64_t deadline = now_ns() + 60000000000u; now_ns() < deadline; usleep(100)) {
        uint32_t w = (uint32_t)random_below(r, c->writers);
        if (calls_of(w) >= c->calls_before[w] + ENOUGH)
            return w;
        if (kill(c->pids[w], 0) != 0 || waitpid(c->pids[w], NULL, WNOHANG) == c->pids[w])
            die("writer %u (%s) has ended by itself", w, languages[language_of(w)].name);
    }
    die("no writer gets on");
}

static void prepare(void) {
    log_path = scratch_path("log");
    int fd = open(log_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)(WRITERS * sizeof *logs)) != 0)
        die("%s: %s", log_path, strerror(errno));
    logs = mmap(NULL, WRITERS * sizeof *logs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (logs == MAP_FAILED)
        die("%s: %s", log_path, strerror(errno));
    close(fd);
    for (int w = 0; w < WRITERS; w++)
        for (int i = 0; i < KEYS; i++)
            logs[w].keys[i].acknowledged = 1;
    looks = shared_memory(sizeof *looks);
    name = unique_name();
    shmkv_t *kv;
    must(shmkv_open(name, NULL, &kv));
    for (uint32_t i = 0; i < COMMON; i++)
        must(put_or_delete(kv, WRITERS, i, 3 + 2 * i));
    must(shmkv_close(kv));
}

/* Who was killed can be looked at: nobody else has his keys. */
static void look_after(shmkv_t *kv, uint32_t victim, unsigned n, uint64_t *cut_short, uint64_t *sound, uint64_t *busy) {
    check_log(kv, victim, cut_short);
    if (n % 20)
        return;
    int err = shmkv_verify(kv, print_problem, NULL, NULL);
    if (err != SHMKV_EBUSY)
        must(err);
    *sound += err == SHMKV_OK;
    *busy += err == SHMKV_EBUSY;
}

static void check_at_the_end(struct random *r, uint64_t *cut_short) {
    shmkv_t *kv;
    struct shmkv_options reading = {.size = sizeof reading, .mode = SHMKV_READONLY};
    must(shmkv_open(name, &reading, &kv));
    must_be_whole(kv); /* all dead in the middle of something, and nothing repaired */
    for (uint32_t i = 0; i < WRITERS; i++)
        check_log(kv, i, cut_short);
    must(shmkv_close(kv));
    must(shmkv_open(name, NULL, &kv)); /* repairs */
    must_be_whole(kv);
    for (uint32_t w = 0; w <= WRITERS; w++)
        for (uint32_t i = 0; i < (w < WRITERS ? KEYS : COMMON); i++) {
            state_of(kv, w, i);
            must(put_or_delete(kv, w, i, random_next(r) | 1));
            must(put_or_delete(kv, w, i, 0));
        }
    uint64_t count;
    must(shmkv_count(kv, &count));
    struct shmkv_stats st = {.size = sizeof st};
    must(shmkv_stats(kv, &st));
    if (count != 0 || st.large_bytes != 0 || st.owners_live != 1)
        die("%llu entries, %llu bytes of large values, %u owners are left", (unsigned long long)count,
            (unsigned long long)st.large_bytes, st.owners_live);
    finish(kv, name);
    unlink(log_path);
    rmdir(scratch_dir());
}

static int run(int argc, char **argv) {
    unsigned kills = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 300;
    struct random r = random_begin("kill_writers");
    run_seed = r.state;
    prepare();
    static struct crew crew;
    crew.writers = getenv("SHMKV_WRITERS") ? WRITERS : WRITERS_C;
    shmkv_t *kv; /* looks without repairing */
    must(shmkv_open(name, &(struct shmkv_options){.size = sizeof(struct shmkv_options), .mode = SHMKV_READONLY}, &kv));
    for (uint32_t i = 0; i < crew.writers; i++)
        start(&crew, i);
    crew.reader = child_start(read_for_ever, NULL);

    uint64_t cut_short = 0, sound = 0, busy = 0, calls = 0, deletes = 0, large = 0;
    for (unsigned n = 0; n < kills; n++) {
        uint32_t victim = choose_victim(&crew, &r);
        if (!child_kill(crew.pids[victim]))
            die("writer %u had ended by itself", victim);
        crew.kills[language_of(victim)]++;
        look_after(kv, victim, n, &cut_short, &sound, &busy);
        start(&crew, victim);
        if (n % 1000 == 999)
            fprintf(stderr, "%u kills\n", n + 1);
    }
    for (uint32_t i = 0; i < crew.writers; i++)
        child_kill(crew.pids[i]);
    if (!child_kill(crew.reader))
        die("the reader has ended by itself");
    must(shmkv_close(kv));
    for (uint32_t i = 0; i < WRITERS; i++)
        calls += logs[i].calls, deletes += logs[i].deletes, large += logs[i].large;
    check_at_the_end(&r, &cut_short);
    printf("%u kills: C %u, Perl %u, Python %u, Ruby %u\n", kills, crew.kills[0], crew.kills[1], crew.kills[2],
           crew.kills[3]);
    printf("%llu calls acknowledged (%llu deletes, %llu large values), %llu cut short\n", (unsigned long long)calls,
           (unsigned long long)deletes, (unsigned long long)large, (unsigned long long)cut_short);
    printf("%llu gets meanwhile, %llu of them over 1 ms; sound %llu times in between, too busy to tell %llu times\n",
           (unsigned long long)looks->gets, (unsigned long long)looks->slow, (unsigned long long)sound,
           (unsigned long long)busy);
    return 0;
}

int main(int argc, char **argv) { return supervise(run, argc, argv); }
