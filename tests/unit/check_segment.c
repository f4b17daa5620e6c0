/* What an opener believes of a file, and what it refuses. Spec 5.3. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/checks.h"

#define PAGE SHMKV_PAGE_SIZE
#define SOME_UID 12345

/* A segment with an entry, closed, as a file. */
static const char *some_segment(void) {
    const char *path = scratch_path("seg");
    shmkv_t *kv = open_ok(path, NULL);
    put_text(kv, "k", "v");
    ck_assert_ok(shmkv_close(kv));
    return path;
}

static int try_open(const char *path, int mode, unsigned flags) {
    shmkv_t *kv = (shmkv_t *)&kv;
    struct shmkv_options opts = {.size = sizeof opts, .mode = mode, .flags = flags};
    int err = shmkv_open(path, &opts, &kv);
    if (err)
        ck_assert_ptr_null(kv);
    ck_assert_ok(shmkv_close(kv));
    return err;
}

static uint64_t file_digest(const char *path) {
    static uint8_t bytes[4 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, bytes, sizeof bytes);
    close(fd);
    return n < 0 ? 0 : hash_bytes(bytes, (size_t)n, (uint64_t)n);
}

/* Every way of opening fails so, and leaves the file as it is. proves [LIFE-05] */
static void expect_refused(const char *path, int writing, int reading) {
    uint64_t before = file_digest(path);
    ck_assert_err(try_open(path, SHMKV_SHARED, 0), writing);
    ck_assert_err(try_open(path, SHMKV_EXISTING, 0), writing);
    ck_assert_err(try_open(path, SHMKV_READONLY, 0), reading);
    if (!writing)
        return;
    ck_assert_err(try_open(path, SHMKV_EXCLUSIVE, 0), writing);
    ck_assert_detail(path);
    ck_assert_uint_eq(file_digest(path), before);
}

/* ----------------------------------------------------------------- header fields */

enum seal { SEALED, BROKEN };

struct damage {
    const char *what;
    uint64_t offset;
    size_t size;
    uint64_t value;
    enum seal seal;
    int writing, reading;
};

#define AT(field) offsetof(header_t, field), sizeof((header_t *)0)->field

static const struct damage damages[] = {
    {"magic", 0, 8, 0x0123456789abcdef, SEALED, SHMKV_EFOREIGN, SHMKV_EFOREIGN},
    {"magic, one bit", 7, 1, 0x1b, SEALED, SHMKV_EFOREIGN, SHMKV_EFOREIGN},
    {"newer revision", AT(revision), 2, SEALED, SHMKV_EFORMAT, SHMKV_EFORMAT},
    {"newer revision, sealed in another way", AT(revision), 2, BROKEN, SHMKV_EFORMAT, SHMKV_EFORMAT},
    {"revision 0", AT(revision), 0, SEALED, SHMKV_EFORMAT, SHMKV_EFORMAT},
    {"seed without a new seal", AT(hash_seed), 1, BROKEN, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"seal", AT(checksum), 1, BROKEN, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"unknown incompat", AT(incompat), 1ULL << 63, SEALED, SHMKV_EFORMAT, SHMKV_EFORMAT},
    {"unknown ro_compat", AT(ro_compat), 1ULL << 40, SEALED, SHMKV_EFORMAT, SHMKV_OK},
    {"unknown compat", AT(compat), ~0ULL, SEALED, SHMKV_OK, SHMKV_OK},
    {"header_size", AT(header_size), 8192, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"page_size", AT(page_size), 65536, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"no shards", AT(shard_count), 0, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"63 shards", AT(shard_count), 63, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"too many shards", AT(shard_count), 2048, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"no arenas", AT(arena_count), 0, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"too many arenas", AT(arena_count), 257, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"no owners", AT(owner_count), 0, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"too many owners", AT(owner_count), 16385, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"most owners there can be", AT(owner_count), 0xffffffff, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"owners in the header", AT(owners_offset), 0, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"owners beyond data", AT(owners_offset), 1ULL << 40, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"owners at the end of numbers", AT(owners_offset), ~0ULL - 127, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"owners off their line", AT(owners_offset), 4096 + 64, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"shards in the header", AT(shards_offset), 128, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"shards over owners", AT(shards_offset), 4096, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"arenas beyond data", AT(arenas_offset), 1ULL << 62, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"arenas off their line", AT(arenas_offset), 8192 + 8, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"arenas over owners", AT(arenas_offset), 8192, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"space beyond data", AT(space_offset), 1ULL << 41, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"space over owners", AT(space_offset), 4096, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"data off its page", AT(data_offset), 200 * 4096 + 128, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"data at 0", AT(data_offset), 0, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"data beyond the file", AT(data_offset), 1ULL << 32, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"data at the end of numbers", AT(data_offset), ~0ULL - 4095, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"max_key 0", AT(max_key), 0, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"max_key too large", AT(max_key), 65537, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"max_value too large", AT(max_value), 1ULL << 32, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"state 0", AT(state), 0, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
    {"state 4", AT(state), 4, SEALED, SHMKV_ECORRUPT, SHMKV_ECORRUPT},
};

/* proves [LAYOUT-05] [LAYOUT-06] [LAYOUT-07] [LAYOUT-08] [LAYOUT-09] [LIFE-04] [LIFE-08] [EVOL-01] [EVOL-02] */
START_TEST(test_open_when_a_header_field_is_wrong_says_so) {
    const struct damage *d = &damages[_i];
    const char *path = some_segment();
    printf("%s\n", d->what);
    file_patch(path, d->offset, &d->value, d->size);
    if (d->seal == SEALED)
        header_reseal(path);
    expect_refused(path, d->writing, d->reading);
    /* Damaged or of another revision, it may be removed; without the magic not. */
    ck_assert_err(shmkv_unlink(path), d->writing == SHMKV_EFOREIGN ? SHMKV_EFOREIGN : SHMKV_OK);
    unlink(path);
}
END_TEST

START_TEST(test_open_when_every_byte_of_the_seal_is_flipped_is_refused) {
    const char *path = some_segment();
    for (uint64_t at = 0; at < 256; at++) {
        uint8_t byte;
        /* Bytes 216 to 247 belong to no field, but are sealed as well. */
        file_read(path, at, &byte, 1);
        byte ^= 0x10;
        file_patch(path, at, &byte, 1);
        int err = try_open(path, SHMKV_READONLY, 0);
        ck_assert_msg(err == (at < 8 ? SHMKV_EFOREIGN : at < 12 ? SHMKV_EFORMAT : SHMKV_ECORRUPT), "byte %d: %s",
                      (int)at, result_name(err));
        byte ^= 0x10;
        file_patch(path, at, &byte, 1);
    }
    finish(open_ok(path, NULL), path);
}
END_TEST

/* ------------------------------------------------------------------ limit, length */

static uint64_t space_field(const char *path, uint64_t field) {
    header_t h;
    file_read(path, 0, &h, sizeof h);
    return h.space_offset + field;
}

static void patch_limit(const char *path, uint64_t limit) {
    file_patch(path, space_field(path, offsetof(space_t, limit)), &limit, sizeof limit);
}

START_TEST(test_open_when_the_limit_is_wrong_is_corrupt) {
    const char *path = some_segment();
    const uint64_t limits[] = {0, 4096, 12345, 1ULL << 40, 1ULL << 63, ~0ULL};
    patch_limit(path, limits[_i]);
    expect_refused(path, SHMKV_ECORRUPT, SHMKV_ECORRUPT);
    ck_assert_ok(shmkv_unlink(path));
}
END_TEST

START_TEST(test_open_when_truncated_is_an_error_and_no_signal) {
    const char *path = some_segment();
    header_t h;
    uint64_t limit;
    file_read(path, 0, &h, sizeof h);
    file_read(path, space_field(path, offsetof(space_t, limit)), &limit, sizeof limit);
    const struct {
        uint64_t size;
        int err;
    } cases[] = {
        {limit - 1, SHMKV_ECORRUPT},     {h.data_offset + 1, SHMKV_ECORRUPT}, {h.data_offset - 1, SHMKV_ECORRUPT},
        {h.space_offset, SHMKV_ECORRUPT}, {4096, SHMKV_ECORRUPT},              {4095, SHMKV_ECORRUPT},
        {256, SHMKV_ECORRUPT},           {8, SHMKV_ECORRUPT},                 {7, SHMKV_EFOREIGN},
        {1, SHMKV_EFOREIGN},             {0, SHMKV_EFOREIGN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(truncate(path, (off_t)cases[i].size), 0);
        expect_refused(path, cases[i].err, cases[i].err);
    }
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(test_open_when_short_and_of_another_revision_asks_for_a_newer_version) {
    const char *path = some_segment();
    uint32_t revision = 7;
    file_patch(path, offsetof(header_t, revision), &revision, sizeof revision);
    ck_assert_int_eq(truncate(path, 512), 0);
    expect_refused(path, SHMKV_EFORMAT, SHMKV_EFORMAT);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(test_open_when_the_file_is_longer_than_the_limit_works) {
    const char *path = some_segment();
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(truncate(path, st.st_size + 3 * PAGE + 1), 0);
    shmkv_t *kv = open_ok(path, NULL);
    ck_assert_value(kv, "k", "v");
    static char big[1 << 20];
    ck_assert_ok(shmkv_put(kv, "big", 3, big, sizeof big));
    finish(kv, path);
}
END_TEST

/* ---------------------------------------------------------------- foreign objects */

static void expect_foreign(const char *path) {
    struct stat before, after;
    ck_assert_int_eq(lstat(path, &before), 0);
    for (int mode = SHMKV_SHARED; mode <= SHMKV_READONLY; mode++)
        ck_assert_err(try_open(path, mode, 0), SHMKV_EFOREIGN);
    ck_assert_err(shmkv_unlink(path), SHMKV_EFOREIGN);
    ck_assert_int_eq(lstat(path, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    ck_assert_int_eq(before.st_size, after.st_size);
    ck_assert_int_eq(before.st_mode, after.st_mode);
}

START_TEST(test_open_when_it_is_a_fifo_is_foreign_and_does_not_wait) {
    const char *path = scratch_path("fifo");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    expect_foreign(path);
    unlink(path);
}
END_TEST

START_TEST(test_open_when_it_is_a_directory_is_foreign) {
    const char *path = scratch_path("dir");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    expect_foreign(path);
    rmdir(path);
}
END_TEST

START_TEST(test_open_when_it_is_a_socket_is_foreign) {
    const char *path = scratch_path("socket");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    ck_assert_uint_lt(strlen(path), sizeof addr.sun_path);
    strcpy(addr.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    expect_foreign(path);
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(test_open_when_it_is_a_symlink_is_foreign_even_to_a_segment) {
    const char *path = some_segment(), *link = scratch_path("link");
    ck_assert_int_eq(symlink(path, link), 0);
    expect_foreign(link);
    unlink(link);
    ck_assert_int_eq(symlink(scratch_path("nowhere"), link), 0);
    expect_foreign(link);
    ck_assert_int_ne(access(scratch_path("nowhere"), F_OK), 0);
    unlink(link);
    finish(open_ok(path, NULL), path);
}
END_TEST

START_TEST(test_open_when_it_is_a_text_file_is_foreign) {
    const char *path = scratch_path("text");
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "hello, I am no segment\n", 23), 23);
    close(fd);
    expect_foreign(path);
    unlink(path);
}
END_TEST

START_TEST(test_open_when_it_is_an_empty_file_is_foreign) {
    const char *path = scratch_path("empty");
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    expect_foreign(path);
    unlink(path);
}
END_TEST

START_TEST(test_open_when_it_is_a_device_is_foreign) {
    expect_foreign("/dev/null");
    expect_foreign("/dev/zero");
}
END_TEST

/* Looking at it must not fill it: not even at a hole of gigabytes. */
START_TEST(test_open_when_it_is_a_sparse_file_is_foreign_and_stays_sparse) {
    const char *path = scratch_path("sparse");
    struct stat before, after;
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_eq(ftruncate(fd, 8LL << 30), 0);
    ck_assert_int_eq(fstat(fd, &before), 0);
    expect_foreign(path);
    ck_assert_int_eq(fstat(fd, &after), 0);
    ck_assert_int_eq(after.st_blocks, 0);
    ck_assert_int_eq(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    close(fd);
    unlink(path);
}
END_TEST

/* A segment that somebody punched, or made with a header and a limit of gigabytes. */
START_TEST(test_open_when_it_has_holes_is_damage_and_they_stay) {
    const char *path = some_segment();
    shmkv_t *kv = open_ok(path, NULL);
    uint64_t data = info_of(kv).file_size - SHMKV_PAGE_SIZE;
    uint64_t limit_at = (uint64_t)((uint8_t *)&segment_of(kv)->space->limit - segment_of(kv)->base);
    shmkv_close(kv);
    uint64_t limit = 4ULL << 30;
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, (off_t)limit), 0);
    file_patch(path, limit_at, &limit, sizeof limit);
    for (int mode = SHMKV_SHARED; mode <= SHMKV_READONLY; mode++)
        ck_assert_err(try_open(path, mode, 0), SHMKV_ECORRUPT);
    ck_assert_detail("holes");
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_le((uint64_t)st.st_blocks * 512, data + SHMKV_PAGE_SIZE);
    close(fd);
    ck_assert_ok(shmkv_unlink(path));
}
END_TEST

/* ---------------------------------------------------------- owners and permissions */

/* Not even root can in a user namespace that knows no other users. */
static bool can_be_others(const char *path) {
    if (chown(path, SOME_UID, SOME_UID) == 0 && chown(path, geteuid(), getegid()) == 0)
        return true;
    printf("not checked: this process cannot make files of other users: %s\n", strerror(errno));
    return false;
}

START_TEST(test_open_when_of_another_user_is_refused_unless_wanted) {
    const char *path = some_segment();
    if (!can_be_others(path)) {
        finish(open_ok(path, NULL), path);
        return;
    }
    ck_assert_int_eq(chown(path, SOME_UID, SOME_UID), 0);
    for (int mode = SHMKV_SHARED; mode <= SHMKV_READONLY; mode++)
        ck_assert_err(try_open(path, mode, 0), SHMKV_EOWNER);
    ck_assert_detail("12345");
    ck_assert_err(shmkv_unlink(path), SHMKV_EOWNER);
    ck_assert_ok(try_open(path, SHMKV_SHARED, SHMKV_ANY_OWNER));
    ck_assert_ok(try_open(path, SHMKV_READONLY, SHMKV_ANY_OWNER));
    unlink(path);
}
END_TEST

static void open_as_another_user(void *arg) {
    const char *path = arg;
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(chmod(scratch_dir(), 0755), 0);
    ck_assert_int_eq(setuid(SOME_UID), 0);
    for (int mode = SHMKV_SHARED; mode <= SHMKV_READONLY; mode++)
        ck_assert_err(try_open(path, mode, 0), EACCES);
    ck_assert_detail(path);
    ck_assert_err(shmkv_unlink(path), EACCES);
}

START_TEST(test_open_when_not_permitted_is_eacces) {
    const char *path = some_segment();
    if (can_be_others(path))
        ck_assert(child_succeeded(child_start(open_as_another_user, (void *)(uintptr_t)path)));
    finish(open_ok(path, NULL), path);
}
END_TEST

static void read_as_another_user(void *arg) {
    const char *path = arg;
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(chmod(scratch_dir(), 0755), 0);
    ck_assert_int_eq(setuid(SOME_UID), 0);
    ck_assert_err(try_open(path, SHMKV_SHARED, 0), EACCES);
    shmkv_t *kv = open_mode(path, SHMKV_READONLY);
    ck_assert_value(kv, "k", "v");
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(kv));
}

START_TEST(test_open_when_only_readable_attaches_read_only) {
    const char *path = some_segment();
    if (can_be_others(path))
        ck_assert(child_succeeded(child_start(read_as_another_user, (void *)(uintptr_t)path)));
    finish(open_ok(path, NULL), path);
}
END_TEST

/* -------------------------------------------------------------------- the mapping */

START_TEST(test_open_when_the_reserve_is_shorter_than_the_file_is_ereserve) {
    const char *path = some_segment();
    shmkv_t *kv;
    struct shmkv_options opts = {.size = sizeof opts, .reserve = PAGE};
    ck_assert_err(shmkv_open(path, &opts, &kv), SHMKV_ERESERVE);
    finish(open_ok(path, NULL), path);
}
END_TEST

START_TEST(test_put_when_the_reserve_is_used_up_is_ereserve_and_nothing_is_lost) {
    const char *name = unique_name();
    static char big[1 << 20];
    struct shmkv_options opts = {.size = sizeof opts, .reserve = 4 << 20};
    shmkv_t *kv = open_ok(name, &opts);
    int err = SHMKV_OK;
    uint32_t n = 0;
    while (!err && n < 100)
        err = shmkv_put(kv, &n, sizeof n, big, sizeof big), n += !err;
    ck_assert_err(err, SHMKV_ERESERVE);
    ck_assert_uint_eq(count_of(kv), n);
    ck_assert_whole(kv);
    ck_assert_ok(shmkv_close(kv));
    /* A larger one goes on. */
    kv = open_ok(name, NULL);
    ck_assert_ok(shmkv_put(kv, &n, sizeof n, big, sizeof big));
    finish(kv, name);
}
END_TEST

START_TEST(test_get_when_others_outgrew_the_reserve_is_ereserve) {
    const char *name = unique_name();
    static char big[1 << 20];
    struct shmkv_options opts = {.size = sizeof opts, .reserve = 2 << 20};
    shmkv_t *small = open_ok(name, &opts), *kv = open_ok(name, NULL);
    put_text(kv, "first", "v");
    for (uint32_t n = 0; n < 5; n++)
        ck_assert_ok(shmkv_put(kv, &n, sizeof n, big, sizeof big));
    put_text(kv, "last", "v");
    ck_assert_value(small, "first", "v");
    for (uint32_t n = 4; n < 5; n++)
        ck_assert_err(shmkv_get(small, &n, sizeof n, big, sizeof big, NULL), SHMKV_ERESERVE);
    ck_assert_ok(shmkv_close(small));
    finish(kv, name);
}
END_TEST

static void open_with_little_address_space(void *arg) {
    struct rlimit rl = {3ULL << 30, 3ULL << 30};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &rl), 0);
    shmkv_t *kv = open_ok(arg, NULL);
    put_text(kv, "k", "small");
    ck_assert_uint_lt(segment_of(kv)->reserve, 3ULL << 30);
    ck_assert_ok(shmkv_close(kv));
    struct shmkv_options opts = {.size = sizeof opts, .flags = SHMKV_HUGE_PAGES};
    kv = open_ok(arg, &opts);
    ck_assert_value(kv, "k", "small");
    ck_assert_uint_lt(segment_of(kv)->reserve, 3ULL << 30);
    ck_assert_ok(shmkv_close(kv));
}

START_TEST(test_open_under_rlimit_as_takes_a_smaller_reserve) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    printf("not checked: sanitizers need the address space themselves\n");
#else
    const char *name = unique_name();
    ck_assert(child_succeeded(child_start(open_with_little_address_space, (void *)(uintptr_t)name)));
    shmkv_t *kv = open_ok(name, NULL);
    ck_assert_value(kv, "k", "small");
    finish(kv, name);
#endif
}
END_TEST

/* ---------------------------------------------------------------------- huge pages */

#define HUGE_PAGE (2u << 20)

/* Does this system make a huge page of memory like a segment's, now? */
static bool huge_pages_are_made(void) {
    char path[300];
    snprintf(path, sizeof path, "/dev/shm/%s", unique_name());
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    ck_assert_int_eq(posix_fallocate(fd, 0, 4 * HUGE_PAGE), 0);
    uint8_t *p = mmap(NULL, 4 * HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert(p != MAP_FAILED);
    p += -(uintptr_t)p % HUGE_PAGE;
    /* Only where the file's offset and the address agree can there be one. */
    bool made = mmap(p, HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == p &&
                madvise(p, HUGE_PAGE, 25 /* MADV_COLLAPSE */) == 0;
    close(fd);
    unlink(path);
    return made;
}

static void put_numbers(shmkv_t *kv, uint32_t n) {
    char value[1000] = "";
    for (uint32_t i = 0; i < n; i++) {
        memcpy(value, &i, sizeof i);
        ck_assert_ok(shmkv_put(kv, &i, sizeof i, value, sizeof value));
    }
}

static void check_numbers(shmkv_t *kv, uint32_t n) {
    char value[1000];
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_ok(shmkv_get(kv, &i, sizeof i, value, sizeof value, NULL));
        ck_assert_mem_eq(value, &i, sizeof i);
    }
}

START_TEST(test_open_for_huge_pages_is_the_same_segment_and_tells_what_came_of_it) {
    const char *name = unique_name();
    bool made = huge_pages_are_made();
    shmkv_t *plain = open_ok(name, NULL);
    ck_assert_uint_eq((uintptr_t)segment_of(plain)->base % HUGE_PAGE, 0); /* it sees what others make */
    put_numbers(plain, 10000);
    for (int mode = SHMKV_EXISTING; mode <= SHMKV_READONLY; mode++) {
        struct shmkv_options opts = {.size = sizeof opts, .mode = mode, .flags = SHMKV_HUGE_PAGES};
        shmkv_t *kv = open_ok(name, &opts);
        ck_assert_uint_eq((uintptr_t)segment_of(kv)->base % HUGE_PAGE, 0);
        check_numbers(kv, 10000);
        uint64_t huge = info_of(kv).huge_bytes;
        printf("%llu of %llu bytes by huge pages%s\n", (unsigned long long)huge,
               (unsigned long long)info_of(kv).file_size, made ? "" : ", which are not made here");
        ck_assert_uint_le(huge, info_of(kv).file_size);
        ck_assert(huge > 0 || !made);
        if (mode == SHMKV_EXISTING) {
            put_numbers(kv, 20000);
            ck_assert_uint_eq(info_of(kv).file_size % HUGE_PAGE, 0);
            ck_assert_uint_ge(info_of(kv).huge_bytes, huge);
            ck_assert_uint_eq(info_of(kv).file_allocated, info_of(kv).file_size);
        }
        ck_assert_ok(shmkv_close(kv));
    }
    check_numbers(plain, 20000);
    ck_assert_uint_eq(info_of(plain).huge_bytes, 0);
    finish(plain, name);
}
END_TEST

/* proves [LIFE-06]: the geometry is the one that was checked */
START_TEST(test_header_when_scribbled_over_after_opening_moves_no_bound) {
    const char *path = some_segment();
    shmkv_t *kv = open_ok(path, NULL);
    uint8_t saved[256], junk[256];
    file_read(path, 0, saved, sizeof saved);
    memset(junk, 0xff, sizeof junk);
    file_patch(path, 0, junk, sizeof junk);
    put_text(kv, "k", "w");
    ck_assert_value(kv, "k", "w");
    ck_assert_err(shmkv_exists(kv, "other", 5), SHMKV_ENOTFOUND);
    file_patch(path, 0, saved, sizeof saved);
    finish(kv, path);
}
END_TEST

static Suite *segment_suite(void) {
    Suite *s = suite_create("segment");
    TCase *tc = case_new(s, "header");
    tcase_add_loop_test(tc, test_open_when_a_header_field_is_wrong_says_so, 0, (int)(sizeof damages / sizeof *damages));
    tcase_add_test(tc, test_open_when_every_byte_of_the_seal_is_flipped_is_refused);
    tc = case_new(s, "limit and length");
    tcase_add_loop_test(tc, test_open_when_the_limit_is_wrong_is_corrupt, 0, 6);
    tcase_add_test(tc, test_open_when_truncated_is_an_error_and_no_signal);
    tcase_add_test(tc, test_open_when_short_and_of_another_revision_asks_for_a_newer_version);
    tcase_add_test(tc, test_open_when_the_file_is_longer_than_the_limit_works);
    tc = case_new(s, "foreign objects");
    tcase_add_test(tc, test_open_when_it_is_a_fifo_is_foreign_and_does_not_wait);
    tcase_add_test(tc, test_open_when_it_is_a_device_is_foreign);
    tcase_add_test(tc, test_open_when_it_is_a_sparse_file_is_foreign_and_stays_sparse);
    tcase_add_test(tc, test_open_when_it_has_holes_is_damage_and_they_stay);
    tcase_add_test(tc, test_open_when_it_is_a_directory_is_foreign);
    tcase_add_test(tc, test_open_when_it_is_a_socket_is_foreign);
    tcase_add_test(tc, test_open_when_it_is_a_symlink_is_foreign_even_to_a_segment);
    tcase_add_test(tc, test_open_when_it_is_a_text_file_is_foreign);
    tcase_add_test(tc, test_open_when_it_is_an_empty_file_is_foreign);
    tc = case_new(s, "owners and permissions");
    tcase_add_test(tc, test_open_when_of_another_user_is_refused_unless_wanted);
    tcase_add_test(tc, test_open_when_not_permitted_is_eacces);
    tcase_add_test(tc, test_open_when_only_readable_attaches_read_only);
    tc = case_new(s, "mapping");
    tcase_add_test(tc, test_open_when_the_reserve_is_shorter_than_the_file_is_ereserve);
    tcase_add_test(tc, test_put_when_the_reserve_is_used_up_is_ereserve_and_nothing_is_lost);
    tcase_add_test(tc, test_get_when_others_outgrew_the_reserve_is_ereserve);
    tcase_add_test(tc, test_open_under_rlimit_as_takes_a_smaller_reserve);
    tcase_add_test(tc, test_header_when_scribbled_over_after_opening_moves_no_bound);
    tcase_add_test(tc, test_open_for_huge_pages_is_the_same_segment_and_tells_what_came_of_it);
    return s;
}

int main(void) { return suite_main(segment_suite()); }
