/*
 * Structs of the format in words.
 *
 * Everything here is driven by tables that tools/layout/generate.py makes from
 * spec/layout.toml: names, types, positions and explanations of fields, the bit
 * fields of words, the names of enum values. A field that is added to the format
 * appears in the dump without a change to this file. What a field means is found in
 * its explanation, which begins with "word NAME" or "enum NAME" where it has a
 * structure of its own.
 *
 * The form is that of FlatBuffers' annotated dumps: offset, bytes, type, field,
 * value. The explanation follows the first time that a struct appears.
 */
#include "tools/inspect/annotate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/inspect/layout_names.gen.h"
#include "tools/inspect/text.h"

enum {
    LINE_BYTES = 8,    /* bytes on one line */
    PREVIEW_BYTES = 40 /* of a text */
};

/* ------------------------------------------------------------------------ tables */

static const struct layout_struct *find_struct(const char *name) {
    for (int i = 0; i < LAYOUT_STRUCT_COUNT; i++)
        if (strcmp(layout_structs[i].name, name) == 0)
            return &layout_structs[i];
    return NULL;
}

/* Does @p doc begin with "<kind> NAME" or "<kind>s NAME"? The name is copied. */
static bool names_a(const char *doc, const char *kind, char *name, size_t room) {
    size_t len = strlen(kind);

    if (strncmp(doc, kind, len) != 0)
        return false;
    doc += len;
    doc += *doc == 's';
    if (*doc++ != ' ')
        return false;
    size_t end = strspn(doc, "abcdefghijklmnopqrstuvwxyz_");
    if (end == 0 || end >= room)
        return false;
    memcpy(name, doc, end);
    name[end] = '\0';
    return true;
}

static const struct layout_word *find_word(const char *name) {
    for (int i = 0; i < LAYOUT_WORD_COUNT; i++)
        if (strcmp(layout_words[i].name, name) == 0)
            return &layout_words[i];
    return NULL;
}

static const char *enum_name(const char *name, uint64_t value) {
    for (int i = 0; i < LAYOUT_ENUM_COUNT; i++) {
        const struct layout_enum *e = &layout_enums[i];
        if (strcmp(e->name, name) != 0)
            continue;
        for (unsigned k = 0; k < e->value_count; k++)
            if (e->values[k].value == value)
                return e->values[k].name;
    }
    return NULL;
}

static uint64_t bits_of(uint64_t word, const struct layout_bits *bits) {
    return word >> bits->first & (~0ULL >> (64 - bits->width));
}

const char *operation_name(uint64_t intent) {
    const struct layout_word *word = find_word("intent");

    for (unsigned i = 0; word && i < word->bit_count; i++)
        if (strcmp(word->bits[i].name, "op") == 0) {
            const char *name = enum_name("op", bits_of(intent, &word->bits[i]));
            return name ? name : "unknown";
        }
    return "unknown";
}

/* ------------------------------------------------------------------------- values */

/* A part of a word that is more telling than its number. */
static bool describe_bits(FILE *out, const struct layout_bits *bits, uint64_t value) {
    char kind[32];
    const char *name = NULL;

    if (strcmp(bits->name, "unit") == 0)
        fprintf(out, "at 0x%" PRIx64, value * 16);
    else if (strcmp(bits->name, "page") == 0)
        fprintf(out, "at 0x%" PRIx64, value * 4096);
    else if (strcmp(bits->name, "owner") == 0 && value > 0)
        fprintf(out, "owner slot %" PRIu64, value - 1);
    else if (names_a(bits->doc, "enum", kind, sizeof kind))
        name = enum_name(kind, value);
    else if (strcmp(bits->name, "op") == 0)
        name = enum_name("op", value);
    else
        return false;
    if (name)
        fprintf(out, "%s %s", bits->name, name);
    return name || strcmp(bits->name, "op") != 0;
}

static void describe_word(FILE *out, const struct layout_word *word, uint64_t value) {
    bool first = true;

    if (value == 0) {
        fputs("0", out);
        return;
    }
    for (unsigned i = 0; i < word->bit_count; i++) {
        uint64_t part = bits_of(value, &word->bits[i]);
        if (part == 0)
            continue;
        fputs(first ? "" : ", ", out);
        if (!describe_bits(out, &word->bits[i], part))
            fprintf(out, "%s %" PRIu64, word->bits[i].name, part);
        first = false;
    }
}

static bool ends_with(const char *text, const char *end) {
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Bits that each have a name. */
static void describe_flags(FILE *out, const char *kind, uint64_t value) {
    fprintf(out, "%" PRIu64 " (%s", value, value ? "" : "none");
    for (uint64_t bit = 1; bit && bit <= value; bit <<= 1)
        if (value & bit) {
            const char *name = enum_name(kind, bit);
            fprintf(out, "%s%s", value & (bit - 1) ? ", " : "", name ? name : "unknown");
        }
    putc(')', out);
}

/* A number, by what its field's name and explanation say about it. */
static void describe_number(FILE *out, const struct layout_field *field, uint64_t value) {
    const struct layout_word *word;
    char kind[32], text[TIME_TEXT];

    if (names_a(field->doc, "word", kind, sizeof kind) && (word = find_word(kind))) {
        describe_word(out, word, value);
        return;
    }
    if (names_a(field->doc, "enum", kind, sizeof kind) && ends_with(kind, "_flag")) {
        describe_flags(out, kind, value);
        return;
    }
    fprintf(out, "%" PRIu64, value);
    if (names_a(field->doc, "enum", kind, sizeof kind)) {
        const char *name = enum_name(kind, value);
        fprintf(out, " (%s)", name ? name : "unknown");
    } else if (ends_with(field->name, "_ns") && value) {
        format_time(text, value);
        fprintf(out, " (%s)", text);
    } else if (value >= 10)
        fprintf(out, " (0x%" PRIx64 ")", value);
}

/* Bytes: an identity, or a text padded with zeros. */
static void describe_bytes(FILE *out, const char *name, const unsigned char *data, size_t len) {
    if (len == 16 && (ends_with(name, "uuid") || ends_with(name, "boot_id"))) {
        char text[UUID_TEXT];
        format_uuid(text, data);
        fputs(text, out);
        return;
    }
    while (len > 0 && data[len - 1] == 0)
        len--;
    size_t shown = len < PREVIEW_BYTES ? len : PREVIEW_BYTES;
    putc('"', out);
    print_escaped(out, data, shown);
    fputs(shown < len ? "\"..." : "\"", out);
}

static uint64_t load(const unsigned char *data, size_t size) {
    uint64_t value = 0;

    for (size_t i = size; i-- > 0;)
        value = value << 8 | data[i];
    return value;
}

/* -------------------------------------------------------------------------- lines */

void annotate_heading(struct annotator *a, const char *thing, uint64_t offset, const char *note) {
    snprintf(a->thing, sizeof a->thing, "%s", thing);
    if (a->as_json)
        return; /* each field names its thing */
    printf("\n%s at 0x%" PRIx64 "%s%s\n", thing, offset, note ? ": " : "", note ? note : "");
}

/* The bytes of one line, padded to the width of the column. */
static void print_line_bytes(const unsigned char *data, size_t len) {
    for (size_t i = 0; i < LINE_BYTES; i++)
        if (i < len)
            printf("%02x ", data[i]);
        else
            fputs("   ", stdout);
}

static void line_as_text(const char *field, const char *type, const char *doc, uint64_t offset,
                         const unsigned char *data, uint64_t len, const char *value) {
    size_t shown = len < ANNOTATED_BYTES ? (size_t)len : ANNOTATED_BYTES;

    printf("  +0x%08" PRIx64 " | ", offset);
    print_line_bytes(data, shown < LINE_BYTES ? shown : LINE_BYTES);
    printf("| %-9s | %-18s | %s%s%s\n", type, field, value, doc ? "  ; " : "", doc ? doc : "");
    for (size_t i = LINE_BYTES; i < shown; i += LINE_BYTES) {
        printf("  +0x%08" PRIx64 " | ", offset + i);
        print_line_bytes(data + i, shown - i < LINE_BYTES ? shown - i : LINE_BYTES);
        fputs("|\n", stdout);
    }
    if (shown < len)
        printf("  ... %" PRIu64 " bytes in all\n", len);
}

static void line_as_json(struct annotator *a, const char *field, const char *type, const char *doc,
                         uint64_t offset, const unsigned char *data, uint64_t len,
                         const char *value) {
    size_t shown = len < ANNOTATED_BYTES ? (size_t)len : ANNOTATED_BYTES;
    struct report *report = &a->json;

    row_begin(report);
    field_text(report, "part", a->part);
    field_text(report, "thing", a->thing);
    field_text(report, "field", field);
    field_text(report, "type", type);
    field_number(report, "offset", offset);
    field_number(report, "length", len);
    report->hex = true;
    field_bytes(report, "bytes", data, shown);
    report->hex = false;
    field_text(report, "value", value);
    if (doc)
        field_text(report, "doc", doc);
    row_end(report);
}

/* Print one line. @p doc may be NULL. */
static void line(struct annotator *a, const char *field, const char *type, const char *doc,
                 uint64_t offset, const void *data, uint64_t len, const char *value) {
    if (a->as_json)
        line_as_json(a, field, type, doc, offset, data, len, value);
    else
        line_as_text(field, type, doc, offset, data, len, value);
}

void annotate_bytes(struct annotator *a, const char *field, const char *type, uint64_t offset,
                    const void *data, uint64_t len, const char *value) {
    char *text = NULL;
    size_t size;
    FILE *out = value ? NULL : open_memstream(&text, &size);

    if (out) {
        describe_bytes(out, field, data, len < ANNOTATED_BYTES ? (size_t)len : ANNOTATED_BYTES);
        fclose(out);
    }
    line(a, field, type, NULL, offset, data, len, value ? value : text ? text : "");
    free(text);
}

/* One number, and its meaning. */
static void number_line(struct annotator *a, const struct layout_field *field, const char *name,
                        const char *type, const char *doc, uint64_t offset,
                        const unsigned char *data, size_t size) {
    char *text = NULL;
    size_t text_size;
    FILE *out = open_memstream(&text, &text_size);

    if (out) {
        describe_number(out, field, load(data, size));
        fclose(out);
    }
    line(a, name, type, doc, offset, data, size, text ? text : "");
    free(text);
}

void annotate_word(struct annotator *a, const char *field, const char *word, uint64_t offset,
                   uint64_t value) {
    char doc[48];
    unsigned char data[8];
    struct layout_field as = {.name = field, .doc = doc};

    snprintf(doc, sizeof doc, "word %s", word);
    for (int i = 0; i < 8; i++)
        data[i] = (unsigned char)(value >> (8 * i));
    number_line(a, &as, field, "u64", NULL, offset, data, sizeof data);
}

/* ------------------------------------------------------------------------ structs */

static bool all_zero(const unsigned char *data, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (data[i])
            return false;
    return true;
}

/* Size of one element of a type: "u64[7]" has elements of 8 bytes. 0: a struct. */
static size_t element_size(const char *type) {
    if (strncmp(type, "u8", 2) == 0)
        return 1;
    if (strncmp(type, "u16", 3) == 0)
        return 2;
    if (strncmp(type, "u32", 3) == 0)
        return 4;
    return strncmp(type, "u64", 3) == 0 ? 8 : 0;
}

/* One element of an array of numbers, or of structs such as `entry`. */
static void element(struct annotator *a, const struct layout_field *field, const char *type,
                    const char *doc, const struct layout_struct *of, unsigned index,
                    uint64_t offset, const unsigned char *data, size_t size) {
    char name[64];

    if (!of) {
        snprintf(name, sizeof name, "%s[%u]", field->name, index);
        number_line(a, field, name, type, doc, offset, data, size);
        return;
    }
    for (unsigned i = 0; i < of->field_count; i++, doc = NULL) {
        const struct layout_field *inner = &of->fields[i];
        snprintf(name, sizeof name, "%s[%u].%s", field->name, index, inner->name);
        number_line(a, inner, name, inner->type, doc, offset + inner->offset, data + inner->offset,
                    inner->size);
    }
}

/* An array. Elements that are zero are left out; a line says so if all are. */
static void array(struct annotator *a, const struct layout_field *field, const char *doc,
                  uint64_t offset, const unsigned char *data) {
    char type[32];

    snprintf(type, sizeof type, "%.*s", (int)strcspn(field->type, "["), field->type);
    size_t size = element_size(type);
    const struct layout_struct *of = size ? NULL : find_struct(type);
    size = of ? of->size : size ? size : 1;
    if (!a->all && all_zero(data, field->size)) {
        line(a, field->name, field->type, doc, offset, data, 0, "all zero");
        return;
    }
    for (unsigned i = 0; i < field->size / size; i++) {
        if (!a->all && all_zero(data + i * size, size))
            continue;
        element(a, field, type, doc, of, i, offset + i * size, data + i * size, size);
        doc = NULL;
    }
}

static void field_of_struct(struct annotator *a, const struct layout_field *field, const char *doc,
                            uint64_t offset, const unsigned char *data) {
    char *text = NULL;
    size_t text_size;

    if (strncmp(field->type, "u8[", 3) == 0) {
        FILE *out = open_memstream(&text, &text_size);
        if (out) {
            describe_bytes(out, field->name, data, field->size);
            fclose(out);
        }
        line(a, field->name, field->type, doc, offset, data, field->size, text ? text : "");
        free(text);
    } else if (strchr(field->type, '['))
        array(a, field, doc, offset, data);
    else
        number_line(a, field, field->name, field->type, doc, offset, data, field->size);
}

/* Bytes between fields mean nothing and are zero. If not, somebody wrote where
 * nobody should. */
static void gap(struct annotator *a, uint64_t offset, const unsigned char *data, size_t from,
                size_t to) {
    if (to > from && !all_zero(data + from, to - from))
        annotate_bytes(a, "(unused, not zero)", "u8[]", offset + from, data + from, to - from,
                       NULL);
}

void annotate_struct(struct annotator *a, const char *name, uint64_t offset, const void *data) {
    const struct layout_struct *s = find_struct(name);
    const unsigned char *bytes = data;
    size_t end = 0;

    if (!s)
        return;
    uint32_t mark = 1U << (s - layout_structs);
    bool explain = !(a->described & mark);
    a->described |= mark;
    for (unsigned i = 0; i < s->field_count; i++) {
        const struct layout_field *field = &s->fields[i];
        gap(a, offset, bytes, end, field->offset);
        field_of_struct(a, field, explain || a->as_json ? field->doc : NULL, offset + field->offset,
                        bytes + field->offset);
        end = field->offset + field->size;
    }
    gap(a, offset, bytes, end, s->size);
}
