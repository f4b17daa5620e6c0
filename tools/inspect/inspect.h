/*
 * shmkv-inspect: look at a segment from the shell, and change it if asked.
 *
 * One program, one file per group of commands. A command is a table entry: its
 * operands, the options it takes and a function of the parsed arguments. Help,
 * option parsing and operand counts follow from the entry (args.c), so that no
 * command can document what it does not accept, or the other way round.
 *
 * Two rules hold for all of them:
 *
 *  - Commands that read open the segment with SHMKV_READONLY | SHMKV_ANY_OWNER:
 *    a read-only mapping and no lock. They work on a copied file, and while the
 *    segment's writer is stopped or dead.
 *  - Nothing that came out of a segment, a file name or a process name reaches
 *    the terminal except through output.c, which escapes what a terminal or a
 *    reader could mistake for something else.
 */
#ifndef SHMKV_TOOLS_INSPECT_INSPECT_H
#define SHMKV_TOOLS_INSPECT_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shmkv/shmkv.h>

/* What the program's exit status says; shmkv-inspect(1) repeats this table. */
enum exit_status {
    STATUS_OK = 0,      /* done */
    STATUS_NO = 1,      /* the answer is no: no such key, no such segment */
    STATUS_USAGE = 2,   /* the command line is wrong */
    STATUS_DAMAGED = 3, /* not a segment, damaged, or of a newer format */
    STATUS_RETRY = 4,   /* busy: a lock held for too long, changes too fast */
    STATUS_SYSTEM = 5   /* refused: permission, owner, frozen, space, memory; output not written */
};

enum { DEFAULT_TIMEOUT_MS = 5000 }; /* the library's, as --help and the manual tell */

/* Every option of every command; each means the same wherever it is taken. */
struct args {
    bool json, all, hex, escaped, raw, null, snapshot, create, any_owner, annotate;
    bool keep, replace; /* import */
    bool help;
    uint64_t limit;      /* UINT64_MAX: no limit */
    uint64_t offset;     /* first byte, hexdump */
    uint64_t length;     /* UINT64_MAX: to the end */
    uint64_t timeout_ms; /* as given, or DEFAULT_TIMEOUT_MS */
    const char *prefix;  /* NULL: every key */
    const char *parts;   /* NULL: every part, hexdump */
    const char *type;    /* NULL: bytes, put */
    const char *dir;     /* NULL: /dev/shm, list */
    int count;           /* operands */
    char **operands;
};

struct command {
    const char *name;
    const char *operands;                /* as shown in the synopsis */
    int least, most;                     /* number of operands; most < 0: any */
    const char *options;                 /* letters of args.c's table, without 'h' */
    const char *summary;                 /* one line, for the list of commands */
    const char *text;                    /* the rest of `COMMAND --help` */
    int (*run)(const struct args *args); /* returns an exit status */
};

extern const struct command command_list; /* list.c */
extern const struct command command_info; /* facts.c */
extern const struct command command_stat;
extern const struct command command_locks; /* holders.c */
extern const struct command command_held;
extern const struct command command_owners;
extern const struct command command_check; /* check.c */
extern const struct command command_keys;  /* entries.c */
extern const struct command command_get;
extern const struct command command_dump;
extern const struct command command_put; /* change.c */
extern const struct command command_del;
extern const struct command command_freeze;
extern const struct command command_sync;
extern const struct command command_unlink;
extern const struct command command_export; /* transfer.c */
extern const struct command command_import;
extern const struct command command_hexdump; /* hexdump.c */

/* The name of the running command, for messages; set once by main(). */
extern const char *command_name;

#endif
