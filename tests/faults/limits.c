/*
 * Resource limits, at every value that matters: an error, nobody's death, and nothing lost.
 *
 *  - RLIMIT_FSIZE, below and above what a new segment needs and at each step of growth:
 *    ENOSPC that names the limit, though the kernel's own answer is SIGXFSZ; the next
 *    process, without the limit, goes on.
 *  - RLIMIT_AS: opening takes a smaller reserve, or is ERESERVE or ENOMEM; where others outgrow
 *    the reserve, reading and growing is ERESERVE, what lies below it goes on working,
 *    and others do not notice. The limit of the segment stays whole pages whatever the
 *    reserve was cut to.
 *  - RLIMIT_NOFILE, from 0 to as many as suffice, with the standard descriptors open and
 *    closed: EMFILE, no descriptor is left open, and none is 0, 1 or 2.
 *
 * Exit status: 0 all well, 1 a violation.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/support/must.h"
#include "tests/support/support.h"

#define SEGMENT_PAGES 15 /* of a new one with 8 owner slots */
#define PAGE 4096ull
#define LARGE 50000

static const char *path;
static uint8_t value[LARGE], got[LARGE];

static int open_one(int mode, uint64_t reserve, shmkv_t **kv) {
    struct shmkv_options opts = {
        .size = sizeof opts, .mode = mode, .owner_slots = 8, .reserve = reserve};
    return shmkv_open(path, &opts, kv);
}

static size_t size_of(unsigned i) { return i % 4 == 3 ? LARGE - i % 5 * 9000 : i % 3 * 400; }

static int put(shmkv_t *kv, unsigned i) {
    memset(value, (int)(i * 7 + 1), size_of(i));
    return shmkv_put(kv, &i, sizeof i, value, size_of(i));
}

static int get(shmkv_t *kv, unsigned i) {
    size_t len;
    int err = shmkv_get(kv, &i, sizeof i, got, sizeof got, &len);
    memset(value, (int)(i * 7 + 1), size_of(i));
    MUST(err || (len == size_of(i) && memcmp(got, value, len) == 0));
    return err;
}

static void whole(shmkv_t *kv) {
    uint64_t problems;
    MUST(shmkv_verify(kv, NULL, NULL, &problems) == SHMKV_OK);
}

static void set_limit(int resource, uint64_t value_) {
    struct rlimit rl;
    MUST(getrlimit(resource, &rl) == 0);
    rl.rlim_cur = value_;
    MUST(setrlimit(resource, &rl) == 0);
}

/* What one process tells the next. */
static struct told {
    int err;
    unsigned stored;
    uint64_t reserve;
} * told;

/* After the limited one: all it was told is stored is there, and the store grows on. */
static void look_and_go_on(void *arg) {
    (void)arg;
    shmkv_t *kv;
    MUST(open_one(SHMKV_SHARED, 0, &kv) == SHMKV_OK);
    for (unsigned i = 0; i < told->stored; i++)
        MUST(get(kv, i) == SHMKV_OK);
    whole(kv);
    for (unsigned i = told->stored; i < told->stored + 20; i++)
        MUST(put(kv, i) == SHMKV_OK);
    whole(kv);
    MUST(shmkv_close(kv) == SHMKV_OK && shmkv_unlink(path) == SHMKV_OK);
}

static void run(void (*body)(void *), uint64_t value_) {
    int status = child_wait(child_start(body, &value_));
    if (status != 0)
        fprintf(stderr, "%s: wait status 0x%x\n", story, (unsigned)status);
    MUST(status == 0);
}

/* ------------------------------------------------------------------ RLIMIT_FSIZE */

static void under_file_size(void *arg) {
    shmkv_t *kv;
    set_limit(RLIMIT_FSIZE, *(uint64_t *)arg);
    int err = open_one(SHMKV_SHARED, 0, &kv);
    told->err = err;
    if (!err)
        while ((err = put(kv, told->stored)) == SHMKV_OK)
            told->stored++;
    MUST(err == SHMKV_ENOSPC && strstr(shmkv_error_detail(), "RLIMIT_FSIZE") != NULL);
    if (told->err)
        return;
    for (unsigned i = 0; i < told->stored; i++)
        MUST(get(kv, i) == SHMKV_OK);
    whole(kv);
    shmkv_t *fresh; /* needs no more than the old one did */
    MUST(open_one(SHMKV_READONLY, 0, &fresh) == SHMKV_OK && shmkv_close(fresh) == SHMKV_OK);
    MUST(shmkv_close(kv) == SHMKV_OK);
}

/* The file is larger than the limit already: all but growth goes on. */
static void behind_the_limit(void *arg) {
    shmkv_t *kv;
    MUST(open_one(SHMKV_SHARED, 0, &kv) == SHMKV_OK);
    for (; told->stored < 40; told->stored++)
        MUST(put(kv, told->stored) == SHMKV_OK);
    set_limit(RLIMIT_FSIZE, *(uint64_t *)arg);
    int err;
    for (unsigned i = 0; i < told->stored; i++) {
        err = put(kv, i); /* a new value needs room beside the old one */
        MUST((err == SHMKV_OK || err == SHMKV_ENOSPC) && get(kv, i) == SHMKV_OK);
    }
    while ((err = put(kv, told->stored)) == SHMKV_OK)
        told->stored++;
    MUST(err == SHMKV_ENOSPC && strstr(shmkv_error_detail(), "RLIMIT_FSIZE") != NULL);
    MUST(shmkv_close(kv) == SHMKV_OK);
}

static unsigned file_sizes(void) {
    unsigned n = 0, refused = 0;
    for (uint64_t pages = 0; pages < SEGMENT_PAGES + 150; pages++)
        for (int odd = -1; odd <= 1; odd += 2) {
            uint64_t limit =
                pages * PAGE + (pages && odd < 0 ? PAGE - 1 - PAGE : 0) + (odd > 0 ? 1 : 0);
            snprintf(story, sizeof story, "RLIMIT_FSIZE %llu", (unsigned long long)limit);
            *told = (struct told){0};
            run(under_file_size, limit);
            refused += told->err != 0;
            run(look_and_go_on, 0);
            n++;
        }
    MUST(refused > SEGMENT_PAGES && refused < n);
    for (uint64_t limit = 0; limit < 400000; limit += 100000) {
        snprintf(story, sizeof story, "RLIMIT_FSIZE %llu below the size",
                 (unsigned long long)limit);
        *told = (struct told){0};
        run(behind_the_limit, limit);
        run(look_and_go_on, 0);
        n++;
    }
    return n;
}

/* --------------------------------------------------------------------- RLIMIT_AS */

static uint64_t address_space(void) {
    char text[64] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    return strtoull(text, NULL, 10) * PAGE;
}

static void grow_it(void *arg) {
    (void)arg;
    shmkv_t *kv;
    MUST(open_one(SHMKV_SHARED, 0, &kv) == SHMKV_OK);
    for (unsigned i = 1000; i < 1200; i++)
        MUST(put(kv, i) == SHMKV_OK);
    whole(kv);
    MUST(shmkv_close(kv) == SHMKV_OK);
}

static struct gate opened, grown;

static void under_address_space(void *arg) {
    uint64_t more = *(uint64_t *)arg;
    shmkv_t *kv;
    set_limit(RLIMIT_AS, address_space() + more);
    /* An odd number of pages, many times what may be had. */
    int err = open_one(SHMKV_SHARED, (told->reserve * 1024 + 1) * PAGE, &kv);
    told->err = err;
    if (!err)
        while (told->stored < 60 && (err = put(kv, told->stored)) == SHMKV_OK)
            told->stored++;
    gate_open(&opened); /* whatever is found now: nobody is to wait for us */
    MUST(!err || err == SHMKV_ERESERVE || err == ENOMEM);
    if (!told->err)
        MUST(segment_of(kv)->space->limit % PAGE == 0 && segment_of(kv)->reserve % PAGE == 0);
    MUST(gate_wait(&grown));
    if (told->err)
        return;
    unsigned far = 0;
    for (unsigned i = 0; i < told->stored; i++)
        MUST(get(kv, i) == SHMKV_OK);
    for (unsigned i = 1000; i < 1200; i++) {
        err = get(kv, i);
        MUST(err == SHMKV_OK || err == SHMKV_ERESERVE);
        far += err == SHMKV_ERESERVE;
    }
    if (far)
        MUST(strstr(shmkv_error_detail(), "the reserve is") != NULL);
    /* A put may need something that lies beyond. */
    for (unsigned i = 0; i < told->stored; i++) {
        err = put(kv, i);
        MUST(err == SHMKV_OK || err == SHMKV_ERESERVE);
        MUST(get(kv, i) == SHMKV_OK);
    }
    err = shmkv_close(kv);
    MUST(err == SHMKV_OK || err == SHMKV_ERESERVE);
}

static unsigned address_spaces(void) {
    unsigned n = 0, opens = 0;
    for (uint64_t more = 0; more <= 40 << 20; more += more < 1 << 20 ? 64 << 10 : 3 << 20)
        for (unsigned reserve = 1; reserve <= 64; reserve *= 8, n++) {
            snprintf(story, sizeof story, "RLIMIT_AS %llu KiB more",
                     (unsigned long long)more >> 10);
            *told = (struct told){.reserve = reserve};
            opened = gate_new();
            grown = gate_new();
            pid_t pid = child_start(under_address_space, &more);
            MUST(gate_wait(&opened));
            run(grow_it, 0);
            gate_open(&grown);
            int status = child_wait(pid);
            if (status)
                fprintf(stderr, "%s: wait status 0x%x\n", story, (unsigned)status);
            MUST(status == 0);
            for (int i = 0; i < 2; i++) {
                close(opened.ends[i]);
                close(grown.ends[i]);
            }
            opens += !told->err;
            run(look_and_go_on, 0);
        }
    MUST(opens > 0 && opens < n);
    return n;
}

/* ----------------------------------------------------------------- RLIMIT_NOFILE */

static uint64_t open_descriptors(void) {
    uint64_t set = 0;
    for (int fd = 0; fd < 64; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            set |= 1ull << fd;
    return set;
}

static bool standard_closed;
static int mode;

static void under_descriptors(void *arg) {
    uint64_t limit = *(uint64_t *)arg;
    shmkv_t *kv;
    if (standard_closed)
        for (int fd = 0; fd < 2; fd++) /* 2 is for the story; the segment must not get it either */
            close(fd);
    uint64_t before = open_descriptors();
    set_limit(RLIMIT_NOFILE, limit);
    int err = open_one(mode, 0, &kv);
    set_limit(RLIMIT_NOFILE, 64);
    told->err = err;
    uint64_t now = open_descriptors();
    MUST(err == SHMKV_OK || err == EMFILE);
    if (err)
        MUST(now == before && strstr(shmkv_error_detail(), "open files") != NULL);
    MUST((now & 3) == (before & 3));
    if (err)
        MUST(open_one(mode, 0, &kv) == SHMKV_OK);
    if (mode != SHMKV_READONLY)
        MUST(put(kv, 0) == SHMKV_OK);
    MUST(get(kv, 0) == SHMKV_OK);
    /* Without a single one to spare, what is open works. */
    set_limit(RLIMIT_NOFILE, 0);
    MUST(get(kv, 0) == SHMKV_OK);
    if (mode != SHMKV_READONLY)
        for (unsigned i = 0; i < 40; i++)
            MUST(put(kv, i) == SHMKV_OK);
    whole(kv);
    MUST(shmkv_close(kv) == SHMKV_OK);
    set_limit(RLIMIT_NOFILE, 64);
    MUST(open_descriptors() == before);
    told->stored = 1;
}

static unsigned descriptors(void) {
    static const int modes[] = {SHMKV_SHARED, SHMKV_EXISTING, SHMKV_READONLY, SHMKV_EXCLUSIVE};
    unsigned n = 0, refused = 0;
    for (unsigned m = 0; m < 4; m++)
        for (int closed = 0; closed < 2; closed++)
            for (uint64_t limit = 0; limit < 14; limit++, n++) {
                mode = modes[m];
                standard_closed = closed;
                snprintf(story, sizeof story, "RLIMIT_NOFILE %llu, mode %d%s",
                         (unsigned long long)limit, mode,
                         closed ? ", standard descriptors closed" : "");
                *told = (struct told){0};
                shmkv_unlink(path);
                if (mode != SHMKV_SHARED) {
                    shmkv_t *kv;
                    MUST(open_one(SHMKV_SHARED, 0, &kv) == SHMKV_OK && put(kv, 0) == SHMKV_OK);
                    MUST(shmkv_close(kv) == SHMKV_OK);
                }
                run(under_descriptors, limit);
                refused += told->err != 0;
                run(look_and_go_on, 0);
            }
    MUST(refused >= 8 * 4 && refused < n);
    return n;
}

int main(void) {
    names_begin();
    path = scratch_path("limited");
    told = shared_memory(sizeof *told);
    printf("RLIMIT_FSIZE: %u values\n", file_sizes());
    printf("RLIMIT_AS: %u values\n", address_spaces());
    printf("RLIMIT_NOFILE: %u values\n", descriptors());
    MUST(names_sweep(true) == 0);
    return 0;
}
