/* Values with types: see typed.c. */
#ifndef SHMKV_TOOLS_INSPECT_TYPED_H
#define SHMKV_TOOLS_INSPECT_TYPED_H

#include <shmkv/shmkv.h>

#include "tools/inspect/output.h"
#include "tools/inspect/text.h"

/* The value of an entry, as its type has it; with --hex, its bytes. */
void field_value(struct report *report, const struct shmkv_item *item);

/* What lines have no room for: which of the values that look alike it is, and its end. */
void fields_of_json(struct report *report, const struct shmkv_item *item);

/* A value that was written as text. */
struct typed {
    struct shmkv_item item; /* points into this, or to the text */
    int64_t integer;
    double number;
    unsigned char boolean;
};

/* Make a value of type @p name (NULL: bytes) of what the user wrote. An exit status; a message
 * has been printed if it is not STATUS_OK. @p text must stay as long as @p out. */
int typed_parse(const char *name, const struct bytes *text, struct typed *out);

#endif
