/* Structs of the format in words: see annotate.c. */
#ifndef SHMKV_TOOLS_INSPECT_ANNOTATE_H
#define SHMKV_TOOLS_INSPECT_ANNOTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/inspect/output.h"

/* Prints annotated bytes: a heading for each thing, a line for each field. */
struct annotator {
    struct report json; /* used if as_json */
    bool as_json;
    bool all;           /* show empty elements and free places too */
    const char *part;   /* "header", "owners", …; for JSON */
    char thing[64];     /* "shard 3"; for JSON */
    uint32_t described; /* structs whose fields have been explained: bits by table index */
};

/* Begin a thing, such as "shard 3", at @p offset; @p note may be NULL. */
void annotate_heading(struct annotator *a, const char *thing, uint64_t offset, const char *note);

/* One struct of spec/layout.toml, by its name there. @p data: its bytes, all of them. */
void annotate_struct(struct annotator *a, const char *name, uint64_t offset, const void *data);

enum { ANNOTATED_BYTES = 64 }; /* of a field that are shown, at most */

/* Bytes without a struct: a key, a value. @p data: the first ANNOTATED_BYTES of them, or
 * all if there are fewer. @p value: what to say about them; NULL: as text. */
void annotate_bytes(struct annotator *a, const char *field, const char *type, uint64_t offset,
                    const void *data, uint64_t len, const char *value);

/* One 64-bit word of kind @p word ("slot", "directory", …). */
void annotate_word(struct annotator *a, const char *field, const char *word, uint64_t offset,
                   uint64_t value);

/* The operation that an intent word names, "PUT"; "unknown" if none has its number. */
const char *operation_name(uint64_t intent);

#endif
