/*
 * shmkv-inspect: pick the command, run it, and make sure that what it printed
 * has really been written: a full disk behind a redirection is a failure.
 */
#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>

#include "tools/inspect/args.h"
#include "tools/inspect/inspect.h"
#include "tools/inspect/output.h"

const char *command_name = "";

/* In the order in which the help shows them: look, read, change, dissect. */
static const struct command *const commands[] = {
    &command_list,   &command_info,   &command_stat,    &command_keys,   &command_get,
    &command_dump,   &command_put,    &command_del,     &command_check,  &command_locks,
    &command_held,   &command_owners, &command_hexdump, &command_export, &command_import,
    &command_freeze, &command_sync,   &command_unlink,
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static const struct command *find_command(const char *name) {
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static void print_help(FILE *stream) {
    fputs("Usage: shmkv-inspect COMMAND [OPTION]... [OPERAND]...\n"
          "Look at shmkv segments, and change them if asked.\n"
          "\n"
          "SEGMENT is a name as programs use it ('sessions'), or a path with a slash\n"
          "('./copy.shmkv') for a regular file, such as a copy of a segment.\n"
          "\n"
          "Commands:\n",
          stream);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(stream, "  %-8s  %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n"
          "'shmkv-inspect COMMAND --help' tells more; 'shmkv-inspect --version' the version.\n"
          "All but put, del, import, freeze and unlink only read: they take no lock, and work\n"
          "while a writer is stopped or dead.\n"
          "\n"
          "Exit status: 0 done; 1 no such key or segment; 2 wrong usage; 3 not a segment,\n"
          "damaged, or of a newer format; 4 busy, try again; 5 refused: permission, owner,\n"
          "frozen, space, memory, or the output could not be written.\n",
          stream);
}

/* `help [COMMAND]`, `--help`, `-h`. */
static int help(const char *topic) {
    const struct command *command = topic ? find_command(topic) : NULL;

    if (topic && !command) {
        complain("no command '%s'", topic);
        return STATUS_USAGE;
    }
    if (command)
        args_help(command, stdout);
    else
        print_help(stdout);
    return STATUS_OK;
}

static int version(void) {
    printf("shmkv-inspect %s (library %s, format %d)\n", SHMKV_VERSION, shmkv_version(),
           SHMKV_FORMAT_REVISION);
    return STATUS_OK;
}

static int run(const struct command *command, int argc, char **argv) {
    struct args args;

    int status = args_parse(command, argc, argv, &args);
    if (status != STATUS_OK)
        return status;
    if (args.help) {
        args_help(command, stdout);
        return STATUS_OK;
    }
    return command->run(&args);
}

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return STATUS_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help(NULL);
    if (strcmp(word, "help") == 0)
        return help(argc > 2 ? argv[2] : NULL);
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return version();

    const struct command *command = find_command(word);
    if (!command) {
        complain("no command '%s'; 'shmkv-inspect --help' lists them", word);
        return STATUS_USAGE;
    }
    command_name = command->name;
    char name[40]; /* before getopt's messages, as before ours */
    snprintf(name, sizeof name, "shmkv-inspect %s", command->name);
    argv[1] = name;
    return run(command, argc - 1, argv + 1);
}

/* A write that failed earlier has set the stream's error flag, one that fails only now is
 * reported by fclose. Either way the output is not whole. But who closed standard output
 * before starting a command that prints nothing has lost nothing. */
static bool output_failed(void) {
    bool failed = ferror(stdout) != 0;
    bool pending = __fpending(stdout) > 0;

    if (fclose(stdout) != 0 && (pending || errno != EBADF))
        failed = true;
    return failed;
}

int main(int argc, char **argv) {
    int status = dispatch(argc, argv);

    if (output_failed()) {
        complain("could not write the output: %s", strerror(errno));
        return STATUS_SYSTEM;
    }
    return status;
}
