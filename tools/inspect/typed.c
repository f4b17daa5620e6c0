/*
 * Values with types.
 *
 * What one program stores as a number, others find as a number (spec 10), so it is shown
 * and can be stored as one here. Printed and parsed by the C library, so they read back
 * the same: `put --type=float64` of what `get` prints stores the same bits; of a NaN, that it
 * is one, and its sign.
 */
#include "tools/inspect/typed.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/inspect/inspect.h"

static const char *const type_names[] = {
    [SHMKV_BYTES] = "bytes",     [SHMKV_TEXT] = "text",       [SHMKV_INT64] = "int64",
    [SHMKV_FLOAT64] = "float64", [SHMKV_BOOLEAN] = "boolean", [SHMKV_NULL] = "null",
    [SHMKV_JSON] = "json",       [SHMKV_CODED] = "coded",
};

/* ---------------------------------------------------------------------------- out */

/* The library gives a value whose length does not fit its type as bytes. */
void field_value(struct report *report, const struct shmkv_item *item) {
    int64_t integer;
    double number;

    switch (report->hex ? SHMKV_BYTES : item->type) {
    case SHMKV_INT64:
        memcpy(&integer, item->data, sizeof integer);
        field_integer(report, "value", integer);
        break;
    case SHMKV_FLOAT64:
        memcpy(&number, item->data, sizeof number);
        field_float(report, "value", number);
        break;
    case SHMKV_BOOLEAN:
        field_word_of_json(report, "value", *(const unsigned char *)item->data ? "true" : "false");
        break;
    case SHMKV_NULL:
        field_word_of_json(report, "value", "null");
        break;
    default:
        field_bytes(report, "value", item->data, item->len);
    }
}

void fields_of_json(struct report *report, const struct shmkv_item *item) {
    if (report->form != REPORT_JSON)
        return;
    field_text(report, "type", type_names[item->type]);
    if (item->expires_ns)
        field_time(report, "expires", item->expires_ns);
    if (item->flags & SHMKV_BOUND)
        field_bool(report, "bound", true);
}

/* ----------------------------------------------------------------------------- in */

/* What codecs of applications make (SHMKV_CODED) cannot be written here. */
static int type_named(const char *name) {
    for (int type = SHMKV_BYTES; type < SHMKV_CODED; type++)
        if (strcmp(name, type_names[type]) == 0)
            return type;
    return -1;
}

/* Of a number or word, without the newline that `echo` puts behind it. False if it is too long
 * for one, or has a zero in it. */
static bool short_text(const struct bytes *text, char *out, size_t size) {
    size_t len = text->len;

    if (len && text->data[len - 1] == '\n')
        len--;
    if (len == 0 || len >= size || memchr(text->data, '\0', len))
        return false;
    memcpy(out, text->data, len);
    out[len] = '\0';
    return true;
}

/* Fill in @p out->item's data and len. False if the text is none of the type. */
static bool parse(const struct bytes *text, struct typed *out) {
    struct shmkv_item *item = &out->item;
    char word[64], *end = word;
    bool is_short = short_text(text, word, sizeof word);

    errno = 0;
    switch (item->type) {
    case SHMKV_INT64:
        out->integer = is_short ? strtoll(word, &end, 10) : 0;
        item->data = &out->integer;
        item->len = sizeof out->integer;
        return is_short && errno == 0 && end != word && *end == '\0';
    case SHMKV_FLOAT64:
        out->number = is_short ? strtod(word, &end) : 0;
        item->data = &out->number;
        item->len = sizeof out->number;
        return is_short && end != word && *end == '\0' && !(errno && isinf(out->number));
    case SHMKV_BOOLEAN:
        out->boolean = is_short && strcmp(word, "true") == 0;
        item->data = &out->boolean;
        item->len = sizeof out->boolean;
        return is_short && (out->boolean || strcmp(word, "false") == 0);
    case SHMKV_NULL:
        return is_short && strcmp(word, "null") == 0;
    default:
        item->data = text->data;
        item->len = text->len;
        return true; /* of text and JSON, the library looks whether it is UTF-8 */
    }
}

int typed_parse(const char *name, const struct bytes *text, struct typed *out) {
    int type = name ? type_named(name) : SHMKV_BYTES;

    *out = (struct typed){.item.type = type};
    if (type < 0)
        complain("no type '%s'; types are bytes, text, int64, float64, boolean, null and json",
                 name);
    else if (parse(text, out))
        return STATUS_OK;
    else
        complain("the value is not of type %s", type_names[type]);
    return STATUS_USAGE;
}
