/*
 * Writing a dump. Spec 9.1 and 9.2.
 *
 * The segment is walked by a cursor, which holds up nobody and shows each entry at its
 * own moment, or copied by a snapshot first. Each entry becomes one block, which is
 * hashed as it goes by: a value is not copied but into a buffer of fixed size.
 *
 * A dump that cannot be finished has no END, and so nobody takes it for whole.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dump.h"

#define BUFFER (64u << 10)

struct writer {
    int fd;
    uint64_t offset; /* in the dump, of what comes next */
    uint64_t chain, count;
    size_t held;
    XXH3_state_t hash; /* of the block under way */
    uint8_t *buffer;
};

int dump_await(int fd, short events) {
    struct pollfd p = {.fd = fd, .events = events};
    while (poll(&p, 1, -1) < 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/* ------------------------------------------------------------------------- bytes */

static int write_out(struct writer *w, const uint8_t *bytes, size_t len) {
    while (len) {
        ssize_t n = write(w->fd, bytes, len);
        if (n >= 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (errno != EINTR) {
            int err = errno == EAGAIN ? dump_await(w->fd, POLLOUT) : errno;
            if (err)
                return fail(err, "writing a dump, near byte %llu", (unsigned long long)w->offset);
        }
    }
    return SHMKV_OK;
}

static int flush(struct writer *w) {
    int err = write_out(w, w->buffer, w->held);
    w->held = 0;
    return err;
}

static int put_bytes(struct writer *w, const void *bytes, size_t len) {
    int err = len > BUFFER - w->held ? flush(w) : SHMKV_OK;
    if (err)
        return err;
    w->offset += len;
    if (len >= BUFFER)
        return write_out(w, bytes, len);
    memcpy(w->buffer + w->held, bytes, len);
    w->held += len;
    return SHMKV_OK;
}

/* ------------------------------------------------------------------------ blocks */

static int put_hashed(struct writer *w, const void *bytes, size_t len) {
    XXH3_64bits_update(&w->hash, bytes, len);
    return put_bytes(w, bytes, len);
}

/* A body of two parts, as that of an entry is; either may be empty. */
static int put_block(struct writer *w, enum shmkv_dump_kind kind, const void *fields,
                     size_t fields_len, const struct shmkv_bytes body[2]) {
    static const uint8_t zeros[8];
    dump_block_t head = {
        .kind = kind, .fields = (uint32_t)fields_len, .body = (uint64_t)body[0].len + body[1].len};
    XXH3_64bits_reset_withSeed(&w->hash, w->offset);
    int err = put_hashed(w, &head, sizeof head);
    if (!err)
        err = put_hashed(w, fields, fields_len);
    for (int i = 0; !err && i < 2; i++)
        if (body[i].len)
            err = put_hashed(w, body[i].data, body[i].len);
    if (!err)
        err = put_hashed(w, zeros, -head.body & 7);
    uint64_t checksum = XXH3_64bits_digest(&w->hash);
    w->chain = dump_chain(w->chain, checksum);
    return err ? err : put_bytes(w, &checksum, sizeof checksum);
}

static const struct shmkv_bytes no_body[2];

static int put_begin(struct writer *w, shmkv_t *kv, unsigned flags, uint64_t count) {
    struct shmkv_info info = {.size = sizeof info};
    int err = shmkv_info(kv, &info);
    if (err)
        return err;
    dump_begin_t begin = {
        .version = DUMP_VERSION,
        .flags = flags & SHMKV_DUMP_SNAPSHOT ? 1 : 0,
        .count = count,
        .incarnation = info.incarnation,
        .created_ns = info.created_ns,
        .max_key = info.max_key,
        .max_value = info.max_value,
        .max_size = info.max_size,
    };
    memcpy(begin.uuid, info.uuid, sizeof begin.uuid);
    const struct shmkv_bytes name[2] = {{kv->loc.entry, strlen(kv->loc.entry)}};
    err = put_bytes(w, DUMP_MAGIC, DUMP_MAGIC_SIZE);
    return err ? err : put_block(w, SHMKV_DUMP_KIND_BEGIN, &begin, sizeof begin, name);
}

/* [DUMP-06] What is bound to its writer is nothing for others, later. */
static int put_entry(struct writer *w, const void *key, size_t key_len,
                     const struct shmkv_item *item, uint64_t *entries) {
    if (item->flags & SHMKV_BOUND)
        return SHMKV_OK;
    /* [DUMP-05] All of it, for nothing of a struct's padding is ours to leave. */
    dump_entry_t fields;
    memset(&fields, 0, sizeof fields);
    fields.expiry_ns = item->expires_ns;
    fields.key_len = (uint32_t)key_len;
    fields.type = (uint8_t)item->type;
    const struct shmkv_bytes body[2] = {{key, key_len}, {item->data, item->len}};
    int err = put_block(w, SHMKV_DUMP_KIND_ENTRY, &fields, sizeof fields, body);
    if (!err)
        dump_progress(entries, ++w->count);
    return err;
}

static int put_end(struct writer *w) {
    dump_end_t end = {.count = w->count, .chain = w->chain};
    int err = put_block(w, SHMKV_DUMP_KIND_END, &end, sizeof end, no_body);
    return err ? err : flush(w);
}

/* -------------------------------------------------------------------------- walks */

/* Where a value goes that may be longer each time one looks. */
struct room {
    uint8_t *data;
    size_t size;
};

static int fetch(shmkv_t *kv, const void *key, size_t key_len, struct room *room,
                 struct shmkv_item *item) {
    int err;
    while ((err = shmkv_get_item(kv, key, key_len, room->data, room->size, item)) ==
           SHMKV_ETOOSMALL) {
        free(room->data);
        room->size = item->len + item->len / 4;
        room->data = malloc(room->size);
        if (!room->data) {
            room->size = 0;
            return fail(ENOMEM, "dump, a value of %zu bytes", item->len);
        }
    }
    return err;
}

static int walk(struct writer *w, shmkv_t *kv, shmkv_cursor_t *cursor, struct room *room,
                uint64_t *entries) {
    for (;;) {
        const void *key;
        size_t key_len;
        struct shmkv_item item;
        /* Should the handle have moved to another segment, this is where it shows. */
        int err = shmkv_cursor_next(cursor, &key, &key_len, NULL, NULL);
        if (err)
            return err == SHMKV_ENOTFOUND ? SHMKV_OK : err;
        err = fetch(kv, key, key_len, room, &item);
        if (!err)
            err = put_entry(w, key, key_len, &item, entries);
        if (err && err != SHMKV_ENOTFOUND)
            return err;
    }
}

static int dump_by_cursor(struct writer *w, shmkv_t *kv, unsigned flags, uint64_t *entries) {
    shmkv_cursor_t *cursor;
    struct room room = {0};
    int err = shmkv_cursor_open(kv, SHMKV_KEYS_ONLY, &cursor);
    if (err)
        return err;
    err = put_begin(w, kv, flags, DUMP_COUNT_UNKNOWN);
    if (!err)
        err = walk(w, kv, cursor, &room, entries);
    shmkv_cursor_close(cursor);
    free(room.data);
    return err;
}

/* Entries that will be in the dump. */
static uint64_t unbound(shmkv_snapshot_t *snapshot) {
    const void *key;
    size_t key_len;
    struct shmkv_item item;
    uint64_t n = 0;
    snapshot_rewind(snapshot);
    while (shmkv_snapshot_next_item(snapshot, &key, &key_len, &item) == SHMKV_OK)
        n += !(item.flags & SHMKV_BOUND);
    snapshot_rewind(snapshot);
    return n;
}

static int dump_snapshot(struct writer *w, shmkv_t *kv, unsigned flags, uint64_t *entries) {
    shmkv_snapshot_t *snapshot;
    unsigned moves = atomic_load(&kv->moves);
    int err = shmkv_snapshot(kv, &snapshot);
    if (err)
        return err;
    err = put_begin(w, kv, flags, unbound(snapshot));
    if (!err && moves != atomic_load(&kv->moves)) /* whose entries, whose facts? */
        err = fail(SHMKV_ESTALE, "%s: dumping it", kv->loc.path);
    const void *key;
    size_t key_len;
    struct shmkv_item item;
    while (!err && shmkv_snapshot_next_item(snapshot, &key, &key_len, &item) == SHMKV_OK)
        err = put_entry(w, key, key_len, &item, entries);
    shmkv_snapshot_free(snapshot);
    return err;
}

/* ------------------------------------------------------------------------- public */

int shmkv_dump(shmkv_t *kv, int fd, unsigned flags, uint64_t *entries) {
    dump_progress(entries, 0);
    if (!kv)
        return fail(SHMKV_ECLOSED, "segment");
    if (flags & ~(unsigned)SHMKV_DUMP_SNAPSHOT)
        return fail(SHMKV_EARGUMENT, "%s: dump flags 0x%x", kv_name(kv), flags);
    struct writer w = {.fd = fd, .buffer = malloc(BUFFER)};
    if (!w.buffer)
        return fail(ENOMEM, "dump");
    int err = flags & SHMKV_DUMP_SNAPSHOT ? dump_snapshot(&w, kv, flags, entries)
                                          : dump_by_cursor(&w, kv, flags, entries);
    if (!err)
        err = put_end(&w); /* [DUMP-07] */
    free(w.buffer);
    return err;
}
