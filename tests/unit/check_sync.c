/* Sync, and what a reboot leaves. Spec 5.9. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define KEYS 400
#define WRITERS 3
#define ROUNDS 30

static const char *path, *copy;

static void set_up(void) {
    path = scratch_path("seg");
    copy = scratch_path("copy");
}

static uint64_t boot_of(const char *file) {
    uint64_t word;
    file_read(file, offsetof(header_t, boot), &word, sizeof word);
    return word;
}

/* The file as it is found under another kernel: another boot, no owner lock, and
 * processes of which nothing is known. */
static void reboot(const char *file) {
    uint64_t other = boot_of(file) ^ 0xb007;
    file_patch(file, offsetof(header_t, boot), &other, sizeof other);
    header_t h;
    file_read(file, 0, &h, sizeof h);
    for (uint32_t i = 0; i < h.owner_count; i++) {
        uint8_t id[16] = {0xb0, 0x07};
        file_patch(file, h.owners_offset + i * sizeof(owner_t) + offsetof(owner_t, boot_id), id, sizeof id);
    }
}

static size_t value_for(unsigned key, unsigned n, char *val) {
    size_t len = 8 + (key * 37 + n * 11) % 300;
    memset(val, (int)('a' + n % 26), len);
    memcpy(val, &key, sizeof key);
    memcpy(val + 4, &n, sizeof n);
    return len;
}

static void put_numbered(shmkv_t *kv, unsigned key, unsigned n) {
    char val[400];
    size_t len = value_for(key, n, val);
    ck_assert_ok(shmkv_put(kv, &key, sizeof key, val, len));
}

/* Some value that was once stored under the key, whole; or none. */
static void check_numbered(shmkv_t *kv, unsigned key) {
    char val[400], expected[400];
    size_t len;
    int err = shmkv_get(kv, &key, sizeof key, val, sizeof val, &len);
    if (err == SHMKV_ENOTFOUND)
        return;
    ck_assert_ok(err);
    unsigned n;
    ck_assert_uint_ge(len, 8);
    memcpy(&n, val + 4, sizeof n);
    ck_assert_uint_eq(len, value_for(key, n, expected));
    ck_assert_mem_eq(val, expected, len);
}

/* --------------------------------------------------------------------------- sync */

/* proves [LIFE-24] as far as a test can: it reports what the system reports */
START_TEST(test_sync_of_a_file_and_of_shared_memory_succeeds) {
    const char *names[] = {path, unique_name()};
    for (int i = 0; i < 2; i++) {
        shmkv_t *kv = open_ok(names[i], NULL);
        put_text(kv, "k", "v");
        ck_assert_ok(shmkv_sync(kv));
        shmkv_t *reader = open_mode(names[i], SHMKV_READONLY);
        ck_assert_ok(shmkv_sync(reader));
        ck_assert_ok(shmkv_close(reader));
        put_text(kv, "k", "w");
        ck_assert_ok(shmkv_freeze(kv));
        ck_assert_ok(shmkv_sync(kv));
        finish(kv, names[i]);
    }
    ck_assert_err(shmkv_sync(NULL), SHMKV_ECLOSED);
}
END_TEST

/* A file system with pages that can be dirty: the root's, where tests have a folder. */
START_TEST(test_sync_when_the_directory_has_gone_says_so) {
    char dir[] = "/tmp/shmkv-sync-XXXXXX", file[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/seg", dir);
    shmkv_t *kv = open_ok(file, NULL);
    put_text(kv, "k", "v");
    ck_assert_ok(shmkv_sync(kv));
    ck_assert_int_eq(unlink(file), 0);
    ck_assert_int_eq(rmdir(dir), 0);
    ck_assert_err(shmkv_sync(kv), ENOENT);
    ck_assert_detail(dir);
    ck_assert_ok(shmkv_close(kv));
}
END_TEST

/* ------------------------------------------------------------------------- reboot */

/* proves [LIFE-23] */
START_TEST(test_create_notes_the_present_boot) {
    shmkv_t *kv = open_ok(path, NULL);
    ck_assert_uint_eq(boot_of(path), boot_word());
    ck_assert_uint_ne(boot_word(), 0);
    finish(kv, path);
}
END_TEST

/* proves [LIFE-22] */
START_TEST(test_first_writer_after_a_reboot_verifies_and_the_next_need_not) {
    shmkv_t *kv = open_ok(path, NULL);
    put_text(kv, "k", "v");
    ck_assert_ok(shmkv_close(kv));
    reboot(path);
    ck_assert_ok(shmkv_close(open_mode(path, SHMKV_READONLY)));
    ck_assert_uint_ne(boot_of(path), boot_word());
    kv = open_ok(path, NULL);
    ck_assert_uint_eq(boot_of(path), boot_word());
    ck_assert_value(kv, "k", "v");
    finish(kv, path);
}
END_TEST

static void damage_a_count(const char *file) {
    header_t h;
    uint64_t count, at;
    file_read(file, 0, &h, sizeof h);
    at = h.shards_offset + offsetof(shard_t, count);
    file_read(file, at, &count, sizeof count);
    count++;
    file_patch(file, at, &count, sizeof count);
}

START_TEST(test_damage_found_after_a_reboot_is_refused_and_can_still_be_read) {
    shmkv_t *kv = open_ok(path, NULL);
    put_text(kv, "k", "v");
    ck_assert_ok(shmkv_close(kv));
    damage_a_count(path);
    ck_assert_ok(shmkv_close(open_ok(path, NULL))); /* same boot: nobody looks */
    reboot(path);
    file_copy(path, copy);
    ck_assert_err(shmkv_open(path, NULL, &kv), SHMKV_ECORRUPT);
    ck_assert_detail("last stop");
    char *before = calloc(2, 4096);
    file_read(copy, 0, before, 4096);
    file_read(path, 0, before + 4096, 4096);
    ck_assert_mem_eq(before, before + 4096, 4096); /* it was left as it is */
    free(before);
    kv = open_mode(path, SHMKV_READONLY);
    ck_assert_value(kv, "k", "v");
    ck_assert_ok(shmkv_close(kv));
    kv = open_mode(path, SHMKV_EXCLUSIVE);
    ck_assert_uint_eq(count_of(kv), 0);
    finish(kv, path);
    unlink(copy);
}
END_TEST

START_TEST(test_boot_that_is_not_known_is_noted_and_not_verified) {
    ck_assert_ok(shmkv_close(open_ok(path, NULL)));
    damage_a_count(path);
    uint64_t unknown = 0;
    file_patch(path, offsetof(header_t, boot), &unknown, sizeof unknown);
    shmkv_t *kv = open_ok(path, NULL);
    ck_assert_uint_eq(boot_of(path), boot_word());
    ck_assert_ok(shmkv_close(kv));
    ck_assert_ok(shmkv_unlink(path));
}
END_TEST

/* A container with a boot id of its own: the segment is in use, and not verified. */
START_TEST(test_boot_that_differs_while_somebody_writes_is_not_verified) {
    shmkv_t *kv = open_ok(path, NULL);
    damage_a_count(path);
    uint64_t other = 77;
    file_patch(path, offsetof(header_t, boot), &other, sizeof other);
    shmkv_t *second = open_ok(path, NULL);
    ck_assert_uint_eq(boot_of(path), boot_word());
    ck_assert_ok(shmkv_close(second));
    ck_assert_ok(shmkv_close(kv));
    ck_assert_ok(shmkv_unlink(path));
}
END_TEST

/* ------------------------------------------------------- killed, and then rebooted */

struct writer {
    unsigned number;
    struct gate started;
};

static void write_for_ever(void *arg) {
    const struct writer *w = arg;
    shmkv_t *kv = open_ok(path, NULL);
    for (unsigned n = 0;; n++) {
        unsigned key = (n * 7919 + w->number) % KEYS;
        if (n == 20)
            gate_open(&w->started);
        if (n % 5 == 4) {
            int err = shmkv_delete(kv, &key, sizeof key);
            ck_assert(err == SHMKV_OK || err == SHMKV_ENOTFOUND);
        } else
            put_numbered(kv, key, n);
    }
}

START_TEST(test_reboot_after_kills_in_the_middle_just_works) {
    shmkv_t *kv = open_ok(path, NULL);
    for (unsigned key = 0; key < KEYS; key++)
        put_numbered(kv, key, 1);
    put_text(kv, "bystander", "unharmed");
    ck_assert_ok(shmkv_close(kv));
    for (int round = 0; round < ROUNDS; round++) {
        pid_t pids[WRITERS];
        struct writer w[WRITERS];
        for (unsigned i = 0; i < WRITERS; i++) {
            w[i] = (struct writer){i, gate_new()};
            pids[i] = child_start(write_for_ever, &w[i]);
        }
        for (unsigned i = 0; i < WRITERS; i++)
            ck_assert(gate_wait(&w[i].started));
        for (unsigned i = 0; i < WRITERS; i++)
            ck_assert(child_kill(pids[i]));
        file_copy(path, copy); /* what an orderly stop leaves on disk */
        reboot(copy);
        kv = open_ok(copy, NULL);
        ck_assert_whole(kv);
        for (unsigned key = 0; key < KEYS; key++)
            check_numbered(kv, key);
        ck_assert_value(kv, "bystander", "unharmed");
        for (unsigned key = 0; key < KEYS; key++)
            put_numbered(kv, key, 100);
        ck_assert_whole(kv);
        ck_assert_uint_eq(count_of(kv), KEYS + 1);
        ck_assert_uint_eq(stats_of(kv).owners_live, 1); /* the dead were reaped */
        ck_assert_ok(shmkv_close(kv));
        ck_assert_int_eq(unlink(copy), 0);
    }
    ck_assert_ok(shmkv_unlink(path));
}
END_TEST

static void put_bound_and_wait(void *arg) {
    shmkv_t *kv = open_ok(path, NULL);
    struct shmkv_item bound = {.data = "v", .len = 1, .flags = SHMKV_BOUND};
    ck_assert_ok(shmkv_put_item(kv, "bound", 5, &bound));
    gate_open(arg);
    for (;;)
        pause();
}

START_TEST(test_reboot_takes_bound_entries_and_leaves_expiry_to_the_clock) {
    shmkv_t *kv = open_ok(path, NULL);
    struct shmkv_item later = {.data = "v", .len = 1, .expires_ns = wall_ns() + 3600000000000u};
    struct shmkv_item soon = {.data = "v", .len = 1, .expires_ns = wall_ns() + 300000000};
    ck_assert_ok(shmkv_put_item(kv, "later", 5, &later));
    ck_assert_ok(shmkv_put_item(kv, "soon", 4, &soon));
    struct gate put = gate_new();
    pid_t pid = child_start(put_bound_and_wait, &put);
    ck_assert(gate_wait(&put));
    ck_assert_value(kv, "bound", "v");
    file_copy(path, copy); /* everybody is attached */
    ck_assert(child_kill(pid));
    reboot(copy);
    while (wall_ns() <= soon.expires_ns)
        usleep(1000); /* the time is what is waited for */
    shmkv_t *again = open_ok(copy, NULL);
    ck_assert_value(again, "bound", NULL);
    ck_assert_value(again, "soon", NULL);
    struct shmkv_item item;
    char buf[4];
    ck_assert_ok(shmkv_get_item(again, "later", 5, buf, sizeof buf, &item));
    ck_assert_uint_eq(item.expires_ns, later.expires_ns);
    ck_assert_whole(again);
    finish(again, copy);
    finish(kv, path);
}
END_TEST

/* ------------------------------------------------------------------ power failure */

/* Each page of the file is of one of two moments, as after a power failure. */
static void mix_pages(struct random *r, const char *older, const char *newer, const char *out) {
    static uint8_t page[SHMKV_PAGE_SIZE];
    struct stat a, b;
    file_copy(newer, out);
    ck_assert_int_eq(stat(older, &a), 0);
    ck_assert_int_eq(stat(newer, &b), 0);
    uint64_t mostly = random_below(r, 8);
    for (off_t at = 0; at < a.st_size && at < b.st_size; at += SHMKV_PAGE_SIZE)
        if (random_below(r, 8) < mostly) {
            file_read(older, (uint64_t)at, page, sizeof page);
            file_patch(out, (uint64_t)at, page, sizeof page);
        }
}

/* Refused, or usable: gets answer, nothing crashes. Values may be old or mixed. */
static bool use_mixture(const char *file) {
    shmkv_t *kv;
    int err = shmkv_open(file, NULL, &kv);
    if (err) {
        ck_assert_err(err, SHMKV_ECORRUPT);
        return false;
    }
    ck_assert_whole(kv);
    for (unsigned key = 0; key < KEYS; key++) {
        char val[400];
        size_t len;
        err = shmkv_get(kv, &key, sizeof key, val, sizeof val, &len);
        ck_assert(err == SHMKV_OK || err == SHMKV_ENOTFOUND);
        put_numbered(kv, key, 7);
        check_numbered(kv, key);
    }
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(kv));
    return true;
}

START_TEST(test_pages_of_two_moments_are_refused_or_usable) {
    struct random r = random_begin("power failure");
    const char *older = scratch_path("older");
    shmkv_t *kv = open_ok(path, NULL);
    for (unsigned key = 0; key < KEYS / 2; key++)
        put_numbered(kv, key, 1);
    ck_assert_ok(shmkv_close(kv));
    file_copy(path, older);
    kv = open_ok(path, NULL);
    for (unsigned key = 0; key < KEYS; key++)
        put_numbered(kv, key, 2);
    ck_assert_ok(shmkv_close(kv));
    unsigned refused = 0, used = 0;
    for (int i = 0; i < 200; i++) {
        mix_pages(&r, older, path, copy);
        reboot(copy);
        if (use_mixture(copy))
            used++;
        else
            refused++;
        ck_assert_int_eq(unlink(copy), 0);
    }
    printf("%u mixtures refused, %u whole\n", refused, used);
    ck_assert_uint_gt(refused, 0);
    ck_assert_uint_gt(used, 0); /* all of one moment, now and then */
    unlink(older);
    ck_assert_ok(shmkv_unlink(path));
}
END_TEST

static Suite *sync_suite(void) {
    Suite *s = suite_create("sync");
    TCase *tc = case_new(s, "sync");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_sync_of_a_file_and_of_shared_memory_succeeds);
    tcase_add_test(tc, test_sync_when_the_directory_has_gone_says_so);
    tc = case_new(s, "reboot");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, test_create_notes_the_present_boot);
    tcase_add_test(tc, test_first_writer_after_a_reboot_verifies_and_the_next_need_not);
    tcase_add_test(tc, test_damage_found_after_a_reboot_is_refused_and_can_still_be_read);
    tcase_add_test(tc, test_boot_that_is_not_known_is_noted_and_not_verified);
    tcase_add_test(tc, test_boot_that_differs_while_somebody_writes_is_not_verified);
    tcase_add_test(tc, test_reboot_after_kills_in_the_middle_just_works);
    tcase_add_test(tc, test_reboot_takes_bound_entries_and_leaves_expiry_to_the_clock);
    tcase_add_test(tc, test_pages_of_two_moments_are_refused_or_usable);
    tcase_set_timeout(tc, 30);
    return s;
}

int main(void) { return suite_main(sync_suite()); }
