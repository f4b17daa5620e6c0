/* Bytes and their notations: see text.c. */
#ifndef SHMKV_TOOLS_INSPECT_TEXT_H
#define SHMKV_TOOLS_INSPECT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Bytes that may contain zeros; `data` is from malloc. */
struct bytes {
    unsigned char *data;
    size_t len;
};

enum notation { NOTATION_PLAIN, NOTATION_HEX, NOTATION_ESCAPED };

/* One character of @p s, @p len > 0 bytes. Its length, or 0 if it is not UTF-8. */
size_t utf8_decode(const unsigned char *s, size_t len, uint32_t *character);

bool utf8_valid(const void *data, size_t len);

/* May @p character go to a terminal as it is? No to controls and to what reorders
 * or hides other text. */
bool is_printable(uint32_t character);

/* Print on one line, so that NOTATION_ESCAPED reads the same bytes back. */
void print_escaped(FILE *stream, const void *data, size_t len);

/* The same for a message: a backslash is only a backslash. */
void print_message(FILE *stream, const void *data, size_t len);

void print_hex(FILE *stream, const void *data, size_t len);
void print_base64(FILE *stream, const void *data, size_t len);

/* Read @p text in @p notation. False, with @p out empty, if it is not well-formed or
 * memory is short (then errno is ENOMEM). Free out->data in either case. */
bool bytes_parse(enum notation notation, const void *text, size_t len, struct bytes *out);

#endif
