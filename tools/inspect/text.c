/*
 * Bytes and their notations.
 *
 * Keys and values are bytes, and some of them would move the cursor, rename the
 * window or rewrite the line above if they reached a terminal. So everything is
 * printed in a notation that is safe and loses nothing:
 *
 *  - escaped (the default): UTF-8 as it is, except for a backslash (\\), tab (\t),
 *    newline (\n), carriage return (\r), and, byte by byte as \xHH, all other
 *    controls, the Unicode characters that reorder or hide text, and bytes that are
 *    not UTF-8. `printf %b` of a shell and bytes_parse() read it back.
 *  - hexadecimal, two digits a byte;
 *  - in JSON, a string if the bytes are UTF-8, else Base64 under another name.
 *
 * Output does not depend on the locale: a script gets the same on every machine.
 */
#include "tools/inspect/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------ UTF-8 */

/* Length that the first byte of a character announces, 0 if it cannot be one. */
static size_t utf8_length(unsigned char first) {
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    if (first >= 0xf0 && first <= 0xf4)
        return 4;
    return 0;
}

size_t utf8_decode(const unsigned char *s, size_t len, uint32_t *character) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t need = utf8_length(s[0]);

    if (need == 0 || need > len)
        return 0;
    uint32_t c = need == 1 ? s[0] : s[0] & (0x7fU >> need);
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    /* Overlong forms, halves of UTF-16 pairs, and what lies beyond Unicode. */
    if (c < least[need] || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
        return 0;
    *character = c;
    return need;
}

bool utf8_valid(const void *data, size_t len) {
    const unsigned char *s = data;
    uint32_t c;

    for (size_t i = 0; i < len;) {
        size_t step = utf8_decode(s + i, len - i, &c);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

/* What Unicode calls Default_Ignorable_Code_Point, and controls and line ends. */
bool is_printable(uint32_t c) {
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        {0x0000, 0x001f},   {0x007f, 0x009f},   /* controls, C0 and C1 */
        {0x00ad, 0x00ad},   {0x034f, 0x034f},   /* soft hyphen, grapheme joiner */
        {0x061c, 0x061c},   {0x115f, 0x1160},   /* Arabic letter mark, Hangul fillers */
        {0x17b4, 0x17b5},   {0x180b, 0x180f},   /* Khmer vowels, Mongolian selectors */
        {0x200b, 0x200f},   {0x2028, 0x202e},   /* zero width, marks; line ends, embeddings */
        {0x2060, 0x206f},   {0x3164, 0x3164},   /* isolates; Hangul filler */
        {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   /* variation selectors; byte order mark */
        {0xffa0, 0xffa0},   {0xfff0, 0xfffb},   /* Hangul filler; specials */
        {0xfffe, 0xffff},   {0x1bca0, 0x1bca3}, /* no characters; shorthand controls */
        {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}, /* musical controls; tags */
    };

    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (c >= hidden[i].first && c <= hidden[i].last)
            return false;
    return true;
}

/* ----------------------------------------------------------------------- output */

static void print_byte(FILE *stream, unsigned char byte) {
    switch (byte) {
    case '\t':
        fputs("\\t", stream);
        break;
    case '\n':
        fputs("\\n", stream);
        break;
    case '\r':
        fputs("\\r", stream);
        break;
    default:
        fputs("\\x", stream);
        print_hex(stream, &byte, 1);
    }
}

static void print_safely(FILE *stream, const unsigned char *s, size_t len, bool backslashes) {
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        size_t step = utf8_decode(s + i, len - i, &c);
        if (step == 0 || !is_printable(c)) {
            step = step ? step : 1;
            for (size_t k = 0; k < step; k++)
                print_byte(stream, s[i + k]);
        } else {
            if (c == '\\' && backslashes)
                putc('\\', stream);
            fwrite(s + i, 1, step, stream);
        }
        i += step;
    }
}

void print_escaped(FILE *stream, const void *data, size_t len) {
    print_safely(stream, data, len, true);
}

void print_message(FILE *stream, const void *data, size_t len) {
    print_safely(stream, data, len, false);
}

void print_hex(FILE *stream, const void *data, size_t len) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *s = data;

    for (size_t i = 0; i < len; i++) {
        putc(digits[s[i] >> 4], stream);
        putc(digits[s[i] & 15], stream);
    }
}

void print_base64(FILE *stream, const void *data, size_t len) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *s = data;

    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t group = (uint32_t)s[i] << 16;
        group |= left > 1 ? (uint32_t)s[i + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)s[i + 2] : 0;
        putc(digits[group >> 18], stream);
        putc(digits[group >> 12 & 63], stream);
        putc(left > 1 ? digits[group >> 6 & 63] : '=', stream);
        putc(left > 2 ? digits[group & 63] : '=', stream);
    }
}

/* ------------------------------------------------------------------------ input */

static int hex_digit(int c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Two hexadecimal digits at @p s; -1 if they are not. */
static int hex_byte(const char *s, size_t len) {
    if (len < 2 || hex_digit(s[0]) < 0 || hex_digit(s[1]) < 0)
        return -1;
    return hex_digit(s[0]) << 4 | hex_digit(s[1]);
}

/* Pairs of digits; blanks and line ends between pairs are allowed, for pasted dumps. */
static bool parse_hex(const char *text, size_t len, struct bytes *out) {
    for (size_t i = 0; i < len;) {
        if (strchr(" \t\r\n", text[i]) && text[i] != '\0') {
            i++;
            continue;
        }
        int byte = hex_byte(text + i, len - i);
        if (byte < 0)
            return false;
        out->data[out->len++] = (unsigned char)byte;
        i += 2;
    }
    return true;
}

/* The escape at @p s, which follows a backslash. Its length, 0 if there is none such. */
static size_t parse_escape(const char *s, size_t len, unsigned char *byte) {
    int value;

    if (len == 0)
        return 0;
    switch (s[0]) {
    case '\\':
        *byte = '\\';
        return 1;
    case 't':
        *byte = '\t';
        return 1;
    case 'n':
        *byte = '\n';
        return 1;
    case 'r':
        *byte = '\r';
        return 1;
    case 'x':
        value = hex_byte(s + 1, len - 1);
        *byte = (unsigned char)value;
        return value < 0 ? 0 : 3;
    default:
        return 0;
    }
}

static bool parse_escaped(const char *text, size_t len, struct bytes *out) {
    for (size_t i = 0; i < len;) {
        unsigned char byte = (unsigned char)text[i++];
        if (byte == '\\') {
            size_t step = parse_escape(text + i, len - i, &byte);
            if (step == 0)
                return false;
            i += step;
        }
        out->data[out->len++] = byte;
    }
    return true;
}

bool bytes_parse(enum notation notation, const void *text, size_t len, struct bytes *out) {
    bool good = true;

    errno = 0;
    out->len = 0;
    out->data = malloc(len + 1); /* no notation makes a text longer */
    if (!out->data)
        return false;
    if (notation == NOTATION_HEX)
        good = parse_hex(text, len, out);
    else if (notation == NOTATION_ESCAPED)
        good = parse_escaped(text, len, out);
    else {
        memcpy(out->data, text, len);
        out->len = len;
    }
    if (!good)
        out->len = 0;
    return good;
}
