/* Dump and load. Spec 9. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/src/dump.h"
#include "tests/support/checks.h"

#define HOUR 3600000000000ULL

static const char *path;
static shmkv_t *kv;

static void set_up(void) {
    path = scratch_path("seg");
    kv = open_ok(path, NULL);
}

static void tear_down(void) { finish(kv, path); }

/* ------------------------------------------------------------------- dumps in memory */

static int memory_file(void) {
    int fd = memfd_create("dump", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

struct dump {
    uint8_t *bytes;
    size_t len;
};

static struct dump dump_of(shmkv_t *h, unsigned flags, uint64_t entries) {
    int fd = memory_file();
    uint64_t n = 77;
    ck_assert_ok(shmkv_dump(h, fd, flags, &n));
    ck_assert_uint_eq(n, entries);
    struct dump d = {.len = (size_t)lseek(fd, 0, SEEK_CUR)};
    d.bytes = malloc(d.len);
    ck_assert_int_eq(pread(fd, d.bytes, d.len, 0), (ssize_t)d.len);
    close(fd);
    return d;
}

static int load_bytes(shmkv_t *h, const void *bytes, size_t len, unsigned flags, uint64_t *n) {
    int fd = memory_file();
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    int err = shmkv_load(h, fd, flags, n);
    close(fd);
    return err;
}

static void load_ok(shmkv_t *h, const struct dump *d, unsigned flags, uint64_t entries) {
    uint64_t n = 77;
    ck_assert_ok(load_bytes(h, d->bytes, d->len, flags, &n));
    ck_assert_uint_eq(n, entries);
}

/* Where block @p n begins, and how long it is. */
static size_t block_at(const struct dump *d, unsigned n, size_t *len) {
    size_t at = DUMP_MAGIC_SIZE;
    for (;; n--) {
        dump_block_t head;
        ck_assert_uint_le(at + sizeof head, d->len);
        memcpy(&head, d->bytes + at, sizeof head);
        *len = sizeof head + head.fields + round_up(head.body, 8) + 8;
        if (n == 0)
            return at;
        at += *len;
    }
}

/* Make all checksums right again, after a change. */
static void reseal(struct dump *d) {
    uint64_t chain = 0;
    for (size_t at = DUMP_MAGIC_SIZE; at < d->len;) {
        dump_block_t head;
        memcpy(&head, d->bytes + at, sizeof head);
        size_t len = sizeof head + head.fields + round_up(head.body, 8);
        if (head.kind == SHMKV_DUMP_KIND_END)
            memcpy(d->bytes + at + sizeof head + offsetof(dump_end_t, chain), &chain, sizeof chain);
        uint64_t checksum = hash_bytes(d->bytes + at, len, at);
        memcpy(d->bytes + at + len, &checksum, sizeof checksum);
        chain = dump_chain(chain, checksum);
        at += len + sizeof checksum;
    }
}

/* Put @p len bytes in at @p at. */
static void insert(struct dump *d, size_t at, const void *bytes, size_t len) {
    d->bytes = realloc(d->bytes, d->len + len);
    memmove(d->bytes + at + len, d->bytes + at, d->len - at);
    memcpy(d->bytes + at, bytes, len);
    d->len += len;
}

/* ------------------------------------------------------------------------ entries */

static void put_item(shmkv_t *h, const char *key, int type, const void *data, size_t len, uint64_t expires_ns,
                     unsigned flags) {
    struct shmkv_item item = {.data = data, .len = len, .type = type, .flags = flags, .expires_ns = expires_ns};
    ck_assert_ok(shmkv_put_item(h, key, strlen(key), &item));
}

static struct shmkv_item get_item(shmkv_t *h, const char *key, void *buf, size_t len) {
    struct shmkv_item item;
    ck_assert_ok(shmkv_get_item(h, key, strlen(key), buf, len, &item));
    return item;
}

static uint64_t soon;
static const int64_t forty_two = 42;
static const double half = 0.5;
static uint8_t *large;
#define LARGE (3u << 20)

/* One of each type, with and without an end, and of several sizes: 9 entries. */
static void put_some_of_each(shmkv_t *h) {
    soon = wall_ns() + HOUR;
    large = malloc(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (uint8_t)(i * 2654435761u >> 13);
    put_item(h, "bytes", SHMKV_BYTES, "\0\xff\n", 3, 0, 0);
    put_item(h, "text", SHMKV_TEXT, "Gr\xc3\xbc\xc3\x9f" "e", 7, soon, 0);
    put_item(h, "int", SHMKV_INT64, &forty_two, 8, 0, 0);
    put_item(h, "float", SHMKV_FLOAT64, &half, 8, soon, 0);
    put_item(h, "true", SHMKV_BOOLEAN, "\1", 1, 0, 0);
    put_item(h, "null", SHMKV_NULL, NULL, 0, 0, 0);
    put_item(h, "json", SHMKV_JSON, "{\"a\": [1]}", 10, 0, 0);
    put_item(h, "empty", SHMKV_BYTES, NULL, 0, 0, 0);
    put_item(h, "large", SHMKV_BYTES, large, LARGE, 0, 0);
}

static void expect_item(shmkv_t *h, const char *key, int type, const void *data, size_t len, uint64_t expires_ns) {
    static uint8_t buf[LARGE];
    struct shmkv_item item = get_item(h, key, buf, sizeof buf);
    ck_assert_int_eq(item.type, type);
    ck_assert_uint_eq(item.len, len);
    ck_assert_mem_eq(buf, len ? data : "", len);
    ck_assert_uint_eq(item.expires_ns, expires_ns);
    ck_assert_uint_eq(item.flags, 0);
}

static void expect_some_of_each(shmkv_t *h) {
    expect_item(h, "bytes", SHMKV_BYTES, "\0\xff\n", 3, 0);
    expect_item(h, "text", SHMKV_TEXT, "Gr\xc3\xbc\xc3\x9f" "e", 7, soon);
    expect_item(h, "int", SHMKV_INT64, &forty_two, 8, 0);
    expect_item(h, "float", SHMKV_FLOAT64, &half, 8, soon);
    expect_item(h, "true", SHMKV_BOOLEAN, "\1", 1, 0);
    expect_item(h, "null", SHMKV_NULL, NULL, 0, 0);
    expect_item(h, "json", SHMKV_JSON, "{\"a\": [1]}", 10, 0);
    expect_item(h, "empty", SHMKV_BYTES, NULL, 0, 0);
    expect_item(h, "large", SHMKV_BYTES, large, LARGE, 0);
}

/* With a default end, which nothing that is loaded is to get. */
static shmkv_t *other_segment(const char **name) {
    struct shmkv_options opts = {.size = sizeof opts, .default_ttl_ns = HOUR};
    *name = scratch_path("other");
    return open_ok(*name, &opts);
}

/* --------------------------------------------------------------------- there and back */

START_TEST(test_entries_come_back_with_type_and_expiry) {
    put_some_of_each(kv);
    struct dump d = dump_of(kv, _i ? SHMKV_DUMP_SNAPSHOT : 0, 9);
    const char *name;
    for (unsigned flags = 0; flags <= SHMKV_LOAD_REPLACE; flags++) {
        shmkv_t *other = other_segment(&name);
        load_ok(other, &d, flags, 9);
        expect_some_of_each(other);
        ck_assert_uint_eq(count_of(other), 9);
        finish(other, name);
    }
    shmkv_t *reader = open_mode(path, SHMKV_READONLY);
    free(dump_of(reader, _i ? SHMKV_DUMP_SNAPSHOT : 0, 9).bytes);
    ck_assert_ok(shmkv_close(reader));
    free(d.bytes);
    free(large);
}
END_TEST

START_TEST(test_empty_segment_comes_back_empty) {
    struct dump d = dump_of(kv, _i ? SHMKV_DUMP_SNAPSHOT : 0, 0);
    put_text(kv, "k", "v");
    load_ok(kv, &d, 0, 0);
    ck_assert_value(kv, "k", "v");
    load_ok(kv, &d, SHMKV_LOAD_REPLACE, 0);
    ck_assert_uint_eq(count_of(kv), 0);
    free(d.bytes);
}
END_TEST

/* proves [DUMP-05]; and begin tells what was dumped */
START_TEST(test_two_dumps_of_the_same_are_the_same_bytes) {
    for (int i = 0; i < 500; i++) {
        char key[32];
        snprintf(key, sizeof key, "key %d", i);
        put_text(kv, key, key + i % 3);
    }
    struct dump a = dump_of(kv, _i ? SHMKV_DUMP_SNAPSHOT : 0, 500), b = dump_of(kv, _i ? SHMKV_DUMP_SNAPSHOT : 0, 500);
    ck_assert_uint_eq(a.len, b.len);
    ck_assert_mem_eq(a.bytes, b.bytes, a.len);
    dump_begin_t begin;
    memcpy(&begin, a.bytes + DUMP_MAGIC_SIZE + sizeof(dump_block_t), sizeof begin);
    struct shmkv_info info = info_of(kv);
    ck_assert_mem_eq(begin.uuid, info.uuid, 16);
    ck_assert_uint_eq(begin.incarnation, info.incarnation);
    ck_assert_uint_eq(begin.flags, _i ? 1 : 0);
    ck_assert_uint_eq(begin.count, _i ? 500 : DUMP_COUNT_UNKNOWN);
    free(a.bytes);
    free(b.bytes);
}
END_TEST

/* proves [DUMP-06] */
START_TEST(test_bound_and_expired_entries_are_not_dumped) {
    put_text(kv, "stays", "v");
    put_item(kv, "bound", SHMKV_BYTES, "v", 1, 0, SHMKV_BOUND);
    put_item(kv, "expired", SHMKV_BYTES, "v", 1, 1, 0);
    struct dump d = dump_of(kv, _i ? SHMKV_DUMP_SNAPSHOT : 0, 1);
    const char *name;
    shmkv_t *other = other_segment(&name);
    load_ok(other, &d, 0, 1);
    ck_assert_value(other, "stays", "v");
    finish(other, name);
    free(d.bytes);
}
END_TEST

START_TEST(test_entry_that_expired_in_the_dump_is_not_loaded) {
    put_item(kv, "k", SHMKV_BYTES, "v", 1, wall_ns() + HOUR, 0);
    struct dump d = dump_of(kv, 0, 1);
    size_t len, at = block_at(&d, 1, &len);
    uint64_t past = 1;
    memcpy(d.bytes + at + sizeof(dump_block_t), &past, sizeof past);
    reseal(&d);
    ck_assert_ok(shmkv_delete(kv, "k", 1));
    load_ok(kv, &d, 0, 0);
    ck_assert_value(kv, "k", NULL);
    free(d.bytes);
}
END_TEST

/* ------------------------------------------------------------------- ways of loading */

static struct dump dump_of_two(void) {
    put_text(kv, "a", "dumped");
    put_text(kv, "b", "dumped");
    struct dump d = dump_of(kv, 0, 2);
    put_text(kv, "b", "later");
    put_text(kv, "c", "later");
    ck_assert_ok(shmkv_delete(kv, "a", 1));
    return d;
}

START_TEST(test_load_over_keep_and_replace_differ) {
    struct dump d = dump_of_two();
    load_ok(kv, &d, SHMKV_LOAD_KEEP, 1);
    ck_assert_value(kv, "a", "dumped");
    ck_assert_value(kv, "b", "later");
    load_ok(kv, &d, 0, 2);
    ck_assert_value(kv, "b", "dumped");
    ck_assert_value(kv, "c", "later");
    struct shmkv_info before = info_of(kv);
    load_ok(kv, &d, SHMKV_LOAD_REPLACE, 2);
    ck_assert_value(kv, "b", "dumped");
    ck_assert_value(kv, "c", NULL);
    struct shmkv_info after = info_of(kv);
    ck_assert_uint_eq(after.incarnation, before.incarnation + 1);
    ck_assert_uint_eq(directory_count(scratch_dir()), 1);
    free(d.bytes);
}
END_TEST

START_TEST(test_load_replacing_keeps_limits_slots_and_mode_and_takes_others_along) {
    ck_assert_ok(shmkv_close(kv));
    ck_assert_ok(shmkv_unlink(path));
    struct shmkv_options o = {.size = sizeof o, .owner_slots = 7, .max_size = 64u << 20, .permissions = 0640,
                              .default_ttl_ns = HOUR};
    kv = open_ok(path, &o);
    struct dump d = dump_of_two();
    shmkv_t *plain = open_ok(path, NULL), *reader = open_mode(path, SHMKV_READONLY);
    struct shmkv_options stay = {.size = sizeof stay, .flags = SHMKV_STAY};
    shmkv_t *staying = open_ok(path, &stay);
    load_ok(plain, &d, SHMKV_LOAD_REPLACE, 2);
    struct shmkv_info info = info_of(reader);
    ck_assert_uint_eq(info.owner_count, 7);
    ck_assert_uint_eq(info.max_size, 64u << 20);
    ck_assert_uint_eq(info.default_ttl_ns, o.default_ttl_ns);
    ck_assert_uint_eq(info.permissions, 0640);
    ck_assert_value(reader, "c", NULL);
    ck_assert_value(kv, "a", "dumped");
    ck_assert_err(shmkv_exists(staying, "a", 1), SHMKV_ESTALE);
    put_text(kv, "new", "works");
    ck_assert_value(plain, "new", "works");
    ck_assert_uint_eq(stats_of(reader).owners_live, 2);
    ck_assert_ok(shmkv_close(plain));
    ck_assert_ok(shmkv_close(reader));
    ck_assert_ok(shmkv_close(staying));
    free(d.bytes);
}
END_TEST

START_TEST(test_load_into_a_frozen_segment_is_efrozen_unless_it_replaces) {
    struct dump d = dump_of_two();
    ck_assert_ok(shmkv_freeze(kv));
    ck_assert_err(load_bytes(kv, d.bytes, d.len, 0, NULL), SHMKV_EFROZEN);
    ck_assert_err(load_bytes(kv, d.bytes, d.len, SHMKV_LOAD_KEEP, NULL), SHMKV_EFROZEN);
    free(dump_of(kv, 0, 2).bytes);
    load_ok(kv, &d, SHMKV_LOAD_REPLACE, 2);
    ck_assert_value(kv, "a", "dumped");
    put_text(kv, "c", "not frozen");
    free(d.bytes);
}
END_TEST

START_TEST(test_load_replacing_when_the_name_has_gone_gives_it_again) {
    struct dump d = dump_of_two();
    ck_assert_ok(shmkv_unlink(path));
    load_ok(kv, &d, SHMKV_LOAD_REPLACE, 2);
    shmkv_t *found = open_mode(path, SHMKV_EXISTING);
    ck_assert_value(found, "a", "dumped");
    ck_assert_uint_eq(info_of(found).incarnation, 1);
    ck_assert_ok(shmkv_close(found));
    free(d.bytes);
}
END_TEST

START_TEST(test_wrong_calls_are_refused) {
    struct dump d = dump_of_two();
    shmkv_t *reader = open_mode(path, SHMKV_READONLY);
    ck_assert_err(load_bytes(reader, d.bytes, d.len, 0, NULL), SHMKV_EREADONLY);
    ck_assert_err(load_bytes(reader, d.bytes, d.len, SHMKV_LOAD_REPLACE, NULL), SHMKV_EREADONLY);
    ck_assert_ok(shmkv_close(reader));
    ck_assert_err(load_bytes(kv, d.bytes, d.len, 3, NULL), SHMKV_EARGUMENT);
    ck_assert_err(load_bytes(kv, d.bytes, d.len, 4, NULL), SHMKV_EARGUMENT);
    ck_assert_err(load_bytes(NULL, d.bytes, d.len, 0, NULL), SHMKV_ECLOSED);
    ck_assert_err(shmkv_dump(NULL, 1, 0, NULL), SHMKV_ECLOSED);
    ck_assert_err(shmkv_dump(kv, 1, 2, NULL), SHMKV_EARGUMENT);
    ck_assert_err(shmkv_dump(kv, -1, 0, NULL), EBADF);
    ck_assert_err(shmkv_load(kv, -1, 0, NULL), EBADF);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ck_assert_err(shmkv_dump(kv, full, 0, NULL), SHMKV_ENOSPC);
    ck_assert_detail("writing a dump");
    close(full);
    free(d.bytes);
}
END_TEST

/* -------------------------------------------------------------------------- streams */

static void dump_into(void *arg) {
    const int *ends = arg;
    close(ends[0]);
    shmkv_t *h = open_mode(path, SHMKV_READONLY);
    ck_assert_ok(shmkv_dump(h, ends[1], 0, NULL));
    ck_assert_ok(shmkv_close(h));
}

/* A pipe that neither end may wait for, so that both must be asked to. */
START_TEST(test_dump_goes_through_a_pipe) {
    put_some_of_each(kv);
    int ends[2];
    ck_assert_int_eq(pipe2(ends, _i ? O_NONBLOCK : 0), 0);
    pid_t pid = child_start(dump_into, ends);
    close(ends[1]);
    const char *name;
    shmkv_t *other = other_segment(&name);
    uint64_t n;
    ck_assert_ok(shmkv_load(other, ends[0], 0, &n));
    ck_assert_uint_eq(n, 9);
    close(ends[0]);
    ck_assert(child_succeeded(pid));
    expect_some_of_each(other);
    finish(other, name);
    free(large);
}
END_TEST

START_TEST(test_load_of_a_file_stands_behind_the_dump_afterwards) {
    struct dump d = dump_of_two();
    int fd = memory_file();
    ck_assert_int_eq(write(fd, "before", 6), 6);
    ck_assert_int_eq(write(fd, d.bytes, d.len), (ssize_t)d.len);
    ck_assert_int_eq(write(fd, d.bytes, d.len), (ssize_t)d.len);
    ck_assert_int_eq(lseek(fd, 6, SEEK_SET), 6);
    ck_assert_ok(shmkv_load(kv, fd, 0, NULL));
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), (off_t)(6 + d.len));
    ck_assert_ok(shmkv_load(kv, fd, SHMKV_LOAD_REPLACE, NULL));
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), (off_t)(6 + 2 * d.len));
    close(fd);
    free(d.bytes);
}
END_TEST

/* --------------------------------------------------------------------------- damage */

static void expect_untouched(void) {
    ck_assert_value(kv, "a", NULL);
    ck_assert_value(kv, "b", "later");
    ck_assert_value(kv, "c", "later");
    ck_assert_uint_eq(info_of(kv).incarnation, 1);
    ck_assert_uint_eq(directory_count(scratch_dir()), 1);
}

/* proves [DUMP-03] [DUMP-07] [DUMP-08]: cut off anywhere, nothing is replaced */
START_TEST(test_dump_cut_off_anywhere_is_edump_and_replaces_nothing) {
    struct dump d = dump_of_two();
    for (size_t len = 0; len < d.len; len++) {
        uint64_t n = 0;
        ck_assert_err(load_bytes(kv, d.bytes, len, SHMKV_LOAD_REPLACE, &n), SHMKV_EDUMP);
        ck_assert_uint_le(n, 2);
        ck_assert_detail("byte ");
    }
    expect_untouched();
    size_t len, second = block_at(&d, 2, &len);
    uint64_t n;
    ck_assert_err(load_bytes(kv, d.bytes, second + 5, 0, &n), SHMKV_EDUMP);
    ck_assert_uint_eq(n, 1); /* and said so */
    char where[32];
    snprintf(where, sizeof where, "byte %zu", second);
    ck_assert_detail(where);
    free(d.bytes);
}
END_TEST

/* proves [DUMP-01]: a bit anywhere */
START_TEST(test_dump_with_a_bit_changed_anywhere_replaces_nothing) {
    struct dump d = dump_of_two();
    for (size_t i = 0; i < d.len * 8; i++) {
        d.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        ck_assert_err(load_bytes(kv, d.bytes, d.len, SHMKV_LOAD_REPLACE, NULL), SHMKV_EDUMP);
        d.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    expect_untouched();
    load_ok(kv, &d, SHMKV_LOAD_REPLACE, 2);
    free(d.bytes);
}
END_TEST

START_TEST(test_dump_with_blocks_moved_lost_or_exchanged_replaces_nothing) {
    put_text(kv, "x", "1");
    put_text(kv, "y", "2");
    struct dump first = dump_of(kv, 0, 2);
    put_text(kv, "x", "3");
    put_text(kv, "y", "4");
    struct dump d = dump_of(kv, 0, 2);
    size_t len, other_len, a = block_at(&d, 1, &len), b = block_at(&d, 2, &other_len);
    ck_assert_uint_eq(len, other_len);
    uint8_t *bytes = malloc(d.len);
    /* Moved. */
    memcpy(bytes, d.bytes, d.len);
    memcpy(bytes + a, d.bytes + b, len);
    memcpy(bytes + b, d.bytes + a, len);
    ck_assert_err(load_bytes(kv, bytes, d.len, SHMKV_LOAD_REPLACE, NULL), SHMKV_EDUMP);
    /* Exchanged for that of an earlier dump, at the same place. */
    memcpy(bytes, d.bytes, d.len);
    memcpy(bytes + a, first.bytes + a, len);
    ck_assert_err(load_bytes(kv, bytes, d.len, SHMKV_LOAD_REPLACE, NULL), SHMKV_EDUMP);
    ck_assert_detail("over all blocks");
    /* Lost. */
    memcpy(bytes, d.bytes, a);
    memcpy(bytes + a, d.bytes + b, d.len - b);
    ck_assert_err(load_bytes(kv, bytes, d.len - len, SHMKV_LOAD_REPLACE, NULL), SHMKV_EDUMP);
    ck_assert_value(kv, "x", "3");
    ck_assert_uint_eq(info_of(kv).incarnation, 1);
    free(bytes);
    free(first.bytes);
    free(d.bytes);
}
END_TEST

/* Whoever can make checksums. */
START_TEST(test_dump_with_right_checksums_and_wrong_contents_is_refused) {
    struct dump d = dump_of_two();
    static const struct {
        unsigned block;
        size_t offset; /* in it */
        uint64_t value;
        size_t size;
        int expected;
    } changes[] = {
        {0, sizeof(dump_block_t) + offsetof(dump_begin_t, version), 2, 4, SHMKV_EFORMAT},
        {0, offsetof(dump_block_t, kind), SHMKV_DUMP_KIND_ENTRY, 4, SHMKV_EDUMP},
        {1, offsetof(dump_block_t, kind), 99, 4, SHMKV_EFORMAT},
        {1, sizeof(dump_block_t) + offsetof(dump_entry_t, key_len), 0, 4, SHMKV_EDUMP},
        {1, sizeof(dump_block_t) + offsetof(dump_entry_t, key_len), 8, 4, SHMKV_EDUMP},
        {1, sizeof(dump_block_t) + offsetof(dump_entry_t, key_len), 65537, 4, SHMKV_EDUMP},
        {2, offsetof(dump_block_t, kind), SHMKV_DUMP_KIND_BEGIN, 4, SHMKV_EFORMAT},
        {3, sizeof(dump_block_t) + offsetof(dump_end_t, count), 3, 8, SHMKV_EDUMP},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        size_t len;
        struct dump bent = {.bytes = malloc(d.len), .len = d.len};
        memcpy(bent.bytes, d.bytes, d.len);
        memcpy(bent.bytes + block_at(&d, changes[i].block, &len) + changes[i].offset, &changes[i].value,
               changes[i].size);
        reseal(&bent);
        ck_assert_msg(load_bytes(kv, bent.bytes, bent.len, SHMKV_LOAD_REPLACE, NULL) == changes[i].expected,
                      "change %zu: %s", i, shmkv_error_detail());
        free(bent.bytes);
    }
    expect_untouched();
    free(d.bytes);
}
END_TEST

/* proves [DUMP-04] */
START_TEST(test_dump_of_the_future_with_more_fields_and_optional_blocks_is_read) {
    struct dump d = dump_of_two();
    struct {
        dump_block_t head;
        uint8_t fields[8], body[8];
        uint64_t checksum;
    } unknown = {.head = {.kind = 7 | DUMP_OPTIONAL, .fields = 8, .body = 3}};
    size_t len, at = block_at(&d, 2, &len);
    insert(&d, at, &unknown, sizeof unknown);
    for (unsigned n = 0; n < 2; n++) { /* a field more, of BEGIN and of an entry */
        at = block_at(&d, n, &len);
        dump_block_t head;
        memcpy(&head, d.bytes + at, sizeof head);
        insert(&d, at + sizeof head + head.fields, "new one!", 8);
        head.fields += 8;
        memcpy(d.bytes + at, &head, sizeof head);
    }
    at = block_at(&d, 1, &len);
    d.bytes[at + sizeof(dump_block_t) + offsetof(dump_entry_t, type)] = 200; /* an unknown type */
    reseal(&d);
    load_ok(kv, &d, SHMKV_LOAD_REPLACE, 2);
    char buf[16];
    ck_assert_int_eq(get_item(kv, "a", buf, sizeof buf).type, SHMKV_BYTES);
    ck_assert_value(kv, "a", "dumped");
    ck_assert_value(kv, "b", "dumped");
    free(d.bytes);
}
END_TEST

START_TEST(test_value_that_is_not_of_its_type_is_loaded_as_bytes) {
    static const struct {
        int type, claimed;
        const char *value;
        size_t len;
    } cases[] = {{SHMKV_BYTES, SHMKV_TEXT, "\xff", 1},      {SHMKV_BYTES, SHMKV_BOOLEAN, "\2", 1},
                 {SHMKV_BYTES, SHMKV_INT64, "1234567", 7},  {SHMKV_BYTES, SHMKV_NULL, "x", 1},
                 {SHMKV_TEXT, SHMKV_TEXT, "text", 4},       {SHMKV_INT64, SHMKV_INT64, "12345678", 8},
                 {SHMKV_BYTES, SHMKV_JSON, "\xc3\x28", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_item(kv, "k", SHMKV_BYTES, cases[i].value, cases[i].len, 0, 0);
        struct dump d = dump_of(kv, 0, 1);
        size_t len, at = block_at(&d, 1, &len);
        d.bytes[at + sizeof(dump_block_t) + offsetof(dump_entry_t, type)] = (uint8_t)cases[i].claimed;
        reseal(&d);
        load_ok(kv, &d, 0, 1);
        char buf[16];
        struct shmkv_item item = get_item(kv, "k", buf, sizeof buf);
        ck_assert_int_eq(item.type, cases[i].type);
        ck_assert_mem_eq(buf, cases[i].value, cases[i].len);
        free(d.bytes);
    }
}
END_TEST

/* From here on, half a gibibyte of private memory and no more. */
static void limit_memory(void) {
    char line[128];
    unsigned long long used = 0;
    FILE *f = fopen("/proc/self/status", "re");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) && sscanf(line, "VmData: %llu", &used) != 1)
        ;
    fclose(f);
    struct rlimit rl = {.rlim_cur = used * 1024 + (512u << 20), .rlim_max = RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &rl), 0);
    ck_assert_ptr_null(malloc(DUMP_BODY_MAX));
}

/* proves [DUMP-02]: four gigabytes are announced, and none of them come */
START_TEST(test_length_that_is_announced_costs_no_memory) {
    struct dump d = dump_of_two();
    size_t len, at = block_at(&d, 1, &len);
    uint64_t huge = DUMP_BODY_MAX;
    limit_memory();
    memcpy(d.bytes + at + offsetof(dump_block_t, body), &huge, sizeof huge);
    ck_assert_err(load_bytes(kv, d.bytes, d.len, 0, NULL), SHMKV_EDUMP);
    ck_assert_detail("ends in it");
    huge++;
    memcpy(d.bytes + at + offsetof(dump_block_t, body), &huge, sizeof huge);
    ck_assert_err(load_bytes(kv, d.bytes, d.len, 0, NULL), SHMKV_EDUMP);
    ck_assert_detail("impossible");
    free(d.bytes);
}
END_TEST

static Suite *dump_suite(void) {
    Suite *s = suite_create("dump");
    TCase *tc = case_new(s, "there and back");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_entries_come_back_with_type_and_expiry, 0, 2);
    tcase_add_loop_test(tc, test_empty_segment_comes_back_empty, 0, 2);
    tcase_add_loop_test(tc, test_two_dumps_of_the_same_are_the_same_bytes, 0, 2);
    tcase_add_loop_test(tc, test_bound_and_expired_entries_are_not_dumped, 0, 2);
    tcase_add_test(tc, test_entry_that_expired_in_the_dump_is_not_loaded);
    tc = case_new(s, "ways of loading");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_load_over_keep_and_replace_differ);
    tcase_add_test(tc, test_load_replacing_keeps_limits_slots_and_mode_and_takes_others_along);
    tcase_add_test(tc, test_load_into_a_frozen_segment_is_efrozen_unless_it_replaces);
    tcase_add_test(tc, test_load_replacing_when_the_name_has_gone_gives_it_again);
    tcase_add_test(tc, test_wrong_calls_are_refused);
    tc = case_new(s, "streams");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_dump_goes_through_a_pipe, 0, 2);
    tcase_add_test(tc, test_load_of_a_file_stands_behind_the_dump_afterwards);
    tc = case_new(s, "damage");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_dump_cut_off_anywhere_is_edump_and_replaces_nothing);
    tcase_add_test(tc, test_dump_with_a_bit_changed_anywhere_replaces_nothing);
    tcase_add_test(tc, test_dump_with_blocks_moved_lost_or_exchanged_replaces_nothing);
    tcase_add_test(tc, test_dump_with_right_checksums_and_wrong_contents_is_refused);
    tcase_add_test(tc, test_dump_of_the_future_with_more_fields_and_optional_blocks_is_read);
    tcase_add_test(tc, test_value_that_is_not_of_its_type_is_loaded_as_bytes);
    tcase_add_test(tc, test_length_that_is_announced_costs_no_memory);
    return s;
}

int main(void) { return suite_main(dump_suite()); }
