/*
 * Reading a dump. Spec 9.1 and 9.3.
 *
 * A dump is input from anywhere: a disk that forgot, a network, a stranger. A block is
 * read whole, into memory that grows as its bytes arrive and not by what its head
 * announces [DUMP-02], and counts for nothing before its checksum was found right
 * [DUMP-01]. What then is in it is still checked: whoever made the dump can
 * make checksums.
 *
 * A load that replaces fills a file that has no name, and gives it the name after
 * END [DUMP-08]: until then there is nothing to undo.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dump.h"

#define BUFFER (64u << 10)

struct reader {
    int fd;
    uint64_t offset; /* in the dump, of what is read next */
    uint64_t block;  /* of the block under way */
    uint64_t chain, count;
    const uint8_t *ahead; /* read, and not used yet; in buffer */
    size_t ahead_len;
    uint8_t *data; /* the block */
    size_t len, capacity;
    uint8_t buffer[BUFFER];
};

static int bad(const struct reader *r, const char *what) {
    return fail(SHMKV_EDUMP, "the block at byte %llu of the dump: %s", (unsigned long long)r->block,
                what);
}

/* ------------------------------------------------------------------------- bytes */

/* Read something; 0 bytes at the end. */
static int read_some(struct reader *r, uint8_t *to, size_t room, size_t *got) {
    for (;;) {
        ssize_t n = read(r->fd, to, room);
        if (n >= 0) {
            *got = (size_t)n;
            return SHMKV_OK;
        }
        int err = errno == EAGAIN ? dump_await(r->fd, POLLIN) : errno == EINTR ? 0 : errno;
        if (err)
            return fail(err, "reading a dump, at byte %llu", (unsigned long long)r->offset);
    }
}

static int take_ahead(struct reader *r, uint8_t *to, size_t room, size_t *got) {
    int err = SHMKV_OK;
    if (!r->ahead_len) {
        if (room >= BUFFER)
            return read_some(r, to, room, got);
        err = read_some(r, r->buffer, BUFFER, &r->ahead_len);
        r->ahead = r->buffer;
    }
    *got = room < r->ahead_len ? room : r->ahead_len;
    memcpy(to, r->ahead, *got);
    r->ahead += *got;
    r->ahead_len -= *got;
    return err;
}

/* [DUMP-02] At most twice as much room as bytes have come. */
static int make_room(struct reader *r, uint64_t wanted) {
    if (r->len < r->capacity)
        return SHMKV_OK;
    uint64_t larger = r->capacity ? 2 * (uint64_t)r->capacity : BUFFER;
    if (larger > r->len + wanted)
        larger = r->len + wanted;
    uint8_t *data = realloc(r->data, larger);
    if (!data)
        return fail(ENOMEM, "a dump, %llu bytes for the block at byte %llu",
                    (unsigned long long)larger, (unsigned long long)r->block);
    r->data = data;
    r->capacity = larger;
    return SHMKV_OK;
}

/* Append @p wanted bytes to the block. */
static int take(struct reader *r, uint64_t wanted) {
    while (wanted) {
        int err = make_room(r, wanted);
        if (err)
            return err;
        size_t room = r->capacity - r->len, got;
        err = take_ahead(r, r->data + r->len, room < wanted ? room : (size_t)wanted, &got);
        if (err)
            return err;
        if (!got)
            return bad(r, "the dump ends in it");
        r->len += got;
        r->offset += got;
        wanted -= got;
    }
    return SHMKV_OK;
}

/* ------------------------------------------------------------------------ blocks */

/* What a block says, once it is known to say it. */
struct block {
    uint32_t kind;
    const uint8_t *fields, *body;
    uint64_t fields_len, body_len;
    uint64_t checksum;
};

static int read_block(struct reader *r, struct block *b) {
    dump_block_t head;
    r->block = r->offset;
    r->len = 0;
    int err = take(r, sizeof head);
    if (err)
        return err;
    memcpy(&head, r->data, sizeof head);
    if (head.fields % 8 || head.fields > DUMP_FIELDS_MAX || head.body > DUMP_BODY_MAX)
        return bad(r, "its lengths are impossible");
    uint64_t padded = head.fields + round_up(head.body, 8);
    err = take(r, padded + sizeof b->checksum);
    if (err)
        return err;
    const uint8_t *fields = r->data + sizeof head;
    *b = (struct block){.kind = head.kind,
                        .fields = fields,
                        .body = fields + head.fields,
                        .fields_len = head.fields,
                        .body_len = head.body};
    memcpy(&b->checksum, fields + padded, sizeof b->checksum);
    if (hash_inline(r->data, sizeof head + padded, r->block) != b->checksum)
        return bad(r, "its checksum does not match");
    return SHMKV_OK;
}

/* [DUMP-04] More fields than we know are fine, fewer are not. */
static int copy_fields(const struct reader *r, const struct block *b, void *fields, size_t len) {
    if (b->fields_len < len)
        return bad(r, "it has too few fields");
    memcpy(fields, b->fields, len);
    return SHMKV_OK;
}

static int read_begin(struct reader *r) {
    uint8_t magic[DUMP_MAGIC_SIZE];
    r->block = r->len = 0;
    int err = take(r, sizeof magic);
    if (err)
        return err;
    memcpy(magic, r->data, sizeof magic);
    if (memcmp(magic, DUMP_MAGIC, sizeof magic) != 0)
        return fail(SHMKV_EDUMP, "byte 0: it does not begin with a dump's magic bytes");
    struct block b;
    dump_begin_t begin;
    err = read_block(r, &b);
    if (err)
        return err;
    if (b.kind != SHMKV_DUMP_KIND_BEGIN)
        return bad(r, "a dump begins with another kind");
    err = copy_fields(r, &b, &begin, sizeof begin);
    if (err)
        return err;
    if (begin.version != DUMP_VERSION)
        return fail(SHMKV_EFORMAT, "a dump of version %u, this library knows %u", begin.version,
                    DUMP_VERSION);
    r->chain = dump_chain(r->chain, b.checksum);
    return SHMKV_OK;
}

/* An entry of the dump, in the reader's memory. */
struct loaded {
    const uint8_t *key;
    size_t key_len;
    struct shmkv_item item;
};

/* An unknown type, or one that these bytes cannot have, is bytes. Spec 9.3. */
static int type_of_loaded(unsigned type, const uint8_t *value, uint64_t len) {
    int known = type_of_value(type, len);
    switch (known) {
    case SHMKV_TEXT:
    case SHMKV_JSON:
        return utf8_valid(value, len) ? known : SHMKV_BYTES;
    case SHMKV_BOOLEAN:
        return value[0] <= 1 ? known : SHMKV_BYTES;
    default:
        return known;
    }
}

static int parse_entry(const struct reader *r, const struct block *b, struct loaded *e) {
    dump_entry_t fields;
    int err = copy_fields(r, b, &fields, sizeof fields);
    if (err)
        return err;
    if (fields.key_len < 1 || fields.key_len > SHMKV_MAX_KEY || fields.key_len > b->body_len ||
        b->body_len - fields.key_len > SHMKV_MAX_VALUE)
        return bad(r, "a key or value of impossible length");
    e->key = b->body;
    e->key_len = fields.key_len;
    const uint8_t *value = b->body + fields.key_len;
    uint64_t len = b->body_len - fields.key_len;
    e->item = (struct shmkv_item){.data = value,
                                  .len = len,
                                  .type = type_of_loaded(fields.type, value, len),
                                  .flags = SHMKV_NO_DEFAULT_EXPIRY,
                                  .expires_ns = fields.expiry_ns};
    return SHMKV_OK;
}

static int check_end(const struct reader *r, const struct block *b) {
    dump_end_t end;
    int err = copy_fields(r, b, &end, sizeof end);
    if (err)
        return err;
    if (end.count != r->count)
        return bad(r, "the end counts another number of entries");
    return end.chain == r->chain ? SHMKV_OK : bad(r, "the checksum over all blocks does not match");
}

/* The next entry. ENOTFOUND: the dump ends here, and is whole. */
static int next_entry(struct reader *r, struct loaded *e) {
    for (;;) {
        struct block b;
        int err = read_block(r, &b);
        if (err)
            return err;
        if (b.kind == SHMKV_DUMP_KIND_END) {
            err = check_end(r, &b);
            return err ? err : SHMKV_ENOTFOUND;
        }
        r->chain = dump_chain(r->chain, b.checksum);
        if (b.kind == SHMKV_DUMP_KIND_ENTRY) {
            r->count++;
            return parse_entry(r, &b, e);
        }
        if (!(b.kind & DUMP_OPTIONAL))
            return fail(SHMKV_EFORMAT, "the block at byte %llu of the dump is of kind %u",
                        (unsigned long long)r->block, b.kind);
    }
}

/* What was read beyond the end goes back, where that is possible. */
static void give_back(const struct reader *r) {
    if (r->ahead_len)
        (void)lseek(r->fd, -(off_t)r->ahead_len, SEEK_CUR);
}

/* ------------------------------------------------------------------------- stores */

/* Where entries go: into the handle's segment, or into one that has no name yet. */
struct target {
    shmkv_t *kv;
    unsigned flags;
    struct context *ctx; /* of the segment without a name */
};

/* @p stored: whether there is one entry more. */
static int store(const struct target *t, const struct loaded *e, bool *stored) {
    *stored = false;
    if (e->item.expires_ns && e->item.expires_ns <= wall_ns())
        return SHMKV_OK;
    int err;
    if (t->ctx) {
        struct change c = {.key = e->key, .key_len = e->key_len, .item = &e->item};
        err = change_make(t->ctx, &c);
    } else if (t->flags & SHMKV_LOAD_KEEP) {
        err = shmkv_add(t->kv, e->key, e->key_len, &e->item, NULL);
        if (err == SHMKV_EEXISTS)
            return SHMKV_OK;
    } else {
        err = shmkv_put_item(t->kv, e->key, e->key_len, &e->item);
    }
    *stored = err == SHMKV_OK;
    return err;
}

static int load_into(struct reader *r, const struct target *t, uint64_t *entries) {
    uint64_t n = 0;
    int err = read_begin(r);
    while (!err) {
        struct loaded e;
        bool stored;
        err = next_entry(r, &e);
        if (!err)
            err = store(t, &e, &stored);
        if (!err && stored)
            dump_progress(entries, ++n);
    }
    if (err != SHMKV_ENOTFOUND)
        return err;
    give_back(r);
    return SHMKV_OK;
}

/* ------------------------------------------------------------------------ replace */

/* The new segment is what the old one is, but for the entries. */
static int options_of(shmkv_t *kv, struct shmkv_options *opts) {
    struct segment *seg;
    struct stat st;
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    *opts = kv->opts;
    opts->owner_slots = seg->owner_count;
    opts->max_size = seg->max_size;
    opts->default_ttl_ns = seg->default_ttl_ns;
    opts->max_entries = seg->max_entries;
    opts->max_bytes = seg->max_bytes;
    opts->evict = seg->evicts;
    if (fstat(seg->fd, &st) == 0)
        opts->permissions = st.st_mode & 0777;
    else
        err = fail(errno, "%s", seg->loc->path);
    handle_leave();
    return err;
}

static int fill_segment(struct reader *r, struct segment *seg, uint64_t *entries) {
    struct target t = {0};
    int err = context_acquire(seg, &t.ctx);
    if (err)
        return err;
    err = load_into(r, &t, entries);
    context_release(t.ctx);
    return err;
}

static int load_replacing(shmkv_t *kv, struct reader *r, uint64_t *entries) {
    struct shmkv_options opts;
    struct segment *seg;
    struct new_file file;
    int err = options_of(kv, &opts);
    if (!err)
        err = segment_create(&kv->loc, &opts, 1, &seg, &file);
    if (err)
        return err;
    err = fill_segment(r, seg, entries);
    FAULT_POINT("load-before-replace");
    if (!err)
        err = segment_replace_by(&kv->loc, &opts, seg, &file);
    segment_leave(seg);
    file_discard(&file);
    return err;
}

/* ------------------------------------------------------------------------- public */

/* May the handle be written to? */
static int check_handle(shmkv_t *kv, unsigned flags) {
    struct segment *seg;
    if (flags & ~(unsigned)(SHMKV_LOAD_KEEP | SHMKV_LOAD_REPLACE) ||
        flags == (SHMKV_LOAD_KEEP | SHMKV_LOAD_REPLACE))
        return fail(SHMKV_EARGUMENT, "%s: load flags 0x%x", kv_name(kv), flags);
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    if (!seg->writable)
        err = fail(SHMKV_EREADONLY, "%s", seg->loc->path);
    else if (!(flags & SHMKV_LOAD_REPLACE))
        err = segment_check_thawed(seg);
    handle_leave();
    return err;
}

int shmkv_load(shmkv_t *kv, int fd, unsigned flags, uint64_t *entries) {
    dump_progress(entries, 0);
    int err = check_handle(kv, flags);
    if (err)
        return err;
    struct reader *r = calloc(1, sizeof *r);
    if (!r)
        return fail(ENOMEM, "load");
    r->fd = fd;
    err = flags & SHMKV_LOAD_REPLACE ? load_replacing(kv, r, entries)
                                     : load_into(r, &(struct target){kv, flags, NULL}, entries);
    free(r->data);
    free(r);
    return err;
}
