/*
 * A scribbler in a live segment: a process that writes anything anywhere while
 * others read, write, walk, verify and grow. They get errors or data, never a
 * signal, and each call ends in time. A segment beside it stays as it was.
 *
 * The scribbler does not truncate the file and punches no holes: against those
 * a process cannot defend a mapping (docs/security.md). When nothing attaches any
 * more, the segment is made anew.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/support.h"

#define WORKERS 3
#define WINDOW (32u << 20)
#define CALL_LIMIT_S 2 /* CPU time of one call: far above what a segment of this size takes */

static const char *path;
static struct shared {
    atomic_bool stop;
    atomic_uint epoch; /* the segment is another one now */
    _Atomic(uint64_t) calls, errors, scribbles, longest_us;
} * shared;
static uint64_t seed;
static const char *volatile doing = "nothing";

static void hung(int sig) {
    (void)sig;
    static const char text[] = "a call does not end: ";
    (void)!write(2, text, sizeof text - 1);
    (void)!write(2, doing, strlen(doing));
    (void)!write(2, "\n", 1);
    _exit(3);
}

static uint64_t cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t begun;
static void begin(const char *what) {
    struct itimerval limit = {.it_value = {.tv_sec = CALL_LIMIT_S}};
    doing = what;
    setitimer(ITIMER_PROF, &limit, NULL);
    begun = cpu_us();
}
static int end(int err) {
    uint64_t us = cpu_us() - begun, longest = shared->longest_us;
    while (us > longest && !atomic_compare_exchange_weak(&shared->longest_us, &longest, us))
        ;
    shared->calls++;
    shared->errors += err != SHMKV_OK && err != SHMKV_ENOTFOUND;
    return err;
}
#define CALL(call) (begin(#call), end(call))

/* ---------------------------------------------------------------------------- scribble */

static uint64_t target(struct random *r, const uint8_t *file, uint64_t size) {
    const header_t *h = (const header_t *)(const void *)file;
    uint64_t data = h->data_offset < size ? h->data_offset : size / 2;
    switch (random_below(r, 8)) {
    case 0: /* anywhere */
        return random_below(r, size);
    case 1: /* the tables */
        return 256 + random_below(r, data - 256) / 8 * 8;
    case 2: /* slots in use */
        return sizeof(header_t) + random_below(r, 4) * sizeof(owner_t) + random_below(r, 24) * 8;
    default: { /* the heads of runs, slabs and buckets; what is in their first words */
        uint64_t page = data + random_below(r, (size - data) / 4096 + 1) * 4096;
        return page + random_below(r, 64) * 8 * (1 + random_below(r, 8));
    }
    }
}

static uint64_t poison(struct random *r, const uint8_t *file, uint64_t size) {
    uint64_t other;
    memcpy(&other, file + random_below(r, size / 8) * 8, 8);
    switch (random_below(r, 6)) {
    case 0:
        return random_next(r);
    case 1:
        return other ^ 1ULL << random_below(r, 64);
    case 2:
        return random_below(r, size) & ~63ULL;
    case 3:
        return ~0ULL >> random_below(r, 64);
    default:
        return other;
    }
}

static void scribble(void *arg) {
    (void)arg;
    struct random r = {seed ^ 0x5c51b};
    while (!shared->stop) {
        unsigned epoch = shared->epoch;
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            continue;
        uint8_t *file = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (file == MAP_FAILED)
            _exit(5);
        struct stat st = {0};
        for (unsigned n = 0; !shared->stop && shared->epoch == epoch; n++) {
            if (n % 1024 == 0 && fstat(fd, &st) != 0)
                break;
            uint64_t size = (uint64_t)st.st_size < WINDOW ? (uint64_t)st.st_size : WINDOW;
            uint64_t off = target(&r, file, size), value = poison(&r, file, size);
            if (off + 8 <= size && off >= 256)
                memcpy(file + off, &value, random_below(&r, 8) ? 8 : 1 + random_below(&r, 8));
            shared->scribbles++;
            /* Now and then so fast that a call sees many, mostly so that calls get far. */
            if (n % 4096 > 64)
                for (unsigned wait = 0; wait < 300; wait++)
                    cpu_relax();
        }
        munmap(file, WINDOW);
        close(fd);
    }
}

/* -------------------------------------------------------------------------------- work */

static void nobody_listens(void *arg, uint64_t off, const char *text) {
    (void)off;
    *(size_t *)arg += strlen(text);
}

static void walk(shmkv_t *kv) {
    shmkv_cursor_t *c;
    const void *key, *val;
    size_t key_len, val_len, sum = 0;
    if (CALL(shmkv_cursor_open(kv, 0, &c)) != SHMKV_OK)
        return;
    for (int i = 0; i < 5000; i++) {
        if (CALL(shmkv_cursor_next(c, &key, &key_len, &val, &val_len)) != SHMKV_OK)
            break;
        sum += *(const uint8_t *)key + (val_len ? ((const uint8_t *)val)[val_len - 1] : 0);
    }
    shmkv_cursor_close(c);
    *(volatile size_t *)&sum = sum;
}

static int put_one_delete_one(void *arg, shmkv_txn_t *txn) {
    struct shmkv_item item = {.data = arg, .len = 100};
    shmkv_txn_put(txn, 0, &item);
    shmkv_txn_delete(txn, 1);
    return SHMKV_OK;
}

static void several_keys(shmkv_t *kv, const struct shmkv_bytes keys[4], struct random *r) {
    static const uint8_t value[1000];
    struct shmkv_item items[4];
    size_t done;
    for (int i = 0; i < 4; i++)
        items[i] = (struct shmkv_item){.data = value, .len = random_below(r, sizeof value)};
    if (random_below(r, 3))
        CALL(shmkv_put_many(kv, 4, keys, items, &done));
    else
        CALL(shmkv_delete_many(kv, 4, keys, NULL, &done, NULL));
}

/* On from a place that somebody else may have been at. */
static void walk_from_anywhere(shmkv_t *kv, struct random *r) {
    static struct shmkv_position at;
    shmkv_cursor_t *c;
    const void *key, *val;
    size_t key_len, val_len;
    if (CALL(shmkv_cursor_open(kv, 0, &c)) != SHMKV_OK)
        return;
    CALL(shmkv_cursor_seek(c, &at));
    for (uint64_t n = random_below(r, 100); n; n--)
        if (CALL(shmkv_cursor_next(c, &key, &key_len, &val, &val_len)) != SHMKV_OK)
            break;
    CALL(shmkv_cursor_position(c, &at));
    shmkv_cursor_close(c);
}

static void one_call(shmkv_t *kv, struct random *r) {
    static uint8_t buf[128 << 10];
    static struct shmkv_lock locks[128];
    static struct shmkv_item items[4];
    static struct shmkv_owner owners[8];
    char key[32];
    size_t n, len = (size_t)snprintf(key, sizeof key, "key-%u", (unsigned)random_below(r, 3000));
    uint64_t problems;
    switch (random_below(r, 4000)) {
    case 0:
        walk(kv);
        break;
    case 1: {
        shmkv_snapshot_t *s;
        if (CALL(shmkv_snapshot(kv, &s)) == SHMKV_OK)
            shmkv_snapshot_free(s);
        break;
    }
    case 2:
        CALL(shmkv_verify(kv, nobody_listens, &n, &problems));
        break;
    case 3: {
        struct shmkv_stats st = {.size = sizeof st};
        CALL(shmkv_stats(kv, &st));
        CALL(shmkv_locks(kv, locks, 128, &n));
        CALL(shmkv_owners(kv, owners, 8, &n));
        break;
    }
    case 4:
    case 5:
        walk_from_anywhere(kv, r);
        break;
    default:
        if (random_below(r, 3) == 0)
            CALL(shmkv_get(kv, key, len, buf, sizeof buf, &n));
        else if (random_below(r, 4) == 0)
            CALL(shmkv_get_many(kv, 4,
                                (struct shmkv_bytes[4]){{key, len}, {"a", 1}, {key, 1}, {key, len}},
                                items, buf, sizeof buf, &n));
        else if (random_below(r, 6) == 0)
            several_keys(kv, (struct shmkv_bytes[4]){{key, len}, {"a", 1}, {key, 1}, {key, len}}, r);
        else if (random_below(r, 6) == 0)
            CALL(shmkv_transaction(kv, 3, (struct shmkv_bytes[3]){{key, len}, {"key-1", 5}, {"key-22", 6}},
                                   put_one_delete_one, buf));
        else if (random_below(r, 4) == 0)
            CALL(shmkv_delete(kv, key, len));
        else
            CALL(shmkv_put(kv, key, len, buf, random_below(r, random_below(r, 20) ? 200 : 20000)));
    }
}

static void work(void *arg) {
    uint64_t number = (uint64_t)(uintptr_t)arg;
    struct random r = {seed + number};
    signal(SIGPROF, hung);
    struct shmkv_options o = {.size = sizeof o,
                              .mode = number == 2 ? SHMKV_READONLY : SHMKV_EXISTING,
                              .reserve = WINDOW,
                              .lock_timeout_ms = 2};
    while (!shared->stop) {
        shmkv_t *kv;
        if (CALL(shmkv_open(path, &o, &kv)) != SHMKV_OK)
            continue;
        for (int i = 0; i < 3000 && !shared->stop; i++)
            one_call(kv, &r);
        CALL(shmkv_close(kv));
    }
}

/* -------------------------------------------------------------------------------- main */

static void make_anew(void) {
    struct shmkv_options o = {.size = sizeof o, .owner_slots = 8, .max_size = 16u << 20};
    if (shared->epoch % 2) { /* a cache, one in four of them without bounds */
        o.evict = 1;
        o.max_entries = shared->epoch % 8 == 1 ? 0 : 500;
        o.max_bytes = shared->epoch % 8 == 1 ? 0 : 256 << 10;
        o.max_size = 1u << 20;
    }
    shmkv_t *kv;
    shmkv_unlink(path);
    unlink(path);
    if (shmkv_open(path, &o, &kv) != SHMKV_OK) {
        fprintf(stderr, "scribble: %s\n", shmkv_error_detail());
        exit(2);
    }
    shmkv_close(kv);
    shared->epoch++;
}

int main(int argc, char **argv) {
    uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 10;
    names_begin();
    shared = shared_memory(sizeof *shared);
    seed = random_begin("scribble").state;
    path = scratch_path("live");
    const char *beside = scratch_path("beside");
    shmkv_t *kv;
    if (shmkv_open(beside, NULL, &kv) != SHMKV_OK || shmkv_put(kv, "a", 1, "b", 1) != SHMKV_OK)
        return 2;
    make_anew();
    pid_t scribbler = child_start(scribble, NULL), workers[WORKERS];
    for (uintptr_t i = 0; i < WORKERS; i++)
        workers[i] = child_start(work, (void *)i);
    bool bad = false;
    struct timespec pause = {.tv_nsec = 100000000};
    /* A worker that has died is told below. */
    for (uint64_t until = now_ms() + seconds * 1000; now_ms() < until && !shared->stop;) {
        nanosleep(&pause, NULL); /* how long a segment is scribbled over */
        make_anew();
        siginfo_t gone = {0};
        if (waitid(P_ALL, 0, &gone, WEXITED | WNOHANG | WNOWAIT) == 0 && gone.si_pid)
            shared->stop = true;
    }
    shared->stop = true;
    for (int i = 0; i < WORKERS; i++)
        if (!child_succeeded(workers[i])) {
            fprintf(stderr, "VIOLATION: worker %d died (SHMKV_TEST_SEED=%llu)\n", i,
                    (unsigned long long)seed);
            bad = true;
        }
    bad |= !child_succeeded(scribbler);
    char buf[4];
    size_t n;
    if (shmkv_get(kv, "a", 1, buf, sizeof buf, &n) != SHMKV_OK || n != 1 ||
        shmkv_verify(kv, NULL, NULL, NULL) != SHMKV_OK) {
        fprintf(stderr, "VIOLATION: the segment beside it was touched\n");
        bad = true;
    }
    shmkv_close(kv);
    printf("%llu scribbles over %u segments, %llu calls, %llu of them errors, the longest %.1f ms "
           "of CPU time\n",
           (unsigned long long)shared->scribbles, (unsigned)shared->epoch,
           (unsigned long long)shared->calls, (unsigned long long)shared->errors,
           (double)shared->longest_us / 1000);
    names_sweep(false);
    return bad;
}
