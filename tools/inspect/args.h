/* Command line: see args.c. */
#ifndef SHMKV_TOOLS_INSPECT_ARGS_H
#define SHMKV_TOOLS_INSPECT_ARGS_H

#include <stdio.h>

#include "tools/inspect/inspect.h"
#include "tools/inspect/text.h"

/* Parse what follows the command's name into @p args. STATUS_OK or STATUS_USAGE;
 * a message has been printed for the latter. */
int args_parse(const struct command *command, int argc, char **argv, struct args *args);

/* Bytes that the user wrote, in the notation that --hex or --escaped asks for. An exit
 * status; a message has been printed if it is not STATUS_OK. @p what: for the message.
 * Free out->data in any case. */
int args_bytes(const struct args *args, const char *what, const void *text, size_t len,
               struct bytes *out);

/* Print the help of one command, made from its table entry. */
void args_help(const struct command *command, FILE *stream);

#endif
