/*
 * The segment's bytes, as spec/3 has them: short names for the structs that are
 * generated from spec/layout.toml, and the handling of bit fields in words.
 * Nothing here knows what the bytes are for.
 */
#ifndef SHMKV_LAYOUT_H
#define SHMKV_LAYOUT_H

#include "core/src/layout.gen.h"

typedef uint64_t shmkv_off_t; /* bytes from the start of the segment; 0 is none */

typedef struct shmkv_header_layout header_t;
typedef struct shmkv_owner_layout owner_t;
typedef struct shmkv_shard_layout shard_t;
typedef struct shmkv_arena_layout arena_t;
typedef struct shmkv_space_layout space_t;
typedef struct shmkv_entry_layout entry_t;
typedef struct shmkv_run_layout run_t;
typedef struct shmkv_bucket_layout bucket_t;
typedef struct shmkv_record_layout record_t;
typedef struct shmkv_extra_layout extra_t;
typedef struct shmkv_directory_layout directory_t;
typedef struct shmkv_block_layout block_t;

/* FIELD(word, SLOT_TAG): the field's value.   MAKE(SLOT_TAG, v): v in its place. */
#define FIELD(word, f) (((word) >> SHMKV_##f##_SHIFT) & SHMKV_##f##_MASK)
#define MAKE(f, v) (((uint64_t)(v)&SHMKV_##f##_MASK) << SHMKV_##f##_SHIFT)
#define IN_PLACE(f) (SHMKV_##f##_MASK << SHMKV_##f##_SHIFT)

/* Slot, root and cell words keep an offset in the same place, in units of 16
 * bytes whose four zero bits are the word's low bits: masking gives bytes. */
#define OFFSET_IN_WORD IN_PLACE(CELL_UNIT)
#define CLASS_IN_WORD IN_PLACE(CELL_CLASS)
#define CELL_IN_WORD (OFFSET_IN_WORD | CLASS_IN_WORD)
#define PAGE_IN_WORD IN_PLACE(DIRECTORY_PAGE)
#define FILL_ENTRY (1ULL << 63)
#define LIST_ENTRY (1ULL << 62)

/* What of a slot word identifies its entry: all but the marks. */
#define SLOT_IDENTITY (~IN_PLACE(SLOT_MARK))

_Static_assert(SHMKV_SLOT_UNIT_SHIFT == SHMKV_CELL_UNIT_SHIFT &&
                   SHMKV_ROOT_UNIT_SHIFT == SHMKV_CELL_UNIT_SHIFT &&
                   SHMKV_SLOT_CLASS_SHIFT == SHMKV_CELL_CLASS_SHIFT &&
                   SHMKV_ROOT_CLASS_SHIFT == SHMKV_CELL_CLASS_SHIFT &&
                   (1 << SHMKV_CELL_UNIT_SHIFT) == SHMKV_CELL_ALIGN,
               "slot, root and cell words share the place of offset and class");
_Static_assert(SHMKV_GROUP_BUCKETS *SHMKV_BUCKET_SIZE + SHMKV_RUN_HEADER_SIZE == SHMKV_PAGE_SIZE,
               "a group fills its page");

/* 0 for those that do not exist, and for class 0, which has no size of its own. */
extern const uint16_t shmkv_class_sizes[SHMKV_SLOT_CLASS_MASK + 1];

/* Bytes from one slab header to the next for @p cls, which is not 0. */
static inline uint64_t class_slab_size(unsigned cls) {
    return cls <= SHMKV_SMALL_CLASSES ? SHMKV_SMALL_SLAB_SIZE : SHMKV_MEDIUM_SLAB_SIZE;
}
static inline unsigned class_capacity(unsigned cls) {
    return (unsigned)((class_slab_size(cls) - SHMKV_RUN_HEADER_SIZE) / shmkv_class_sizes[cls]);
}

/* The smallest class whose cells hold @p size bytes; 0 when none does. */
unsigned class_for(uint64_t size);

static inline uint64_t round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }

/* Where key and value begin, and how long the whole record is. Spec 3.7. */
static inline uint64_t record_key_offset(bool extra) {
    return SHMKV_RECORD_HEADER_SIZE + (extra ? SHMKV_RECORD_EXTRA_SIZE : 0);
}
static inline uint64_t record_value_offset(uint64_t key_len, bool extra) {
    return record_key_offset(extra) + ((key_len + 7) & ~7ULL);
}
static inline uint64_t record_size(uint64_t key_len, uint64_t value_len, bool extra) {
    return record_value_offset(key_len, extra) + ((value_len + 7) & ~7ULL);
}

#endif
