/*
 * Facts and messages.
 *
 * A command states its facts once, field by field; the report prints them as a
 * table, as a list, or as JSON. Text and JSON therefore cannot drift apart, and
 * every field passes through the same escaping (text.c).
 */
#include "tools/inspect/output.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/inspect/inspect.h"
#include "tools/inspect/text.h"

/* --------------------------------------------------------------------- structure */

void report_open(struct report *report, enum report_form form, bool hex, const char *header) {
    *report = (struct report){.stream = stdout, .form = form, .hex = hex};
    if (form == REPORT_TABLE)
        fprintf(stdout, "%s\n", header);
}

void row_begin(struct report *report) {
    report->column = 0;
    if (report->form == REPORT_JSON)
        putc('{', report->stream);
}

void row_end(struct report *report) {
    if (report->form == REPORT_JSON)
        fputs("}\n", report->stream);
    else if (report->form != REPORT_FACTS)
        putc('\n', report->stream);
}

/* What stands before a field's value: its name, or what parts it from the last. */
static void field_begin(struct report *report, const char *name, const char *suffix) {
    bool first = report->column++ == 0;

    switch (report->form) {
    case REPORT_JSON:
        fprintf(report->stream, "%s\"%s%s\":", first ? "" : ",", name, suffix);
        break;
    case REPORT_FACTS:
        fprintf(report->stream, "%s\t", name);
        break;
    case REPORT_TABLE:
    case REPORT_ROWS:
        fputs(first ? "" : "\t", report->stream);
        break;
    }
}

static void field_end(struct report *report) {
    if (report->form == REPORT_FACTS)
        putc('\n', report->stream);
}

/* ------------------------------------------------------------------------ values */

/* The inside of a JSON string. The bytes are UTF-8. What a terminal might obey is
 * written as \uXXXX, which means the same to whoever reads JSON. */
static void print_json(FILE *stream, const unsigned char *s, size_t len) {
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        size_t step = utf8_decode(s + i, len - i, &c);
        if (step == 0) /* not reached: the caller has checked */
            return;
        if (c == '"' || c == '\\')
            fprintf(stream, "\\%c", (int)c);
        else if (is_printable(c))
            fwrite(s + i, 1, step, stream);
        else if (c < 0x10000)
            fprintf(stream, "\\u%04" PRIx32, c);
        else
            fprintf(stream, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + ((c - 0x10000) >> 10),
                    0xdc00 + ((c - 0x10000) & 0x3ff));
        i += step;
    }
}

/* A value whose characters need no escaping in either form. */
static void field_plain(struct report *report, const char *name, const char *value, bool quoted) {
    const char *quote = quoted && report->form == REPORT_JSON ? "\"" : "";

    field_begin(report, name, "");
    fprintf(report->stream, "%s%s%s", quote, value, quote);
    field_end(report);
}

static void bytes_as_json(struct report *report, const char *name, const void *data, size_t len) {
    bool text = !report->hex && utf8_valid(data, len);

    field_begin(report, name, report->hex ? "_hex" : text ? "" : "_b64");
    putc('"', report->stream);
    if (report->hex)
        print_hex(report->stream, data, len);
    else if (text)
        print_json(report->stream, data, len);
    else
        print_base64(report->stream, data, len);
    putc('"', report->stream);
}

void field_bytes(struct report *report, const char *name, const void *data, size_t len) {
    if (report->form == REPORT_JSON) {
        bytes_as_json(report, name, data, len);
        return;
    }
    field_begin(report, name, "");
    if (report->hex)
        print_hex(report->stream, data, len);
    else
        print_escaped(report->stream, data, len);
    field_end(report);
}

void field_text(struct report *report, const char *name, const char *text) {
    bool hex = report->hex;

    report->hex = false; /* --hex is about keys and values */
    field_bytes(report, name, text, strlen(text));
    report->hex = hex;
}

void field_number(struct report *report, const char *name, uint64_t number) {
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, number);
    field_plain(report, name, text, false);
}

void field_integer(struct report *report, const char *name, int64_t number) {
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, number);
    field_plain(report, name, text, false);
}

/* With as many digits as it takes, and so that it is seen to be no integer. JSON knows
 * neither infinity nor NaN: there they are strings. */
void field_float(struct report *report, const char *name, double number) {
    char text[40];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    if (strspn(text, "-0123456789") == strlen(text))
        strcat(text, ".0");
    field_plain(report, name, text, !isfinite(number));
}

void field_word_of_json(struct report *report, const char *name, const char *word) {
    field_plain(report, name, word, false);
}

void field_bool(struct report *report, const char *name, bool value) {
    if (report->form == REPORT_JSON)
        field_plain(report, name, value ? "true" : "false", false);
    else
        field_plain(report, name, value ? "yes" : "no", false);
}

void field_absent(struct report *report, const char *name) {
    field_plain(report, name, report->form == REPORT_JSON ? "null" : "-", false);
}

void field_word(struct report *report, const char *name, uint64_t word) {
    char text[24];

    snprintf(text, sizeof text, "0x%" PRIx64, word);
    field_plain(report, name, text, true);
}

void field_octal(struct report *report, const char *name, uint32_t mode) {
    char text[24];

    snprintf(text, sizeof text, "%04" PRIo32, mode);
    field_plain(report, name, text, true);
}

void format_time(char text[TIME_TEXT], uint64_t ns) {
    struct tm parts;
    time_t seconds = (time_t)(ns / 1000000000);

    /* 64 bits of nanoseconds end in the year 2554, so gmtime_r does not fail. */
    if (ns == 0 || !gmtime_r(&seconds, &parts)) {
        snprintf(text, TIME_TEXT, "0");
        return;
    }
    size_t used = strftime(text, TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + used, TIME_TEXT - used, ".%09" PRIu64 "Z", ns % 1000000000);
}

void field_time(struct report *report, const char *name, uint64_t ns) {
    char text[TIME_TEXT];

    if (ns == 0) {
        field_absent(report, name);
        return;
    }
    format_time(text, ns);
    field_plain(report, name, text, true);
}

void format_uuid(char text[UUID_TEXT], const unsigned char uuid[16]) {
    char *p = text;

    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        p += sprintf(p, "%02x", uuid[i]);
    }
}

void field_uuid(struct report *report, const char *name, const unsigned char uuid[16]) {
    char text[UUID_TEXT];

    format_uuid(text, uuid);
    field_plain(report, name, text, true);
}

/* ---------------------------------------------------------------------- messages */

void complain(const char *format, ...) {
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "shmkv-inspect%s%s: ", *command_name ? " " : "", command_name);
    if (length < 0)
        fputs("out of memory", stderr);
    else
        print_message(stderr, text, (size_t)length);
    putc('\n', stderr);
    if (length >= 0)
        free(text);
}
