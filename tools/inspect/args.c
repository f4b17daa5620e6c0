/*
 * Options, told once. The table below gives each option its letters, its long
 * name, its help and its place in struct args; a command lists the letters it
 * takes. getopt_long's two tables and the help text are made from it.
 *
 * Options may stand before or after operands, as GNU programs have it. A key or
 * value that begins with a dash goes after `--`.
 */
#include "tools/inspect/args.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tools/inspect/output.h"

enum { MAX_OPTIONS = 24 };

enum option_kind { SWITCH, TEXT, NUMBER };

struct option_text {
    char letter;
    enum option_kind kind;
    const char *name;
    const char *arg; /* its name in the help; NULL for a switch */
    const char *help;
    size_t place;  /* in struct args: of a bool, a string or a uint64_t */
    uint64_t most; /* of a number */
};

#define A_SWITCH(letter, name, field, help) \
    { letter, SWITCH, name, NULL, help, offsetof(struct args, field), 0 }
#define A_TEXT(letter, name, arg, field, help) \
    { letter, TEXT, name, arg, help, offsetof(struct args, field), 0 }
#define A_NUMBER(letter, name, arg, field, most, help) \
    { letter, NUMBER, name, arg, help, offsetof(struct args, field), most }

/* clang-format off */
static const struct option_text option_texts[] = {
    A_SWITCH('j', "json", json, "print JSON, one object per line"),
    A_SWITCH('a', "all", all, "show also what is usually left out"),
    A_SWITCH('x', "hex", hex, "keys and values are hexadecimal digits, in and out"),
    A_SWITCH('e', "escaped", escaped, "operands are written as this program prints them: \\n, \\x00, \\\\"),
    A_TEXT('T', "type", "TYPE", type, "the type of the value (bytes)"),
    A_SWITCH('r', "raw", raw, "print the bytes as they are, without a newline"),
    A_SWITCH('0', "null", null, "print keys as they are, each followed by a zero byte"),
    A_NUMBER('n', "limit", "N", limit, UINT64_MAX, "stop after N entries"),
    A_TEXT('p', "prefix", "KEY", prefix, "only keys that begin with KEY"),
    A_SWITCH('s', "snapshot", snapshot, "entries as they were at one moment, or fail if there was none"),
    A_SWITCH('c', "create", create, "create the segment if there is none"),
    A_SWITCH('k', "keep", keep, "store only what is absent"),
    A_SWITCH('R', "replace", replace, "what the dump does not have goes, all at once"),
    A_SWITCH('u', "any-owner", any_owner, "accept a segment that belongs to another user"),
    A_NUMBER('t', "timeout", "MS", timeout_ms, UINT32_MAX, "wait at most MS milliseconds for a lock (default 5000)"),
    A_SWITCH('A', "annotate", annotate, "name every field, as the specification does"),
    A_NUMBER('o', "offset", "BYTES", offset, INT64_MAX, "begin at this byte (0x1f is hexadecimal)"),
    A_NUMBER('l', "length", "BYTES", length, INT64_MAX, "stop after this many bytes"),
    A_TEXT('P', "part", "LIST", parts, "only these parts, with commas: header,owners,shards,arenas,space,runs"),
    A_TEXT('d', "dir", "DIR", dir, "look at the files of DIR instead of /dev/shm"),
    A_SWITCH('h', "help", help, "show this help"),
};
/* clang-format on */

static const struct option_text *option_text(int letter) {
    for (size_t i = 0; i < sizeof option_texts / sizeof *option_texts; i++)
        if (option_texts[i].letter == letter)
            return &option_texts[i];
    return NULL;
}

/* True if @p command takes option @p letter. Every command takes --help. */
static bool takes(const struct command *command, char letter) {
    return letter == 'h' || strchr(command->options, letter) != NULL;
}

/* Make getopt_long's tables for the options that @p command takes. */
static void getopt_tables(const struct command *command, struct option *longs, char *shorts) {
    for (size_t i = 0; i < sizeof option_texts / sizeof *option_texts; i++) {
        const struct option_text *text = &option_texts[i];
        if (!takes(command, text->letter))
            continue;
        *longs++ = (struct option){
            .name = text->name,
            .has_arg = text->arg ? required_argument : no_argument,
            .val = text->letter,
        };
        *shorts++ = text->letter;
        if (text->arg)
            *shorts++ = ':';
    }
    *longs = (struct option){0};
    *shorts = '\0';
}

/* Parse a whole non-negative number: digits only, or 0x and digits. strtoull alone
 * would take a sign, blanks and trailing rubbish. */
static bool parse_number(const char *text, uint64_t most, uint64_t *out) {
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    if (hex && !isxdigit((unsigned char)text[2]))
        return false;
    errno = 0;
    *out = strtoull(text, &end, hex ? 16 : 10);
    return errno == 0 && *end == '\0' && *out <= most;
}

/* Store one option; false if its argument is not a number that it should be. */
static bool store(struct args *args, const struct option_text *text, const char *arg) {
    void *place = (char *)args + text->place;

    if (text->kind == NUMBER)
        return parse_number(arg, text->most, place);
    if (text->kind == TEXT)
        *(const char **)place = arg;
    else
        *(bool *)place = true;
    return true;
}

static void print_usage(const struct command *command, FILE *stream) {
    fprintf(stream, "Usage: shmkv-inspect %s [OPTION]...%s%s\n", command->name,
            *command->operands ? " " : "", command->operands);
}

static int usage_error(const struct command *command) {
    print_usage(command, stderr);
    fprintf(stderr, "Try 'shmkv-inspect %s --help'.\n", command->name);
    return STATUS_USAGE;
}

int args_parse(const struct command *command, int argc, char **argv, struct args *args) {
    struct option longs[MAX_OPTIONS];
    char shorts[2 * MAX_OPTIONS];
    int letter;

    getopt_tables(command, longs, shorts);
    *args =
        (struct args){.limit = UINT64_MAX, .length = UINT64_MAX, .timeout_ms = DEFAULT_TIMEOUT_MS};
    while ((letter = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct option_text *text = option_text(letter);
        if (!text) /* getopt_long has said why */
            return usage_error(command);
        if (!store(args, text, optarg)) {
            fprintf(stderr, "shmkv-inspect %s: --%s wants a number\n", command->name, text->name);
            return usage_error(command);
        }
    }
    args->operands = argv + optind;
    args->count = argc - optind;
    if (args->help)
        return STATUS_OK;
    if (args->count < command->least || (command->most >= 0 && args->count > command->most))
        return usage_error(command);
    return STATUS_OK;
}

int args_bytes(const struct args *args, const char *what, const void *text, size_t len,
               struct bytes *out) {
    enum notation notation = args->hex       ? NOTATION_HEX
                             : args->escaped ? NOTATION_ESCAPED
                                             : NOTATION_PLAIN;

    if (bytes_parse(notation, text, len, out))
        return STATUS_OK;
    if (errno == ENOMEM) {
        complain("%s", strerror(errno));
        return STATUS_SYSTEM;
    }
    complain("the %s is not %s", what, args->hex ? "hexadecimal" : "well-formed with --escaped");
    return STATUS_USAGE;
}

void args_help(const struct command *command, FILE *stream) {
    print_usage(command, stream);
    fprintf(stream, "%s.\n\n%s\nOptions:\n", command->summary, command->text);
    for (size_t i = 0; i < sizeof option_texts / sizeof *option_texts; i++) {
        const struct option_text *text = &option_texts[i];
        char name[40];
        if (!takes(command, text->letter))
            continue;
        snprintf(name, sizeof name, "--%s%s%s", text->name, text->arg ? "=" : "",
                 text->arg ? text->arg : "");
        fprintf(stream, "  -%c, %-16s %s\n", text->letter, name, text->help);
    }
}
