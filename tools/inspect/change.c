/*
 * put, del, freeze, sync, unlink: the commands that write.
 *
 * They open the segment as any program does: they take locks, wait at most for the
 * lock timeout, and refuse a segment of another user unless told otherwise, as a
 * segment is untrusted input to whoever opens it. put does not create a segment by
 * itself: a mistyped name must not become a new, empty store.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/inspect/args.h"
#include "tools/inspect/inspect.h"
#include "tools/inspect/output.h"
#include "tools/inspect/segment.h"
#include "tools/inspect/text.h"
#include "tools/inspect/typed.h"

enum { CHUNK = 64 * 1024 };
static const size_t longest_value = UINT32_MAX;

/* ---------------------------------------------------------------------------- put */

/* Read standard input to its end. Stops beyond what can be a value, in the notation
 * that needs the most characters, so that an endless input ends. */
static int read_input(struct bytes *out) {
    size_t room = CHUNK;
    size_t most = 4 * (longest_value + 1);

    out->len = 0;
    out->data = malloc(room);
    while (out->data && out->len < most) {
        size_t got = fread(out->data + out->len, 1, room - out->len, stdin);
        out->len += got;
        if (got == 0)
            break;
        if (out->len < room)
            continue;
        room *= 2;
        unsigned char *larger = realloc(out->data, room);
        if (!larger)
            free(out->data);
        out->data = larger;
    }
    if (out->data && !ferror(stdin))
        return STATUS_OK;
    complain("standard input: %s", strerror(out->data ? errno : ENOMEM));
    return STATUS_SYSTEM;
}

/* The value: the last operand, or standard input. */
static int parse_value(const struct args *args, struct bytes *value) {
    struct bytes input;

    if (args->count == 3)
        return args_bytes(args, "value", args->operands[2], strlen(args->operands[2]), value);
    int status = read_input(&input);
    if (status == STATUS_OK && !args->hex && !args->escaped) {
        *value = input;
        return STATUS_OK;
    }
    if (status == STATUS_OK)
        status = args_bytes(args, "value", input.data, input.len, value);
    free(input.data);
    return status;
}

static int put_run(const struct args *args) {
    struct bytes key = {0}, value = {0};
    struct typed typed;
    shmkv_t *kv = NULL;
    int err = SHMKV_OK;

    int status = args_bytes(args, "key", args->operands[1], strlen(args->operands[1]), &key);
    if (status == STATUS_OK)
        status = parse_value(args, &value);
    if (status == STATUS_OK)
        status = typed_parse(args->type, &value, &typed);
    if (status == STATUS_OK)
        kv = open_writer(args, &status);
    if (kv)
        err = shmkv_put_item(kv, key.data, key.len, &typed.item);
    if (err)
        status = explain(args->operands[0], err);
    shmkv_close(kv);
    free(key.data);
    free(value.data);
    return status;
}

/* ---------------------------------------------------------------------------- del */

/* Delete one key; an absent one is named, as there may be several. */
static int delete_key(shmkv_t *kv, const struct args *args, const char *text) {
    struct bytes key;

    int status = args_bytes(args, "key", text, strlen(text), &key);
    if (status == STATUS_OK) {
        int err = shmkv_delete(kv, key.data, key.len);
        if (err == SHMKV_ENOTFOUND) {
            complain("'%s': no such key: '%s'", args->operands[0], text);
            status = STATUS_NO;
        } else if (err)
            status = explain(args->operands[0], err);
    }
    free(key.data);
    return status;
}

static int del_run(const struct args *args) {
    int status;

    shmkv_t *kv = open_writer(args, &status);
    for (int i = 1; kv && i < args->count; i++) {
        int one = delete_key(kv, args, args->operands[i]);
        if (one > status)
            status = one;
    }
    shmkv_close(kv);
    return status;
}

/* ------------------------------------------------------------------------- freeze */

static int freeze_run(const struct args *args) {
    int status;

    shmkv_t *kv = open_writer(args, &status);
    if (!kv)
        return status;
    int err = shmkv_freeze(kv);
    if (err)
        status = explain(args->operands[0], err);
    shmkv_close(kv);
    return status;
}

/* --------------------------------------------------------------------------- sync */

static int sync_run(const struct args *args) {
    int status;

    shmkv_t *kv = open_or_complain(args->operands[0], &status);
    if (!kv)
        return status;
    int err = shmkv_sync(kv);
    if (err)
        status = explain(args->operands[0], err);
    shmkv_close(kv);
    return status;
}

/* ------------------------------------------------------------------------- unlink */

static int unlink_run(const struct args *args) {
    int status = STATUS_OK;

    for (int i = 0; i < args->count; i++) {
        int err = shmkv_unlink(args->operands[i]);
        int one = err ? explain(args->operands[i], err) : STATUS_OK;
        if (err == SHMKV_EOWNER)
            complain("to remove it all the same, use rm");
        if (one > status)
            status = one;
    }
    return status;
}

const struct command command_put = {
    .name = "put",
    .operands = "SEGMENT KEY [VALUE]",
    .least = 2,
    .most = 3,
    .options = "xeTcut",
    .summary = "Store a value",
    .text =
        "Without VALUE, standard input is stored, to its end and as it is: a newline at its end\n"
        "belongs to the value. --hex and --escaped apply to KEY and VALUE, from either source.\n"
        "It is bytes, unless --type says what else the text means: text, int64, float64, boolean\n"
        "(true, false), null (null), json.\n"
        "A key or value that begins with a dash goes after --.\n",
    .run = put_run,
};

const struct command command_del = {
    .name = "del",
    .operands = "SEGMENT KEY...",
    .least = 2,
    .most = -1,
    .options = "xeut",
    .summary = "Delete keys",
    .text =
        "Exit status 1 if one of the keys was not there; the others are deleted all the same.\n",
    .run = del_run,
};

const struct command command_freeze = {
    .name = "freeze",
    .operands = "SEGMENT",
    .least = 1,
    .most = 1,
    .options = "ut",
    .summary = "Make a segment read-only for ever",
    .text =
        "Nothing is stored, changed or removed in it any more, by anybody; there is no way back.\n"
        "It can be unlinked, and a program that opens it exclusively replaces it.\n",
    .run = freeze_run,
};

const struct command command_sync = {
    .name = "sync",
    .operands = "SEGMENT",
    .least = 1,
    .most = 1,
    .options = "",
    .summary = "Wait until a segment in a file is on disk",
    .text = "For power failures: killed programs lose nothing without it. In /dev/shm there is no "
            "disk,\nand nothing happens.\n",
    .run = sync_run,
};

const struct command command_unlink = {
    .name = "unlink",
    .operands = "SEGMENT...",
    .least = 1,
    .most = -1,
    .options = "",
    .summary = "Remove segments",
    .text =
        "The name goes at once. Processes that have the segment open keep it until they close it.\n"
        "What is not a segment is left alone, with exit status 3, and so is, with 5, a segment of\n"
        "another user than you and root: if that is to go, use rm.\n",
    .run = unlink_run,
};
