/*
 * A file system that is full, at every step of growth.
 *
 * In a mount namespace of its own the program mounts a tmpfs of so many MiB over
 * /dev/shm. Ballast leaves room for so many pages, and puts of one sort follow until
 * there is an error: so each allocation in turn, of a slab, a group, a directory or a
 * large value, is the one that does not fit. It is SHMKV_ENOSPC with advice, and no
 * signal; all that was acknowledged is there, whoever looks, and nothing else changed;
 * what is there can be deleted, and replaced when there is room; nothing can be created,
 * nor replaced by EXCLUSIVE, and the attempt leaves nothing; opening works. Once the
 * ballast is gone the store grows on.
 *
 * Arguments: MIB... Exit status: 0 all well, 1 a violation, 77 to must_fail.sh: nobody may mount
 * here.
 *
 * proves [LIFE-09]
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "tests/support/must.h"
#include "tests/support/namespaces.h"
#include "tests/support/support.h"

#define PAGE 4096ul
#define BASE 20
#define MOST 300000
#define LARGE 100000

static uint8_t value[LARGE], got[LARGE];

/* -------------------------------------------------------------------- the mount */

static bool mount_alone(unsigned mib) {
    char size[32];
    snprintf(size, sizeof size, "size=%um", mib);
    return apart(CLONE_NEWNS) && mounted_apart("/dev/shm", "tmpfs", size);
}

static uint64_t pages_free(void) {
    struct statvfs fs;
    MUST(statvfs("/dev/shm", &fs) == 0 && fs.f_frsize == PAGE);
    return fs.f_bavail;
}

/* Leave room for @p pages, no more. */
static void ballast(const char *path, uint64_t pages) {
    uint64_t have = pages_free();
    MUST(have >= pages);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    MUST(fd >= 0);
    if (have > pages)
        MUST(fallocate(fd, 0, 0, (off_t)((have - pages) * PAGE)) == 0);
    MUST(pages_free() == pages);
    close(fd);
}

/* ----------------------------------------------------------------- what is put */

enum sort { SMALL, LARGE_ONES, ONE_SHARD, MIXED, SORTS };
static const char *const sort_names[] = {"small", "large", "one shard", "mixed"};

/* Numbers of keys that belong to shard 9, found once per segment. */
static struct key_search search;
static char (*shard_keys)[KEY_TEXT_SIZE];
static unsigned shard_keys_found;

static const char *key_of(enum sort sort, unsigned i) {
    static char key[KEY_TEXT_SIZE];
    if (sort == ONE_SHARD) {
        while (shard_keys_found <= i)
            key_find(&search, shard_keys[shard_keys_found++]);
        return shard_keys[i];
    }
    snprintf(key, sizeof key, "key-%u", i);
    return key;
}

static size_t size_of(enum sort sort, unsigned i) {
    switch (sort) {
    case LARGE_ONES:
        return LARGE - i % 7 * 5000;
    case MIXED:
        return i % 5 == 4 ? 9000 * (i % 11) : i % 3 * 700;
    default:
        return 16;
    }
}

static void make_value(unsigned i, size_t size) {
    for (size_t k = 0; k < size; k++)
        value[k] = (uint8_t)(i * 31 + k % 251);
}

static int put(shmkv_t *kv, enum sort sort, unsigned i) {
    const char *key = key_of(sort, i);
    make_value(i, size_of(sort, i));
    return shmkv_put(kv, key, strlen(key), value, size_of(sort, i));
}

static void expect(shmkv_t *kv, enum sort sort, unsigned from, unsigned to) {
    for (unsigned i = from; i < to; i++) {
        const char *key = key_of(sort, i);
        size_t len;
        make_value(i, size_of(sort, i));
        MUST(shmkv_get(kv, key, strlen(key), got, sizeof got, &len) == SHMKV_OK);
        MUST(len == size_of(sort, i) && memcmp(got, value, len) == 0);
    }
}

static void base(shmkv_t *kv, bool put_them) {
    for (unsigned i = 0; i < BASE; i++) {
        char key[KEY_TEXT_SIZE];
        size_t len;
        snprintf(key, sizeof key, "base-%u", i);
        make_value(i, i * 100);
        if (put_them)
            MUST(shmkv_put(kv, key, strlen(key), value, i * 100) == SHMKV_OK);
        MUST(shmkv_get(kv, key, strlen(key), got, sizeof got, &len) == SHMKV_OK);
        MUST(len == i * 100 && memcmp(got, value, len) == 0);
    }
}

static void whole(shmkv_t *kv) {
    uint64_t problems;
    MUST(shmkv_verify(kv, NULL, NULL, &problems) == SHMKV_OK);
}

static shmkv_t *open_one(const char *name, int mode, int expected) {
    struct shmkv_options opts = {.size = sizeof opts, .mode = mode, .owner_slots = 8};
    shmkv_t *kv;
    int err = shmkv_open(name, &opts, &kv);
    if (err != expected)
        fprintf(stderr, "%s: open %s, mode %d: %d, not %d\n", story, name, mode, err, expected);
    MUST(err == expected);
    return kv;
}

/* --------------------------------------------------------------------- one step */

static void no_space(int err) {
    MUST(err == SHMKV_ENOSPC);
    MUST(strstr(shmkv_error_detail(), "remount,size=") != NULL);
}

/* Not a page is free: whoever opens, and what is there goes on working. */
static void when_full(const char *name, shmkv_t *kv, enum sort sort, unsigned n) {
    MUST(pages_free() == 0);
    unsigned entries = directory_count("/dev/shm");
    open_one("another", SHMKV_SHARED, SHMKV_ENOSPC);
    no_space(SHMKV_ENOSPC);
    open_one(name, SHMKV_EXCLUSIVE, SHMKV_ENOSPC);
    no_space(SHMKV_ENOSPC);
    MUST(directory_count("/dev/shm") == entries);
    shmkv_t *reader = open_one(name, SHMKV_READONLY, SHMKV_OK),
            *writer = open_one(name, SHMKV_SHARED, SHMKV_OK);
    expect(reader, sort, 0, n);
    base(reader, false);
    MUST(shmkv_close(reader) == SHMKV_OK);
    if (n > 2) {
        const char *key = key_of(sort, n - 1);
        MUST(shmkv_delete(writer, key, strlen(key)) == SHMKV_OK);
        MUST(put(kv, sort, n - 1) == SHMKV_OK);
    }
    if (n > 2 && (sort == SMALL ||
                  sort == ONE_SHARD)) { /* room for one of the size, which a new value needs */
        const char *key = key_of(sort, n - 2);
        MUST(shmkv_delete(kv, key, strlen(key)) == SHMKV_OK);
        MUST(put(kv, sort, n - 1) == SHMKV_OK);
        MUST(put(kv, sort, n - 2) == SHMKV_OK);
    }
    whole(writer);
    MUST(shmkv_close(writer) == SHMKV_OK);
}

static unsigned steps, stored;

static void step(unsigned mib, enum sort sort, uint64_t room, uint64_t prefill) {
    snprintf(story, sizeof story, "%u MiB, %s, room for %llu pages", mib, sort_names[sort],
             (unsigned long long)room);
    const char *name = "full";
    shmkv_t *kv = open_one(name, SHMKV_SHARED, SHMKV_OK),
            *bystander = open_one(name, SHMKV_SHARED, SHMKV_OK);
    search = search_shard(kv, 9, "s");
    shard_keys_found = 0;
    base(kv, true);
    for (unsigned i = 0; pages_free() > prefill; i++) {
        char key[KEY_TEXT_SIZE];
        snprintf(key, sizeof key, "prefill-%u", i);
        MUST(shmkv_put(kv, key, strlen(key), value, LARGE) == SHMKV_OK);
    }
    ballast("/dev/shm/ballast", room < pages_free() ? room : pages_free());
    unsigned n = 0;
    int err;
    while ((err = put(kv, sort, n)) == SHMKV_OK)
        MUST(++n < MOST);
    no_space(err);
    MUST(shmkv_exists(kv, key_of(sort, n), strlen(key_of(sort, n))) == SHMKV_ENOTFOUND);
    expect(bystander, sort, 0, n);
    base(bystander, false);
    whole(bystander);
    ballast("/dev/shm/brim", 0);
    when_full(name, kv, sort, n);
    MUST(unlink("/dev/shm/ballast") == 0 && unlink("/dev/shm/brim") == 0);
    if (pages_free() > 128) {
        for (unsigned i = n; i < n + 3; i++)
            MUST(put(bystander, sort, i) == SHMKV_OK);
        n += 3;
    }
    expect(kv, sort, 0, n);
    base(kv, false);
    whole(kv);
    MUST(shmkv_close(kv) == SHMKV_OK && shmkv_close(bystander) == SHMKV_OK);
    MUST(shmkv_unlink(name) == SHMKV_OK && directory_count("/dev/shm") == 0);
    steps++;
    stored += n;
}

/* Pages to leave: each number up to a slice and some more, less often where the tmpfs is large. */
static bool worth(unsigned mib, uint64_t room) {
    return mib <= 1 || (room < 12 && room % (mib / 4) == 0) || (room >= 62 && room <= 66);
}

static void fill(void *arg) {
    unsigned mib = *(unsigned *)arg;
    if (!mount_alone(mib))
        _exit(77);
    shard_keys = malloc(MOST * sizeof *shard_keys);
    MUST(shard_keys);
    for (enum sort sort = 0; sort < SORTS; sort++) {
        for (uint64_t room = 0; room <= 140; room++)
            if (worth(mib, room))
                step(mib, sort, room, 200);
        if (mib <= 4)
            step(mib, sort, UINT64_MAX, UINT64_MAX); /* with nothing but the store on it */
    }
    printf("%u MiB: %u times full, %u puts acknowledged and found\n", mib, steps, stored);
    free(shard_keys);
}

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    for (int i = 1; i < argc; i++) {
        unsigned mib = (unsigned)atoi(argv[i]);
        int status = child_wait(child_start(fill, &mib));
        if (WIFSIGNALED(status))
            fprintf(stderr, "%u MiB: ended by signal %d\n", mib, WTERMSIG(status));
        else if (WEXITSTATUS(status) == 77)
            return skipped("nobody may mount a tmpfs here");
        if (status != 0)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
    return 0;
}
