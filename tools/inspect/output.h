/* Facts and messages: see output.c. */
#ifndef SHMKV_TOOLS_INSPECT_OUTPUT_H
#define SHMKV_TOOLS_INSPECT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum report_form {
    REPORT_TABLE, /* a line of names, then a line for each row; tabs between */
    REPORT_ROWS,  /* the same without the names */
    REPORT_FACTS, /* one row: a line for each field, name and value */
    REPORT_JSON   /* an object on a line for each row */
};

struct report {
    FILE *stream;
    enum report_form form;
    bool hex;   /* bytes as hexadecimal digits */
    int column; /* fields of this row so far */
};

/* Begin a report. @p header: the names, with tabs between; used by REPORT_TABLE only. */
void report_open(struct report *report, enum report_form form, bool hex, const char *header);

void row_begin(struct report *report);
void row_end(struct report *report);

/* One field of the row. In JSON a number is a number, and bytes that are not UTF-8
 * come as Base64 under NAME_b64; with `hex`, all bytes as digits under NAME_hex. */
void field_number(struct report *report, const char *name, uint64_t number);
void field_integer(struct report *report, const char *name, int64_t number);
void field_float(struct report *report, const char *name, double number); /* reads back the same */
void field_word_of_json(struct report *report, const char *name, const char *word); /* true, null */
void field_bool(struct report *report, const char *name, bool value);
void field_text(struct report *report, const char *name, const char *text);
void field_bytes(struct report *report, const char *name, const void *data, size_t len);
void field_absent(struct report *report, const char *name); /* "-", null */

/* Words and identities, as text in JSON too: a double has no 64 bits. */
void field_word(struct report *report, const char *name, uint64_t word);
void field_octal(struct report *report, const char *name, uint32_t mode);
void field_time(struct report *report, const char *name, uint64_t ns);
void field_uuid(struct report *report, const char *name, const unsigned char uuid[16]);

enum { TIME_TEXT = 40, UUID_TEXT = 37 };

/* "2026-11-23T16:06:00.123456789Z"; "0" for 0. */
void format_time(char text[TIME_TEXT], uint64_t ns);
void format_uuid(char text[UUID_TEXT], const unsigned char uuid[16]);

/* A message on stderr, with the program's and the command's name before it. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
