/*
 * keys, get, dump: what is in a segment.
 *
 * A walk is a cursor, which shows a store that others are writing to, or with
 * --snapshot the entries of one moment. Neither takes a lock: on a read-only handle
 * the library repeats an unlocked copy until nothing changed meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/inspect/args.h"
#include "tools/inspect/inspect.h"
#include "tools/inspect/output.h"
#include "tools/inspect/segment.h"
#include "tools/inspect/text.h"
#include "tools/inspect/typed.h"

enum {
    FIRST_VALUE = 64 * 1024, /* buffer of the first attempt at a value, bytes */
    VALUE_ATTEMPTS = 1000    /* at a value that others keep enlarging */
};

/* Processor time that a walk spends on places that cannot be read. By chance they take some
 * microseconds each; somebody may make one that takes as long as the whole file. */
static const uint64_t most_lost_ns = 10000000000;

/* --------------------------------------------------------------------------- walk */

struct walk {
    shmkv_cursor_t *cursor;
    shmkv_snapshot_t *snapshot;
    struct bytes prefix;
    bool damaged;     /* a place could not be read, and was passed over */
    char *told;       /* what was said of the last of them */
    uint64_t lost_ns; /* spent on them, but for the first */
};

static int walk_open(shmkv_t *kv, bool snapshot, unsigned flags, struct walk *walk) {
    if (snapshot)
        return shmkv_snapshot(kv, &walk->snapshot);
    int err = shmkv_cursor_open(kv, flags, &walk->cursor);
    return err ? err : shmkv_cursor_prefix(walk->cursor, walk->prefix.data, walk->prefix.len);
}

/* Of all entries, whatever their keys. */
static int any_next(struct walk *walk, struct bytes *key, struct shmkv_item *item) {
    const void *k;

    int err = walk->snapshot ? shmkv_snapshot_next_item(walk->snapshot, &k, &key->len, item)
                             : shmkv_cursor_next_item(walk->cursor, &k, &key->len, item);
    if (!err)
        key->data = (unsigned char *)(uintptr_t)k; /* nobody writes to it */
    return err;
}

static bool begins_with(const struct bytes *key, const struct bytes *prefix) {
    return key->len >= prefix->len &&
           (prefix->len == 0 || memcmp(key->data, prefix->data, prefix->len) == 0);
}

/* Key and value are borrowed from the walk until its next step. A snapshot has all keys. */
static int walk_next(struct walk *walk, struct bytes *key, struct shmkv_item *item) {
    int err;

    do
        err = any_next(walk, key, item);
    while (!err && walk->snapshot && !begins_with(key, &walk->prefix));
    return err;
}

static void walk_close(struct walk *walk) {
    shmkv_cursor_close(walk->cursor);
    shmkv_snapshot_free(walk->snapshot);
    free(walk->told);
}

static uint64_t processor_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A place that cannot be read is told, in the place where it would have been, and passed over;
 * many may say the same of their shard. */
static void pass_over(struct walk *walk, const char *segment) {
    const char *detail = shmkv_error_detail();

    walk->damaged = true;
    if (walk->told && strcmp(walk->told, detail) == 0)
        return;
    fflush(stdout);
    explain(segment, SHMKV_ECORRUPT);
    free(walk->told);
    walk->told = strdup(detail);
}

/* The next entry that can be read. ECORRUPT: there may be more, but that is enough. */
static int readable_next(struct walk *walk, const char *segment, struct bytes *key,
                         struct shmkv_item *item) {
    for (;;) {
        uint64_t begun = walk->damaged ? processor_ns() : 0;
        int err = walk_next(walk, key, item);
        if (err != SHMKV_ECORRUPT || walk->snapshot || walk->lost_ns >= most_lost_ns)
            return err;
        pass_over(walk, segment);
        walk->lost_ns += begun ? processor_ns() - begun : 0;
    }
}

/* How keys and dump print one entry. */
typedef void (*print_entry_fn)(const struct args *args, struct report *report,
                               const struct bytes *key, const struct shmkv_item *item);

/* Print what a walk finds. The result of the library. */
static int print_walk(const struct args *args, struct walk *walk, print_entry_fn print) {
    struct report report;
    struct bytes key;
    struct shmkv_item item;
    int err = SHMKV_OK;

    report_open(&report, args->json ? REPORT_JSON : REPORT_ROWS, args->hex, NULL);
    for (uint64_t n = 0; n < args->limit && !ferror(stdout); n++) {
        err = readable_next(walk, args->operands[0], &key, &item);
        if (err)
            break;
        print(args, &report, &key, &item);
    }
    return err == SHMKV_ENOTFOUND ? SHMKV_OK : err;
}

static int walk_segment(const struct args *args, unsigned flags, print_entry_fn print) {
    const char *segment = args->operands[0];
    const char *prefix_text = args->prefix ? args->prefix : "";
    struct walk walk = {0};
    int status;

    status = args_bytes(args, "prefix", prefix_text, strlen(prefix_text), &walk.prefix);
    shmkv_t *kv = status == STATUS_OK ? open_or_complain(segment, &status) : NULL;
    if (!kv)
        goto out;
    int err = walk_open(kv, args->snapshot, flags, &walk);
    if (!err)
        err = print_walk(args, &walk, print);
    if (err) {
        fflush(stdout); /* what was found, and then why there is no more */
        status = explain(segment, err);
    } else if (walk.damaged)
        status = STATUS_DAMAGED;
    walk_close(&walk);
    shmkv_close(kv);
out:
    free(walk.prefix.data);
    return status;
}

static void print_key(const struct args *args, struct report *report, const struct bytes *key,
                      const struct shmkv_item *item) {
    (void)item;
    if (args->null) {
        fwrite(key->data, 1, key->len, stdout);
        putchar('\0');
        return;
    }
    row_begin(report);
    field_bytes(report, "key", key->data, key->len);
    row_end(report);
}

static void print_entry(const struct args *args, struct report *report, const struct bytes *key,
                        const struct shmkv_item *item) {
    (void)args;
    row_begin(report);
    field_bytes(report, "key", key->data, key->len);
    field_value(report, item);
    fields_of_json(report, item);
    row_end(report);
}

static int keys_run(const struct args *args) {
    return walk_segment(args, SHMKV_KEYS_ONLY, print_key);
}

static int dump_run(const struct args *args) { return walk_segment(args, 0, print_entry); }

/* ---------------------------------------------------------------------------- get */

/* Read a value of any size into @p buf. Free that in any case. */
static int read_value(shmkv_t *kv, const struct bytes *key, void **buf, struct shmkv_item *item) {
    size_t room = FIRST_VALUE;
    int err = SHMKV_ETOOSMALL;

    for (int i = 0; i < VALUE_ATTEMPTS && err == SHMKV_ETOOSMALL; i++) {
        void *larger = realloc(*buf, room);
        if (!larger)
            return ENOMEM;
        *buf = larger;
        err = shmkv_get_item(kv, key->data, key->len, *buf, room, item);
        room = item->len;
    }
    return err == SHMKV_ETOOSMALL ? SHMKV_EBUSY : err;
}

static void print_value(const struct args *args, const struct bytes *key,
                        const struct shmkv_item *item) {
    struct report report;

    if (args->raw) {
        fwrite(item->data, 1, item->len, stdout);
        return;
    }
    report_open(&report, args->json ? REPORT_JSON : REPORT_ROWS, args->hex, NULL);
    row_begin(&report);
    if (args->json)
        field_bytes(&report, "key", key->data, key->len);
    field_value(&report, item);
    fields_of_json(&report, item);
    row_end(&report);
}

static int get_run(const struct args *args) {
    const char *segment = args->operands[0];
    struct bytes key;
    struct shmkv_item item;
    void *buf = NULL;
    int status;

    status = args_bytes(args, "key", args->operands[1], strlen(args->operands[1]), &key);
    shmkv_t *kv = status == STATUS_OK ? open_or_complain(segment, &status) : NULL;
    if (!kv)
        goto out;
    int err = read_value(kv, &key, &buf, &item);
    if (err)
        status = explain(segment, err);
    else
        print_value(args, &key, &item);
    shmkv_close(kv);
out:
    free(key.data);
    free(buf);
    return status;
}

const struct command command_keys = {
    .name = "keys",
    .operands = "SEGMENT",
    .least = 1,
    .most = 1,
    .options = "jxe0nps",
    .summary = "Print the keys",
    .text =
        "One key on a line, in no particular order, escaped: \\n, \\t, \\r, \\\\, \\xHH. While "
        "others\n"
        "write, a key that stays is printed exactly once; --snapshot shows one moment instead.\n",
    .run = keys_run,
};

const struct command command_get = {
    .name = "get",
    .operands = "SEGMENT KEY",
    .least = 2,
    .most = 2,
    .options = "jxer",
    .summary = "Print the value of a key",
    .text =
        "Text and bytes are escaped as keys and dump do it; a number, true, false or null is\n"
        "printed as such. --json tells the type, and when the entry ends. --raw gives the bytes\n"
        "alone. Exit status 1 if there is no such key.\n"
        "A key that begins with a dash goes after --.\n",
    .run = get_run,
};

const struct command command_dump = {
    .name = "dump",
    .operands = "SEGMENT",
    .least = 1,
    .most = 1,
    .options = "jxenps",
    .summary = "Print keys and values",
    .text =
        "One entry on a line: key, tab, value, escaped: \\n, \\t, \\r, \\\\, \\xHH; a number, "
        "true,\n"
        "false or null as such. With --json an object with \"key\", \"value\", \"type\", and what\n"
        "ends the entry, \"expires\" or \"bound\"; bytes that are not UTF-8 come in Base64 as\n"
        "\"key_b64\" or \"value_b64\". --escaped is about the operand of --prefix.\n"
        "Of a damaged segment, what can still be read; what cannot is told, and the exit status "
        "is\n"
        "3. With --snapshot, all or nothing.\n",
    .run = dump_run,
};
