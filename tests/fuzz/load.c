/*
 * Dumps that nobody would write, to the loader: an answer, a whole segment, and for a
 * load that replaces all or nothing.
 *
 * The first byte of the input says how to load, the rest is the dump. As random bytes
 * never have the right checksums, most inputs get them: what lies behind the
 * checksums is what is to be looked at. LLVMFuzzerTestOneInput() is what libFuzzer calls, built by
 * hand (docs/testing.md); the main() here makes dumps and bends them, and needs no
 * clang.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/src/dump.h"
#include "tests/support/support.h"

#define LARGEST (256u << 10)

static const char *path;
static uint64_t inputs, loaded;
static uint8_t input[LARGEST + 1];

#define EXPECT(condition)                                                                             \
    do {                                                                                              \
        if (!(condition)) {                                                                           \
            fprintf(stderr, "VIOLATION: %s (input %llu; %s)\n", #condition, (unsigned long long)inputs, \
                    shmkv_error_detail());                                                            \
            abort();                                                                                  \
        }                                                                                             \
    } while (0)

/* ---------------------------------------------------------------------- checksums */

/* Make the checksums right of as many blocks as can be told apart, and the chain. */
static void reseal(uint8_t *bytes, size_t len) {
    uint64_t chain = 0;
    memcpy(bytes, DUMP_MAGIC, len < DUMP_MAGIC_SIZE ? len : DUMP_MAGIC_SIZE);
    for (size_t at = DUMP_MAGIC_SIZE;;) {
        dump_block_t head;
        if (at > len || len - at < sizeof head + 8)
            return;
        memcpy(&head, bytes + at, sizeof head);
        if (head.fields > len || head.body > len || head.fields % 8)
            return;
        size_t block = sizeof head + head.fields + round_up(head.body, 8);
        if (block > len - at - 8)
            return;
        if (head.kind == SHMKV_DUMP_KIND_END && head.fields >= sizeof(dump_end_t))
            memcpy(bytes + at + sizeof head + offsetof(dump_end_t, chain), &chain, sizeof chain);
        uint64_t checksum = hash_bytes(bytes + at, block, at);
        memcpy(bytes + at + block, &checksum, sizeof checksum);
        chain = dump_chain(chain, checksum);
        at += block + sizeof checksum;
    }
}

/* ------------------------------------------------------------------------- loading */

/* Through a pipe in pieces, by a child; or from a file. */
static int source(const uint8_t *bytes, size_t len, bool piped, pid_t *writer) {
    *writer = 0;
    if (!piped) {
        int fd = memfd_create("dump", MFD_CLOEXEC);
        EXPECT(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0);
        return fd;
    }
    int ends[2];
    EXPECT(pipe(ends) == 0);
    *writer = fork();
    EXPECT(*writer >= 0);
    if (*writer == 0) {
        close(ends[0]);
        for (size_t at = 0, n; at < len; at += n) {
            n = len - at < 37 ? len - at : 37;
            if (write(ends[1], bytes + at, n) != (ssize_t)n)
                break;
        }
        _exit(0);
    }
    close(ends[1]);
    return ends[0];
}

static void expect_untouched(shmkv_t *kv) {
    char buf[8];
    size_t len;
    uint64_t n;
    EXPECT(shmkv_count(kv, &n) == SHMKV_OK && n == 1);
    EXPECT(shmkv_get(kv, "here", 4, buf, sizeof buf, &len) == SHMKV_OK && len == 6);
    EXPECT(memcmp(buf, "before", 6) == 0);
}

static int load(const uint8_t *bytes, size_t len, unsigned flags, bool piped) {
    struct shmkv_options o = {.size = sizeof o, .owner_slots = 4, .reserve = 1u << 30};
    shmkv_t *kv;
    pid_t writer;
    uint64_t entries, n;
    EXPECT(shmkv_open(path, &o, &kv) == SHMKV_OK);
    EXPECT(shmkv_put(kv, "here", 4, "before", 6) == SHMKV_OK);
    int fd = source(bytes, len, piped, &writer);
    int err = shmkv_load(kv, fd, flags, &entries);
    close(fd);
    EXPECT(!writer || waitpid(writer, NULL, 0) == writer);
    EXPECT(err == SHMKV_OK || err == SHMKV_EDUMP || err == SHMKV_EFORMAT);
    EXPECT(shmkv_verify(kv, NULL, NULL, NULL) == SHMKV_OK);
    EXPECT(shmkv_count(kv, &n) == SHMKV_OK && n <= entries + 1);
    if (err && flags & SHMKV_LOAD_REPLACE)
        expect_untouched(kv);
    loaded += err == SHMKV_OK;
    EXPECT(shmkv_close(kv) == SHMKV_OK);
    EXPECT(shmkv_unlink(path) == SHMKV_OK);
    EXPECT(directory_count(scratch_dir()) == 0);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t bytes[LARGEST];
    names_begin();
    if (!path)
        path = scratch_path("load");
    if (size < 1 || size - 1 > sizeof bytes)
        return 0;
    inputs++;
    memcpy(bytes, data + 1, size - 1);
    if (data[0] & 0xc0)
        reseal(bytes, size - 1);
    load(bytes, size - 1, data[0] % 3, data[0] % 64 > 61);
    return 0;
}

/* --------------------------------------------------------------------- bent dumps */

#ifndef LIBFUZZER
static size_t add_block(uint8_t *out, size_t at, uint32_t kind, const void *fields, size_t fields_len,
                        const void *body, size_t body_len) {
    dump_block_t head = {.kind = kind, .fields = (uint32_t)fields_len, .body = body_len};
    memcpy(out + at, &head, sizeof head);
    memcpy(out + at + sizeof head, fields, fields_len);
    memset(out + at + sizeof head + fields_len, 0, round_up(body_len, 8) + 8);
    memcpy(out + at + sizeof head + fields_len, body, body_len);
    return at + sizeof head + fields_len + round_up(body_len, 8) + 8;
}

/* A dump of some entries, with checksums: as many as were drawn, or as have room. */
static size_t make_dump(struct random *r, uint8_t *out) {
    static uint8_t body[70000];
    dump_begin_t begin = {.version = DUMP_VERSION, .count = DUMP_COUNT_UNKNOWN};
    dump_end_t end = {.count = 0};
    size_t at = add_block(out, DUMP_MAGIC_SIZE, SHMKV_DUMP_KIND_BEGIN, &begin, sizeof begin, "fuzz", 4);
    size_t block = sizeof(dump_block_t) + sizeof(dump_entry_t) + sizeof body + 8; /* the largest */
    size_t room = LARGEST - (sizeof(dump_block_t) + sizeof end + 8) - block;
    for (uint64_t wanted = random_below(r, 12); end.count < wanted && at <= room; end.count++) {
        static const size_t lengths[] = {1, 2, 7, 8, 9, 16, 40, 255, 4000};
        dump_entry_t entry = {.key_len = (uint32_t)lengths[random_below(r, 9)], .type = (uint8_t)random_below(r, 9)};
        size_t value_len = random_below(r, 20) ? lengths[random_below(r, 9)] - 1 : 60000;
        memset(body, (int)('a' + end.count), entry.key_len + value_len);
        at = add_block(out, at, SHMKV_DUMP_KIND_ENTRY, &entry, sizeof entry, body, entry.key_len + value_len);
    }
    at = add_block(out, at, SHMKV_DUMP_KIND_END, &end, sizeof end, "", 0);
    reseal(out, at);
    return at;
}

/* A word, a byte or a bit is another; a piece is missing, or there twice. */
static size_t bend(struct random *r, uint8_t *dump, size_t len) {
    static const uint64_t words[] = {0, 1, 2, 3, 8, 255, 65535, 65536, 65537, 0xffffffff, 0x100000000, 1ULL << 63, UINT64_MAX};
    size_t at = random_below(r, len), n = random_below(r, len - at) % 100;
    uint64_t word = random_below(r, 2) ? words[random_below(r, 13)] : random_next(r);
    switch (random_below(r, 6)) {
    case 0:
        dump[at] ^= (uint8_t)(1 << random_below(r, 8));
        return len;
    case 1:
        at &= ~(size_t)3;
        memcpy(dump + at, &word, len - at < 4 ? len - at : 4);
        return len;
    case 2:
        at &= ~(size_t)7;
        memcpy(dump + at, &word, len - at < 8 ? len - at : 8);
        return len;
    case 3:
        memmove(dump + at, dump + at + n, len - at - n);
        return len - n;
    case 4:
        if (len + n > LARGEST)
            return len;
        memmove(dump + at + n, dump + at, len - at);
        return len + n;
    default:
        return random_below(r, 8) ? len : at;
    }
}

int main(int argc, char **argv) {
    uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 10) : 3000, whole = 0;
    struct random r = random_begin("load");
    names_begin();
    for (uint64_t i = 0; i < runs; i++) {
        unsigned bends = (unsigned)random_below(&r, 6);
        uint8_t *dump = input + 1;
        size_t len = make_dump(&r, dump);
        for (unsigned b = 0; b < bends && len; b++)
            len = bend(&r, dump, len);
        input[0] = (uint8_t)random_next(&r);
        whole += bends == 0;
        uint64_t before = loaded;
        LLVMFuzzerTestOneInput(input, len + 1);
        EXPECT(bends || loaded == before + 1); /* as it was made: a dump */
    }
    printf("%llu dumps, %llu of them as they were made, %llu loaded\n", (unsigned long long)runs,
           (unsigned long long)whole, (unsigned long long)loaded);
    names_sweep(false);
    return 0;
}
#endif
