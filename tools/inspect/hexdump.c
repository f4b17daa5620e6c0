/*
 * hexdump: the bytes of a segment, plain or annotated.
 *
 * Works on any segment that is there, damaged ones above all, and so does not open
 * it through the library (see image.c).
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/inspect/dissect.h"
#include "tools/inspect/image.h"
#include "tools/inspect/inspect.h"
#include "tools/inspect/output.h"

enum { LINE_BYTES = 16 };

/* One line as `hexdump -C` has it. */
static void print_line(uint64_t offset, const unsigned char *data, size_t len) {
    printf("%08" PRIx64 " ", offset);
    for (size_t i = 0; i < LINE_BYTES; i++) {
        fputs(i == LINE_BYTES / 2 ? "  " : " ", stdout);
        if (i < len)
            printf("%02x", data[i]);
        else
            fputs("  ", stdout);
    }
    fputs("  |", stdout);
    for (size_t i = 0; i < len; i++)
        putchar(data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '.');
    fputs("|\n", stdout);
}

/* Where to go on after lines equal to the last one: holes are jumped over. */
static uint64_t next_offset(const struct image *image, uint64_t offset, uint64_t end, bool zero) {
    uint64_t next = offset + LINE_BYTES;

    if (zero && next % 4096 == 0) {
        next = image_data(image, next);
        next -= next % LINE_BYTES;
    }
    return next < end ? next : end;
}

/* All lines of [offset, end). A `*` stands for lines equal to the one before. */
static int print_plain(const struct image *image, uint64_t offset, uint64_t end) {
    static const unsigned char zeros[LINE_BYTES];
    unsigned char last[LINE_BYTES], data[LINE_BYTES];
    bool have_last = false, starred = false;

    while (offset < end && !ferror(stdout)) {
        size_t len = end - offset < LINE_BYTES ? (size_t)(end - offset) : LINE_BYTES;
        if (!image_read(image, offset, data, len)) {
            complain("'%s': could not read at 0x%" PRIx64, image->name, offset);
            return STATUS_SYSTEM;
        }
        bool same = have_last && len == LINE_BYTES && memcmp(data, last, LINE_BYTES) == 0;
        if (!same)
            print_line(offset, data, len);
        else if (!starred)
            puts("*");
        starred = same;
        have_last = true;
        memcpy(last, data, len);
        offset = next_offset(image, offset, end, same && memcmp(data, zeros, LINE_BYTES) == 0);
    }
    printf("%08" PRIx64 "\n", end);
    return STATUS_OK;
}

static int print_annotated(const struct args *args, const struct image *image, uint64_t end) {
    struct dissection d = {.image = image, .from = args->offset, .to = end};

    d.annotator.as_json = args->json;
    d.annotator.all = args->all;
    if (args->json)
        report_open(&d.annotator.json, REPORT_JSON, false, NULL);
    int status = dissect(&d, args->parts);
    fflush(stdout);
    return status;
}

static int hexdump_run(const struct args *args) {
    struct image image;

    if (!args->annotate && (args->json || args->all || args->parts)) {
        complain("--json, --all and --part need --annotate");
        return STATUS_USAGE;
    }
    int status = image_open(args->operands[0], &image);
    if (status == STATUS_OK) {
        uint64_t start = args->offset < image.size ? args->offset : image.size;
        uint64_t end = args->length < image.size - start ? start + args->length : image.size;
        status =
            args->annotate ? print_annotated(args, &image, end) : print_plain(&image, start, end);
    }
    image_close(&image);
    return status;
}

const struct command command_hexdump = {
    .name = "hexdump",
    .operands = "SEGMENT",
    .least = 1,
    .most = 1,
    .options = "AjaPol",
    .summary = "Show the bytes, with --annotate field by field",
    .text =
        "Plain: as hexdump -C. Annotated: offset, bytes, type, field and value of every field in\n"
        "use, in the order of the file; with --offset and --length only of what these touch;\n"
        "with --all of unused places too. Reads the file as it is, so damaged segments work.\n",
    .run = hexdump_run,
};
