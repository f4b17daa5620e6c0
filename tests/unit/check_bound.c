/*
 * Keys that are bound to a process which is gone, without anybody having cleaned up after it:
 * whoever looks next does not find them. Spec 6.2, 6.11.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define KEYS 100 /* that a child binds */

static const char *name;
static shmkv_t *kv, *reader;
static struct gate bound, go, done;

static void set_up(void) {
    name = unique_name();
    kv = open_ok(name, NULL);
    reader = open_mode(name, SHMKV_READONLY);
    bound = gate_new();
    go = gate_new();
    done = gate_new();
    put_text(kv, "other", "stays");
}

static void tear_down(void) {
    ck_assert_ok(shmkv_close(reader));
    finish(kv, name);
}

static const char *key_of(const char *prefix, unsigned i) {
    static char key[KEY_TEXT_SIZE];
    snprintf(key, sizeof key, "%s%u", prefix, i);
    return key;
}

static void bind_here(shmkv_t *mine, const char *key) {
    const struct shmkv_item item = {
        .data = "12345678", .len = 8, .type = SHMKV_INT64, .flags = SHMKV_BOUND};
    ck_assert_ok(shmkv_put_item(mine, key, strlen(key), &item));
}

/* KEYS keys that begin with the prefix, and one of its name. */
static void bind_all(void *prefix) {
    shmkv_t *mine = open_ok(name, NULL);
    for (unsigned i = 0; i < KEYS; i++)
        bind_here(mine, key_of(prefix, i));
    bind_here(mine, prefix);
    gate_open(&bound);
    for (;;)
        pause();
}

static pid_t owner_of(const char *prefix) {
    pid_t pid = child_start(bind_all, (void *)(uintptr_t)prefix);
    ck_assert(gate_wait_from(&bound, pid));
    return pid;
}

/* ---------------------------------------------------------------------------- readers */

static unsigned get_each(shmkv_t *h, const char *prefix) {
    char buf[16];
    size_t len;
    unsigned found = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        const char *key = key_of(prefix, i);
        int err = shmkv_get(h, key, strlen(key), buf, sizeof buf, &len);
        ck_assert(err == SHMKV_OK || err == SHMKV_ENOTFOUND);
        found += !err;
    }
    return found;
}

static unsigned get_items(shmkv_t *h, const char *prefix) {
    char buf[16];
    struct shmkv_item item;
    unsigned found = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        const char *key = key_of(prefix, i);
        found += shmkv_get_item(h, key, strlen(key), buf, sizeof buf, &item) == SHMKV_OK;
    }
    return found;
}

static unsigned exist(shmkv_t *h, const char *prefix) {
    unsigned found = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        const char *key = key_of(prefix, i);
        found += shmkv_exists(h, key, strlen(key)) == SHMKV_OK;
    }
    return found;
}

static unsigned get_together(shmkv_t *h, const char *prefix) {
    static char texts[KEYS][KEY_TEXT_SIZE], buf[KEYS * 16];
    struct shmkv_bytes keys[KEYS];
    struct shmkv_item items[KEYS];
    size_t got;
    unsigned found = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        strcpy(texts[i], key_of(prefix, i));
        keys[i] = (struct shmkv_bytes){texts[i], strlen(texts[i])};
    }
    ck_assert_ok(shmkv_get_many(h, KEYS, keys, items, buf, sizeof buf, &got));
    for (unsigned i = 0; i < KEYS; i++)
        found += items[i].result == SHMKV_OK;
    return found;
}

static unsigned walk(shmkv_t *h, const char *prefix, unsigned flags) {
    shmkv_cursor_t *c;
    const void *key, *val;
    size_t key_len, val_len;
    unsigned found = 0;
    ck_assert_ok(shmkv_cursor_open(h, flags, &c));
    while (shmkv_cursor_next(c, &key, &key_len, &val, &val_len) == SHMKV_OK)
        found += key_len > strlen(prefix) && memcmp(key, prefix, strlen(prefix)) == 0;
    shmkv_cursor_close(c);
    return found;
}
static unsigned walk_items(shmkv_t *h, const char *prefix) { return walk(h, prefix, 0); }
static unsigned walk_keys(shmkv_t *h, const char *prefix) {
    return walk(h, prefix, SHMKV_KEYS_ONLY);
}

static unsigned snap(shmkv_t *h, const char *prefix) {
    shmkv_snapshot_t *s;
    const void *key, *val;
    size_t key_len, val_len;
    unsigned found = 0;
    ck_assert_ok(shmkv_snapshot(h, &s));
    while (shmkv_snapshot_next(s, &key, &key_len, &val, &val_len) == SHMKV_OK)
        found += key_len > strlen(prefix) && memcmp(key, prefix, strlen(prefix)) == 0;
    shmkv_snapshot_free(s);
    return found;
}

static unsigned (*const ways[])(shmkv_t *, const char *) = {
    get_each, get_items, exist, get_together, walk_items, walk_keys, snap};
#define WAYS (int)(sizeof ways / sizeof *ways)

#define ck_assert_seen(prefix, n)                                                        \
    do {                                                                                 \
        for (int way_ = 0; way_ < WAYS; way_++) {                                        \
            ck_assert_msg(ways[way_](kv, prefix) == (n), "way %d, writable", way_);      \
            ck_assert_msg(ways[way_](reader, prefix) == (n), "way %d, read-only", way_); \
        }                                                                                \
    } while (0)

/* All bytes of the segment, in one number. */
static uint64_t bytes_now(void) {
    struct stat st;
    ck_assert_int_eq(stat(shm_path(name), &st), 0);
    uint8_t *bytes = malloc((size_t)st.st_size);
    file_read(shm_path(name), 0, bytes, (size_t)st.st_size);
    uint64_t sum = hash_bytes(bytes, (size_t)st.st_size, 0);
    free(bytes);
    return sum;
}

/* proves [OP-08], [OP-03] */
START_TEST(test_keys_of_the_killed_are_absent_for_whoever_only_looks) {
    pid_t pid = owner_of("a");
    ck_assert_seen("a", KEYS);
    ck_assert(child_kill(pid));
    for (int way = 0; way < WAYS; way++) {
        ck_assert_uint_eq(ways[way](reader, "a"), 0);
        if (ways[way] != snap) { /* which takes locks, and a slot */
            uint64_t before = bytes_now();
            ck_assert_uint_eq(ways[way](kv, "a"), 0);
            ck_assert_uint_eq(bytes_now(), before);
        }
    }
    ck_assert_uint_eq(snap(kv, "a"), 0);
    ck_assert_value(kv, "other", "stays");
    ck_assert_uint_eq(count_of(kv), KEYS + 2); /* until they are swept */
}
END_TEST

START_TEST(test_keys_of_the_stopped_stay) {
    pid_t pid = owner_of("a");
    ck_assert(child_stop(pid));
    ck_assert_seen("a", KEYS);
    ck_assert(child_kill(pid));
    ck_assert_seen("a", 0);
}
END_TEST

START_TEST(test_keys_of_others_stay) {
    pid_t a = owner_of("a"), b = owner_of("b");
    bind_here(kv, "c1");
    ck_assert(child_kill(a));
    ck_assert_seen("a", 0);
    ck_assert_seen("b", KEYS);
    ck_assert_seen("c", 1);
    ck_assert(child_kill(b));
    ck_assert_seen("b", 0);
}
END_TEST

/* Has no slots of its own before it writes, and does not take its parent's for its own. */
static void bind_fork_and_die(void *seen) {
    shmkv_close(kv);
    kv = open_ok(name, NULL);
    for (unsigned i = 0; i < KEYS; i++)
        bind_here(kv, key_of("a", i));
    if (fork() == 0) {
        gate_open(&bound);
        gate_wait(&go);
        ((unsigned *)seen)[0] = get_each(kv, "a");
        ((unsigned *)seen)[1] = walk_keys(kv, "a");
        gate_open(&done);
        _exit(0);
    }
    for (;;)
        pause();
}

START_TEST(test_child_of_the_killed_does_not_see_their_keys) {
    unsigned *seen = shared_memory(2 * sizeof *seen);
    pid_t pid = child_start(bind_fork_and_die, seen);
    ck_assert(gate_wait_from(&bound, pid));
    ck_assert_seen("a", KEYS);
    ck_assert(child_kill(pid));
    gate_open(&go);
    ck_assert(gate_wait(&done));
    ck_assert_uint_eq(seen[0], 0);
    ck_assert_uint_eq(seen[1], 0);
    ck_assert_seen("a", 0);
}
END_TEST

/* ---------------------------------------------------- while somebody has the owner lock */

static uint32_t slot_of_owner(pid_t pid) {
    struct segment *seg = segment_of(kv);
    uint32_t slot = 0;
    while (slot < seg->owner_count && seg->owners[slot].pid != (uint32_t)pid)
        slot++;
    ck_assert_uint_lt(slot, seg->owner_count);
    return slot;
}

/* A descriptor that has the owner lock, as a reaper has. */
static int hold_owner_lock(uint32_t slot) {
    int fd = open(shm_path(name), O_RDWR | O_CLOEXEC);
    struct flock fl = {.l_type = F_WRLCK,
                       .l_whence = SEEK_SET,
                       .l_start = (off_t)(SHMKV_OWNER_LOCK_BASE + slot),
                       .l_len = 1};
    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &fl), 0);
    return fd;
}

/* proves [OP-29] */
START_TEST(test_keys_of_the_killed_stay_absent_while_somebody_cleans_up) {
    pid_t pid = owner_of("a");
    owner_t *own = &segment_of(kv)->owners[slot_of_owner(pid)];
    uint64_t state = own->state;
    ck_assert(child_kill(pid));
    int fd = hold_owner_lock(slot_of_owner(pid));
    ck_assert_seen("a", 0); /* the process is gone */
    own->pid_ns = 0;
    ck_assert_seen("a", KEYS); /* no telling */
    own->state = MAKE(OWNER_STATE_STATE, 1) |
                 MAKE(OWNER_STATE_GENERATION, FIELD(state, OWNER_STATE_GENERATION) + 1);
    ck_assert_seen("a", 0); /* said to be over by who holds the lock */
    close(fd);
}
END_TEST

static void bind_later(void *key) {
    ck_assert(gate_wait(&go));
    shmkv_t *mine = open_ok(name, NULL);
    bind_here(mine, key);
    gate_open(&done);
    for (;;)
        pause();
}

/* proves [LOCK-28] */
START_TEST(test_slot_that_is_taken_anew_does_not_bring_keys_back_nor_lose_new_ones) {
    pid_t later = child_start(bind_later, (void *)(uintptr_t) "a1");
    pid_t pid = owner_of("a");
    uint32_t slot = slot_of_owner(pid);
    uint64_t state = segment_of(kv)->owners[slot].state;
    ck_assert(child_kill(pid));
    gate_open(&go);
    ck_assert(gate_wait_from(&done, later));
    ck_assert_uint_eq(slot_of_owner(later), slot);
    /* Once for the dead, once for the new one. */
    ck_assert_uint_eq(FIELD(segment_of(kv)->owners[slot].state, OWNER_STATE_GENERATION),
                      FIELD(state, OWNER_STATE_GENERATION) + 2);
    ck_assert_seen("a", 1);
    ck_assert(child_kill(later));
    ck_assert_seen("a", 0);
}
END_TEST

/* ---------------------------------------------------------------------------- writers */

/* Each of them on a key of a process that was killed, as on one that is absent. */
static void put_over(const char *k, size_t n) { ck_assert_ok(shmkv_put(kv, k, n, "v", 1)); }
static void delete_it(const char *k, size_t n) {
    ck_assert_err(shmkv_delete(kv, k, n), SHMKV_ENOTFOUND);
}
static void add_it(const char *k, size_t n) {
    ck_assert_ok(shmkv_add(kv, k, n, &(struct shmkv_item){.data = "v", .len = 1}, NULL));
}
static void replace_it(const char *k, size_t n) {
    ck_assert_err(shmkv_replace(kv, k, n, &(struct shmkv_item){.data = "v", .len = 1}, NULL),
                  SHMKV_ENOTFOUND);
}
static void cas_it(const char *k, size_t n) {
    const struct shmkv_item old = {.data = "12345678", .len = 8, .type = SHMKV_INT64},
                            v = {.data = "v", .len = 1};
    ck_assert_err(shmkv_cas_value(kv, k, n, &old, &v), SHMKV_ECHANGED);
    ck_assert_ok(shmkv_cas(kv, k, n, 0, &v));
}
static void take_it(const char *k, size_t n) {
    char buf[16];
    struct shmkv_item old;
    ck_assert_err(shmkv_take(kv, k, n, buf, sizeof buf, &old), SHMKV_ENOTFOUND);
}
static void swap_it(const char *k, size_t n) {
    char buf[16];
    struct shmkv_item old;
    ck_assert_ok(
        shmkv_swap(kv, k, n, &(struct shmkv_item){.data = "v", .len = 1}, buf, sizeof buf, &old));
    ck_assert_int_eq(old.result, SHMKV_ENOTFOUND);
}
static void incr_it(const char *k, size_t n) {
    int64_t result;
    ck_assert_ok(shmkv_incr_i64(kv, k, n, 1, 41, &result));
    ck_assert_int_eq(result, 42);
}
static void append_it(const char *k, size_t n) {
    size_t len;
    ck_assert_ok(shmkv_append(kv, k, n, "v", 1, &len));
    ck_assert_uint_eq(len, 1);
}
static void touch_it(const char *k, size_t n) {
    ck_assert_err(shmkv_touch(kv, k, n, 0), SHMKV_ENOTFOUND);
}
static void get_or_set_it(const char *k, size_t n) {
    char buf[16];
    struct shmkv_item out;
    ck_assert_ok(shmkv_get_or_set(kv, k, n, &(struct shmkv_item){.data = "v", .len = 1}, buf,
                                  sizeof buf, &out));
    ck_assert_uint_eq(out.len, 1);
}
static int see_nothing(void *arg, shmkv_txn_t *txn) {
    struct shmkv_item item;
    (void)arg;
    ck_assert_err(shmkv_txn_get(txn, 0, &item), SHMKV_ENOTFOUND);
    return shmkv_txn_put(txn, 0, &(struct shmkv_item){.data = "v", .len = 1});
}
static void transact(const char *k, size_t n) {
    ck_assert_ok(shmkv_transaction(kv, 1, &(struct shmkv_bytes){k, n}, see_nothing, NULL));
}
static void wait_for_it(const char *k, size_t n) {
    ck_assert_ok(shmkv_wait(kv, k, n, 1, 0));
    ck_assert_err(shmkv_wait(kv, k, n, 0, 0), SHMKV_ETIMEDOUT);
}
static void pop_all(const char *k, size_t n) {
    char key[16], buf[16];
    size_t len;
    struct shmkv_item item;
    (void)k, (void)n;
    ck_assert_ok(shmkv_pop(kv, key, sizeof key, &len, buf, sizeof buf, &item));
    ck_assert_uint_eq(len, strlen("other"));
    ck_assert_err(shmkv_pop(kv, key, sizeof key, &len, buf, sizeof buf, &item), SHMKV_ENOTFOUND);
}
static void clear_all(const char *k, size_t n) {
    uint64_t removed;
    (void)k, (void)n;
    ck_assert_ok(shmkv_clear(kv, &removed));
    ck_assert_uint_eq(removed, 1);
    ck_assert_uint_eq(count_of(kv), 0);
}
static void sweep_all(const char *k, size_t n) {
    uint64_t removed;
    (void)k, (void)n;
    ck_assert_ok(shmkv_sweep(kv, 0, &removed));
    ck_assert_uint_eq(removed, KEYS + 1);
    ck_assert_uint_eq(count_of(kv), 1);
}

static void (*const changes[])(const char *, size_t) = {
    put_over,  delete_it, add_it,        replace_it, cas_it,      take_it, swap_it,   incr_it,
    append_it, touch_it,  get_or_set_it, transact,   wait_for_it, pop_all, clear_all, sweep_all};
#define CHANGES (int)(sizeof changes / sizeof *changes)

/* proves [OP-31] */
START_TEST(test_writers_find_keys_of_the_killed_absent) {
    pid_t pid = owner_of("a");
    ck_assert(child_kill(pid));
    changes[_i]("a", 1);
}
END_TEST

static Suite *bound_suite(void) {
    Suite *s = suite_create("bound");
    TCase *tc = case_new(s, "readers");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_keys_of_the_killed_are_absent_for_whoever_only_looks);
    tcase_add_test(tc, test_keys_of_the_stopped_stay);
    tcase_add_test(tc, test_keys_of_others_stay);
    tcase_add_test(tc, test_child_of_the_killed_does_not_see_their_keys);
    tc = case_new(s, "owner lock");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_keys_of_the_killed_stay_absent_while_somebody_cleans_up);
    tcase_add_test(tc, test_slot_that_is_taken_anew_does_not_bring_keys_back_nor_lose_new_ones);
    tc = case_new(s, "writers");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_writers_find_keys_of_the_killed_absent, 0, CHANGES);
    return s;
}

int main(void) { return suite_main(bound_suite()); }
