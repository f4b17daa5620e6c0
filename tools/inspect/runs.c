/*
 * An annotated walk through the runs of a segment.
 *
 * Runs tile the segment, so they are walked from the first to the limit, each
 * telling the length of the next step. What a cell of a slab holds is not written in
 * it: a record, a directory and an overflow bucket look alike. It follows from who
 * refers to it. So a first walk collects the references, from roots, owner slots,
 * buckets and links, and a second one prints, finding each cell's meaning in them.
 *
 * Nothing that is read is believed. A run of no kind or no length ends the walk; an
 * offset counts only within the file; the number of references is bounded by what
 * the file could hold. On a live segment runs may be split and joined between two
 * reads, which then looks like damage: `check` tells the two apart.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/inspect/dissect.h"
#include "tools/inspect/inspect.h"

enum {
    GROUP_BYTES = SHMKV_GROUP_BUCKETS * SHMKV_BUCKET_SIZE,
    CHAIN_STEPS = 4096 /* overflow buckets followed from one bucket */
};

static const uint32_t class_sizes[SHMKV_CLASS_COUNT] = SHMKV_CLASS_SIZES;

/* A run as its header tells. */
struct run {
    uint64_t offset, bytes;
    unsigned kind, class, index;
    struct shmkv_run_layout header;
};

/* ----------------------------------------------------------------- references */

enum ref_kind { REF_RECORD = 1, REF_DIRECTORY, REF_BUCKET, REF_HELD };

/* Somebody says that a thing of this kind is at this place. */
struct ref {
    uint64_t offset;
    uint32_t kind;
    uint32_t who; /* shard or owner slot */
};

struct refs {
    struct ref *array;
    size_t count, room;
    size_t most; /* cells are of 32 bytes at least: there can be no more */
};

static int add_ref(struct refs *refs, uint64_t offset, enum ref_kind kind, uint32_t who) {
    if (refs->count >= refs->most)
        return STATUS_DAMAGED;
    if (refs->count == refs->room) {
        size_t room = refs->room ? 2 * refs->room : 1024;
        struct ref *larger = realloc(refs->array, room * sizeof *larger);
        if (!larger)
            return STATUS_SYSTEM;
        refs->array = larger;
        refs->room = room;
    }
    refs->array[refs->count++] = (struct ref){offset, kind, who};
    return STATUS_OK;
}

static int by_offset(const void *a, const void *b) {
    const struct ref *x = a, *y = b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->kind > y->kind) - (x->kind < y->kind);
}

static const struct ref *find_ref(const struct refs *refs, uint64_t offset) {
    size_t low = 0, high = refs->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (refs->array[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < refs->count && refs->array[low].offset == offset ? &refs->array[low] : NULL;
}

/* The offset that a slot, root or cell word names. */
static uint64_t word_offset(uint64_t word) {
    return (word >> SHMKV_CELL_UNIT_SHIFT & SHMKV_CELL_UNIT_MASK) * SHMKV_CELL_ALIGN;
}

/* References from one bucket and those chained to it. The slots of a group that was left behind
 * name what may be something else by now; its links still count [LAYOUT-10]. */
static int collect_bucket(const struct dissection *d, struct refs *refs, const struct run *run,
                          const struct shmkv_bucket_layout *first) {
    struct shmkv_bucket_layout bucket = *first;
    int slots = run->kind == SHMKV_RUN_KIND_LEFT ? 0 : SHMKV_BUCKET_SLOTS;
    uint32_t shard = run->index;
    int status = STATUS_OK;

    for (int step = 0; step < CHAIN_STEPS && status == STATUS_OK; step++) {
        for (int i = 0; i < slots && status == STATUS_OK; i++)
            if (bucket.slots[i])
                status = add_ref(refs, word_offset(bucket.slots[i]), REF_RECORD, shard);
        uint64_t next = word_offset(bucket.link);
        if (status != STATUS_OK || next == 0)
            break;
        status = add_ref(refs, next, REF_BUCKET, shard);
        if (!image_read(d->image, next, &bucket, sizeof bucket))
            break;
    }
    return status;
}

static int collect_group(const struct dissection *d, struct refs *refs, const struct run *run) {
    struct shmkv_bucket_layout buckets[SHMKV_GROUP_BUCKETS];
    int status = STATUS_OK;

    if (!image_read(d->image, run->offset + SHMKV_RUN_HEADER_SIZE, buckets, GROUP_BYTES))
        return STATUS_OK; /* the printing walk says so */
    for (int i = 0; i < SHMKV_GROUP_BUCKETS && status == STATUS_OK; i++)
        status = collect_bucket(d, refs, run, &buckets[i]);
    return status;
}

static int collect_roots(const struct dissection *d, struct refs *refs) {
    struct shmkv_shard_layout shard;
    int status = STATUS_OK;

    for (uint32_t i = 0; i < d->header.shard_count && status == STATUS_OK; i++) {
        uint64_t offset = d->header.shards_offset + i * sizeof shard;
        if (image_read(d->image, offset, &shard, sizeof shard) && shard.root)
            status = add_ref(refs, word_offset(shard.root), REF_DIRECTORY, i);
    }
    return status;
}

/* What writers hold: a record being built, one taken out, a directory, buckets taken in advance. */
static int collect_held(const struct dissection *d, struct refs *refs) {
    struct shmkv_owner_layout owner;
    int status = STATUS_OK;

    for (uint32_t i = 0; i < d->header.owner_count; i++) {
        if (!image_read(d->image, d->header.owners_offset + i * sizeof owner, &owner, sizeof owner))
            continue;
        const uint64_t words[] = {owner.cell, owner.victim, owner.dir, owner.spare};
        for (int k = 0; k < 4 && status == STATUS_OK; k++)
            if (words[k])
                status = add_ref(refs, word_offset(words[k]), REF_HELD, i);
    }
    return status;
}

/* ----------------------------------------------------------------------- cells */

/* Print the first of @p len bytes of the file. */
static void show_bytes(struct dissection *d, const char *field, uint64_t offset, uint64_t len) {
    unsigned char data[ANNOTATED_BYTES];
    char type[32];
    size_t shown = len < sizeof data ? (size_t)len : sizeof data;

    snprintf(type, sizeof type, "u8[%" PRIu64 "]", len);
    if (image_read(d->image, offset, data, shown))
        annotate_bytes(&d->annotator, field, type, offset, data, len, NULL);
}

/* A record in @p room bytes: header, optional part, key, value. */
static void show_record(struct dissection *d, uint64_t offset, uint64_t room) {
    struct shmkv_record_layout record;
    struct shmkv_extra_layout extra;
    uint64_t end = offset + room;

    if (!image_read(d->image, offset, &record, sizeof record))
        return;
    annotate_struct(&d->annotator, "record", offset, &record);
    offset += sizeof record;
    if (record.flags & SHMKV_RECORD_FLAG_EXTRA) {
        if (!image_read(d->image, offset, &extra, sizeof extra))
            return;
        annotate_struct(&d->annotator, "extra", offset, &extra);
        offset += sizeof extra;
    }
    uint64_t key_len = (uint64_t)record.key_len + 1;
    uint64_t value = offset + (key_len + 7) / 8 * 8;
    if (value > end || record.value_len > end - value) {
        annotate_bytes(&d->annotator, "(the rest)", "", offset, NULL, 0,
                       "lengths do not fit the cell: free, being built, or damaged");
        return;
    }
    show_bytes(d, "key", offset, key_len);
    show_bytes(d, "value", value, record.value_len);
}

/* A directory: its words, with those that repeat the one before left out. */
static void show_directory(struct dissection *d, uint64_t offset, uint64_t room) {
    struct shmkv_directory_layout directory;
    uint64_t word, last = 0;
    char field[32];

    if (!image_read(d->image, offset, &directory, sizeof directory))
        return;
    annotate_struct(&d->annotator, "directory", offset, &directory);
    offset += sizeof directory;
    uint64_t count = directory.depth <= SHMKV_MAX_DEPTH ? 1ULL << directory.depth : 0;
    if (count > (room - sizeof directory) / sizeof word)
        count = (room - sizeof directory) / sizeof word;
    for (uint64_t i = 0; i < count; i++, offset += sizeof word) {
        if (!image_read(d->image, offset, &word, sizeof word))
            return;
        if (i > 0 && word == last && !d->annotator.all)
            continue;
        snprintf(field, sizeof field, "words[%" PRIu64 "]", i);
        annotate_word(&d->annotator, field, "directory", offset, word);
        last = word;
    }
}

/* The used words of a bucket. */
static void show_bucket(struct dissection *d, const char *prefix, uint64_t offset,
                        const struct shmkv_bucket_layout *bucket) {
    char field[48];

    for (int i = 0; i < SHMKV_BUCKET_SLOTS; i++) {
        if (!bucket->slots[i] && !d->annotator.all)
            continue;
        snprintf(field, sizeof field, "%sslots[%d]", prefix, i);
        annotate_word(&d->annotator, field, "slot", offset + 8 * (unsigned)i, bucket->slots[i]);
    }
    if (bucket->link || d->annotator.all) {
        snprintf(field, sizeof field, "%slink", prefix);
        annotate_word(&d->annotator, field, "cell", offset + 56, bucket->link);
    }
}

static void show_overflow(struct dissection *d, uint64_t offset) {
    struct shmkv_bucket_layout bucket;

    if (image_read(d->image, offset, &bucket, sizeof bucket))
        show_bucket(d, "", offset, &bucket);
}

/* A cell that nobody refers to: free, or on its way from one hand to another. */
static void show_free_cell(struct dissection *d, uint64_t offset) {
    uint64_t words[2];

    if (!image_read(d->image, offset, words, sizeof words))
        return;
    annotate_word(&d->annotator, "version", "", offset, words[0]);
    annotate_word(&d->annotator, "next", "cell_link", offset + 8, words[1]);
}

/* One thing of @p room bytes and its meaning by @p ref, which may be NULL. */
static void show_thing(struct dissection *d, const struct ref *ref, uint64_t offset,
                       uint64_t room) {
    static const char *const names[] = {"free cell", "record", "directory", "overflow bucket",
                                        "held cell"};
    unsigned kind = ref ? ref->kind : 0;
    char note[48] = "";

    if (!is_wanted(d, offset, room) || (!ref && !d->annotator.all))
        return;
    if (ref)
        snprintf(note, sizeof note, "of %s %" PRIu32, kind == REF_HELD ? "owner slot" : "shard",
                 ref->who);
    annotate_heading(&d->annotator, names[kind], offset, ref ? note : NULL);
    switch (kind) {
    case REF_RECORD:
    case REF_HELD:
        show_record(d, offset, room);
        break;
    case REF_DIRECTORY:
        show_directory(d, offset, room);
        break;
    case REF_BUCKET:
        show_overflow(d, offset);
        break;
    default:
        show_free_cell(d, offset);
    }
}

/* ------------------------------------------------------------------------ runs */

static const char *run_name(unsigned kind) {
    switch (kind) {
    case SHMKV_RUN_KIND_FREE:
        return "free run";
    case SHMKV_RUN_KIND_SLAB:
        return "slab";
    case SHMKV_RUN_KIND_GROUP:
        return "group";
    case SHMKV_RUN_KIND_LARGE:
        return "large run";
    case SHMKV_RUN_KIND_LEFT:
        return "left group";
    default:
        return NULL;
    }
}

/* Read the header of the run at @p offset. False if there cannot be one. */
static bool read_run(const struct dissection *d, uint64_t offset, struct run *run) {
    if (!image_read(d->image, offset, &run->header, sizeof run->header))
        return false;
    uint64_t head = run->header.head;
    run->offset = offset;
    run->kind = head >> SHMKV_RUN_KIND_SHIFT & SHMKV_RUN_KIND_MASK;
    run->class = head >> SHMKV_RUN_CLASS_SHIFT & SHMKV_RUN_CLASS_MASK;
    run->index = head >> SHMKV_RUN_INDEX_SHIFT & SHMKV_RUN_INDEX_MASK;
    run->bytes = (head >> SHMKV_RUN_PAGES_SHIFT & SHMKV_RUN_PAGES_MASK) * SHMKV_PAGE_SIZE;
    return run_name(run->kind) && run->bytes > 0 && run->bytes <= d->limit - offset &&
           (run->kind != SHMKV_RUN_KIND_SLAB || (run->class > 0 && run->class < SHMKV_CLASS_COUNT));
}

static bool has_buckets(const struct run *run) {
    return run->kind == SHMKV_RUN_KIND_GROUP || run->kind == SHMKV_RUN_KIND_LEFT;
}

static void show_group(struct dissection *d, const struct run *run) {
    struct shmkv_bucket_layout buckets[SHMKV_GROUP_BUCKETS];
    uint64_t offset = run->offset + SHMKV_RUN_HEADER_SIZE;
    char prefix[32];

    if (!image_read(d->image, offset, buckets, GROUP_BYTES))
        return;
    for (int i = 0; i < SHMKV_GROUP_BUCKETS; i++, offset += SHMKV_BUCKET_SIZE) {
        snprintf(prefix, sizeof prefix, "bucket[%d].", i);
        if (is_wanted(d, offset, SHMKV_BUCKET_SIZE))
            show_bucket(d, prefix, offset, &buckets[i]);
    }
}

static void show_slab(struct dissection *d, const struct refs *refs, const struct run *run) {
    uint64_t size = class_sizes[run->class];
    uint64_t carved = run->header.slab >> SHMKV_SLAB_CARVED_SHIFT & SHMKV_SLAB_CARVED_MASK;
    uint64_t most = (run->bytes - SHMKV_RUN_HEADER_SIZE) / size;

    for (uint64_t i = 0; i < carved && i < most; i++) {
        uint64_t offset = run->offset + SHMKV_RUN_HEADER_SIZE + i * size;
        show_thing(d, find_ref(refs, offset), offset, size);
    }
}

static void show_run(struct dissection *d, const struct refs *refs, const struct run *run) {
    char note[96];

    if (!is_wanted(d, run->offset, run->bytes))
        return;
    snprintf(note, sizeof note, "%" PRIu64 " bytes", run->bytes);
    annotate_heading(&d->annotator, run_name(run->kind), run->offset, note);
    annotate_struct(&d->annotator, "run", run->offset, &run->header);
    uint64_t start = run->offset + SHMKV_RUN_HEADER_SIZE;
    if (has_buckets(run))
        show_group(d, run);
    else if (run->kind == SHMKV_RUN_KIND_SLAB)
        show_slab(d, refs, run);
    else if (run->kind == SHMKV_RUN_KIND_LARGE)
        show_thing(d, find_ref(refs, start), start, run->bytes - SHMKV_RUN_HEADER_SIZE);
}

/* Walk all runs: collect their references (@p print false), or print them. Not
 * on and on when the output cannot be written, which main() tells. */
static int walk_runs(struct dissection *d, struct refs *refs, bool print) {
    uint64_t offset = d->header.data_offset;
    struct run run;
    int status = STATUS_OK;

    for (; offset < d->limit && status == STATUS_OK && !ferror(stdout); offset += run.bytes) {
        if (!read_run(d, offset, &run)) {
            if (!print)
                return STATUS_OK; /* the printing walk says so */
            complain("'%s': no run at 0x%" PRIx64 ": damaged, or changed meanwhile", d->image->name,
                     offset);
            return STATUS_DAMAGED;
        }
        if (print)
            show_run(d, refs, &run);
        else if (has_buckets(&run))
            status = collect_group(d, refs, &run);
    }
    return status;
}

int dissect_runs(struct dissection *d) {
    struct refs refs = {.most = d->image->size / 32 + 1024};

    int status = collect_roots(d, &refs);
    if (status == STATUS_OK)
        status = collect_held(d, &refs);
    if (status == STATUS_OK)
        status = walk_runs(d, &refs, false);
    if (status == STATUS_OK) {
        if (refs.count > 0)
            qsort(refs.array, refs.count, sizeof *refs.array, by_offset);
        status = walk_runs(d, &refs, true);
    } else
        complain("'%s': %s", d->image->name,
                 status == STATUS_SYSTEM ? strerror(ENOMEM) : "more references than can be meant");
    free(refs.array);
    return status;
}
