/*
 * hexdump: the bytes of a segment, plain or annotated.
 *
 * Works on any segment that is there, damaged ones above all, and so does not open
 * it through the library (see image.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/inspect/dissect.h"
#include "tools/inspect/image.h"
#include "tools/inspect/inspect.h"
#include "tools/inspect/output.h"

enum {
    LINE_BYTES = 16,
    BLOCK_BYTES = 64 * 1024 /* read at once; whole lines */
};

/* What a plain dump has shown so far. */
struct plain {
    const struct image *image;
    unsigned char last[LINE_BYTES]; /* the line before */
    bool have_last, starred;
};

/* One line as `hexdump -C` has it. */
static void print_line(uint64_t offset, const unsigned char *data, size_t len) {
    static const char digits[] = "0123456789abcdef";
    char hex[3 * LINE_BYTES + 3], text[LINE_BYTES + 1];

    memset(hex, ' ', sizeof hex);
    for (size_t i = 0; i < len; i++) {
        char *at = hex + 1 + 3 * i + (i >= LINE_BYTES / 2);
        at[0] = digits[data[i] >> 4];
        at[1] = digits[data[i] & 15];
        text[i] = data[i] >= 0x20 && data[i] < 0x7f ? (char)data[i] : '.';
    }
    hex[sizeof hex - 1] = text[len] = '\0';
    printf("%08" PRIx64 " %s |%s|\n", offset, hex, text);
}

/* One line, or a `*` for lines equal to the one before. */
static void show_line(struct plain *p, uint64_t offset, const unsigned char *data, size_t len) {
    bool same = p->have_last && len == LINE_BYTES && memcmp(data, p->last, LINE_BYTES) == 0;

    if (!same)
        print_line(offset, data, len);
    else if (!p->starred)
        puts("*");
    p->starred = same;
    p->have_last = true;
    memcpy(p->last, data, len);
}

/* Where to go on: behind a hole if the last two lines were zero, as those in it are. */
static uint64_t next_block(const struct plain *p, uint64_t offset, uint64_t end) {
    static const unsigned char zeros[LINE_BYTES];

    if (offset < end && p->starred && memcmp(p->last, zeros, LINE_BYTES) == 0) {
        uint64_t hole = image_data(p->image, offset) - offset;
        offset += hole - hole % LINE_BYTES;
    }
    return offset < end ? offset : end;
}

static int print_plain(const struct image *image, uint64_t offset, uint64_t end) {
    static unsigned char block[BLOCK_BYTES];
    struct plain p = {.image = image};

    while (offset < end && !ferror(stdout)) {
        size_t len = end - offset < BLOCK_BYTES ? (size_t)(end - offset) : BLOCK_BYTES;
        if (!image_read(image, offset, block, len)) {
            complain("'%s': could not read at 0x%" PRIx64, image->name, offset);
            return STATUS_SYSTEM;
        }
        for (size_t i = 0; i < len; i += LINE_BYTES)
            show_line(&p, offset + i, block + i, len - i < LINE_BYTES ? len - i : LINE_BYTES);
        offset = next_block(&p, offset + len, end);
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
