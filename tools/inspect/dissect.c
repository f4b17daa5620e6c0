/*
 * An annotated walk through the fixed parts of a segment: header, owner slots,
 * shards, arenas, space block. The runs after them are in runs.c.
 *
 * The file may be damaged or hostile, so the header's geometry is believed only as
 * far as it lies within the file and within the format's own limits; the work is
 * then bounded by the size of the file.
 */
#include "tools/inspect/dissect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/inspect/inspect.h"

bool is_wanted(const struct dissection *d, uint64_t offset, uint64_t len) {
    return offset < d->to && d->from < offset + len;
}

static bool all_zero(const void *data, size_t len) {
    const unsigned char *s = data;

    for (size_t i = 0; i < len; i++)
        if (s[i])
            return false;
    return true;
}

/* ------------------------------------------------------------------------ geometry */

/* One array of structs of the header: does it lie within the file? */
static bool fits(const struct dissection *d, const char *what, uint64_t offset, uint64_t count,
                 uint64_t most, uint64_t size) {
    if (count <= most && offset <= d->image->size && count * size <= d->image->size - offset)
        return true;
    complain("'%s': the header puts %" PRIu64 " %s at 0x%" PRIx64 ", which is not in the file",
             d->image->name, count, what, offset);
    return false;
}

static int read_geometry(struct dissection *d) {
    struct shmkv_header_layout *h = &d->header;

    if (!fits(d, "owner slots", h->owners_offset, h->owner_count, SHMKV_MAX_OWNERS,
              sizeof(struct shmkv_owner_layout)) ||
        !fits(d, "shards", h->shards_offset, h->shard_count, SHMKV_MAX_SHARDS,
              sizeof(struct shmkv_shard_layout)) ||
        !fits(d, "arenas", h->arenas_offset, h->arena_count, SHMKV_MAX_ARENAS,
              sizeof(struct shmkv_arena_layout)) ||
        !fits(d, "space blocks", h->space_offset, 1, 1, sizeof d->space) ||
        !image_read(d->image, h->space_offset, &d->space, sizeof d->space))
        return STATUS_DAMAGED;
    d->limit = d->space.limit < d->image->size ? d->space.limit : d->image->size;
    return STATUS_OK;
}

static int read_header(struct dissection *d) {
    if (!image_read(d->image, 0, &d->header, sizeof d->header) ||
        memcmp(d->header.magic, SHMKV_MAGIC, SHMKV_MAGIC_SIZE) != 0) {
        complain("'%s': %s", d->image->name, shmkv_strerror(SHMKV_EFOREIGN));
        return STATUS_DAMAGED;
    }
    return STATUS_OK;
}

/* --------------------------------------------------------------------------- parts */

static int show_header(struct dissection *d) {
    if (is_wanted(d, 0, sizeof d->header)) {
        annotate_heading(&d->annotator, "header", 0, NULL);
        annotate_struct(&d->annotator, "header", 0, &d->header);
    }
    return STATUS_OK;
}

/* The structs of one array. Those that were never used are zero, and are counted. */
static int show_array(struct dissection *d, const char *name, uint64_t offset, uint32_t count,
                      size_t size, bool (*is_used)(const void *)) {
    _Alignas(8) unsigned char block[sizeof(struct shmkv_arena_layout)]; /* the largest */
    uint32_t unused = 0;

    for (uint32_t i = 0; i < count; i++, offset += size) {
        char thing[32];
        if (!is_wanted(d, offset, size))
            continue;
        if (!image_read(d->image, offset, block, size)) {
            complain("'%s': the file ends at 0x%" PRIx64, d->image->name, offset);
            return STATUS_DAMAGED;
        }
        if (!d->annotator.all && !is_used(block)) {
            unused++;
            continue;
        }
        snprintf(thing, sizeof thing, "%s %" PRIu32, name, i);
        annotate_heading(&d->annotator, thing, offset, NULL);
        annotate_struct(&d->annotator, name, offset, block);
    }
    if (unused && !d->annotator.as_json)
        printf("\n%" PRIu32 " unused %ss are not shown\n", unused, name);
    return STATUS_OK;
}

static bool owner_is_used(const void *block) {
    const struct shmkv_owner_layout *owner = block;

    return (owner->state >> SHMKV_OWNER_STATE_STATE_SHIFT & SHMKV_OWNER_STATE_STATE_MASK) != 0;
}

static bool shard_is_used(const void *block) {
    return !all_zero(block, sizeof(struct shmkv_shard_layout));
}

static bool arena_is_used(const void *block) {
    return !all_zero(block, sizeof(struct shmkv_arena_layout));
}

static int show_owners(struct dissection *d) {
    return show_array(d, "owner", d->header.owners_offset, d->header.owner_count,
                      sizeof(struct shmkv_owner_layout), owner_is_used);
}

static int show_shards(struct dissection *d) {
    return show_array(d, "shard", d->header.shards_offset, d->header.shard_count,
                      sizeof(struct shmkv_shard_layout), shard_is_used);
}

static int show_arenas(struct dissection *d) {
    return show_array(d, "arena", d->header.arenas_offset, d->header.arena_count,
                      sizeof(struct shmkv_arena_layout), arena_is_used);
}

static int show_space(struct dissection *d) {
    uint64_t offset = d->header.space_offset;

    if (is_wanted(d, offset, sizeof d->space)) {
        annotate_heading(&d->annotator, "space", offset, NULL);
        annotate_struct(&d->annotator, "space", offset, &d->space);
    }
    return STATUS_OK;
}

static const struct {
    const char *name;
    int (*show)(struct dissection *d);
} parts_table[] = {
    {"header", show_header}, {"owners", show_owners}, {"shards", show_shards},
    {"arenas", show_arenas}, {"space", show_space},   {"runs", dissect_runs},
};

enum { PARTS = sizeof parts_table / sizeof *parts_table };

/* "header,runs" as bits; 0 if a word in it names no part. */
static unsigned parse_parts(const char *parts) {
    unsigned mask = 0;

    while (*parts) {
        size_t len = strcspn(parts, ",");
        int i = 0;
        while (i < PARTS && (strlen(parts_table[i].name) != len ||
                             strncmp(parts_table[i].name, parts, len) != 0))
            i++;
        if (i == PARTS)
            return 0;
        mask |= 1U << i;
        parts += len;
        parts += *parts == ',';
    }
    return mask;
}

int dissect(struct dissection *d, const char *parts) {
    unsigned mask = parts ? parse_parts(parts) : (1U << PARTS) - 1;

    if (mask == 0) {
        complain("--part wants one or more of header,owners,shards,arenas,space,runs");
        return STATUS_USAGE;
    }
    int status = read_header(d);
    /* The header is shown even if what it says about the rest makes no sense. */
    if (status == STATUS_OK && mask & 1) {
        d->annotator.part = "header";
        status = show_header(d);
    }
    if (status == STATUS_OK && mask != 1)
        status = read_geometry(d);
    for (int i = 1; i < PARTS && status == STATUS_OK; i++) {
        if (!(mask & 1U << i))
            continue;
        d->annotator.part = parts_table[i].name;
        status = parts_table[i].show(d);
    }
    return status;
}
