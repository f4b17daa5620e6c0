/*
 * Texts for results. The general texts come from the one list in errors.h; the
 * story of the last failure is kept per thread, in a buffer of fixed size, so
 * that telling it cannot fail.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* The calling thread's record, or NULL when there is no memory for one. */
static struct guard *texts(void) {
    if (!guard_mine && guard_create() != 0)
        return NULL;
    return guard_mine;
}

#if defined(__GLIBC__)
extern int __xpg_strerror_r(int, char *, size_t);
#define system_error_text __xpg_strerror_r
#else
#define system_error_text strerror_r
#endif

const char *shmkv_strerror(int err) {
    switch (err) {
    case SHMKV_OK:
        return "success";
#define TEXT_CASE(name, number, class_, text) \
    case number:                              \
        return text;
        SHMKV_ERROR_MAP(TEXT_CASE)
#undef TEXT_CASE
    }
    if (err < 0)
        return "unknown shmkv error";
    struct guard *g = texts();
    if (!g)
        return "system error";
    /* XSI strerror_r, by its GNU libc alias or by musl's only form. */
    if (system_error_text(err, g->system_text, sizeof g->system_text) != 0)
        snprintf(g->system_text, sizeof g->system_text, "system error %d", err);
    return g->system_text;
}

const char *shmkv_error_name(int err) {
    switch (err) {
    case SHMKV_OK:
        return "SHMKV_OK";
#define NAME_CASE(name, number, class_, text) \
    case number:                              \
        return "SHMKV_" #name;
        SHMKV_ERROR_MAP(NAME_CASE)
#undef NAME_CASE
    }
    return NULL;
}

const char *shmkv_error_detail(void) { return guard_mine ? guard_mine->detail : ""; }

void error_detail_keep(char story[DETAIL_SIZE]) {
    snprintf(story, DETAIL_SIZE, "%s", shmkv_error_detail());
}

void error_detail_restore(const char story[DETAIL_SIZE]) {
    if (guard_mine)
        memcpy(guard_mine->detail, story, DETAIL_SIZE);
}

const char *shmkv_version(void) { return SHMKV_VERSION; }

int fail(int err, const char *format, ...) {
    int saved = errno;
    /* Whichever call the file system said it to. */
    if (err == ENOSPC || err == EDQUOT)
        err = SHMKV_ENOSPC;
    struct guard *g = texts();
    if (!g)
        return err;
    char story[DETAIL_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(story, sizeof story, format, args);
    va_end(args);
    int n = snprintf(g->detail, sizeof g->detail, "%s", story);
    if (n >= 0 && (size_t)n < sizeof g->detail)
        snprintf(g->detail + n, sizeof g->detail - (size_t)n, ": %s", shmkv_strerror(err));
    errno = saved;
    return err;
}

/* Printable ASCII as it is, the rest as \xNN; a long key ends in "...". */
static void escape_key(char *out, size_t size, const uint8_t *key, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (n + 8 > size) {
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        bool plain = key[i] >= ' ' && key[i] < 0x7f && key[i] != '\\' && key[i] != '"';
        n += (size_t)snprintf(out + n, size - n, plain ? "%c" : "\\x%02x", key[i]);
    }
    out[n] = '\0';
}

/* " (key "…"", or 0: there is nothing to add it to. An answer has no story, and leaves
 * the last one alone. */
static size_t begin_key(int err, struct guard *g, const void *key, size_t key_len) {
    if (!g || err == SHMKV_ENOTFOUND || err == SHMKV_EEXISTS || err == SHMKV_ECHANGED ||
        err == SHMKV_ETOOSMALL)
        return 0;
    char escaped[64];
    escape_key(escaped, sizeof escaped, key, key ? key_len : 0); /* NULL is a bad key, too */
    size_t n = strlen(g->detail);
    snprintf(g->detail + n, sizeof g->detail - n, " (key \"%s\"", escaped);
    return strlen(g->detail);
}

int fail_at_key(int err, const void *key, size_t key_len) {
    struct guard *g = texts();
    size_t n = begin_key(err, g, key, key_len);
    if (n)
        snprintf(g->detail + n, sizeof g->detail - n, ")");
    return err;
}

int fail_at_one_of(int err, const struct shmkv_bytes *key, size_t done, size_t all) {
    struct guard *g = texts();
    size_t n = begin_key(err, g, key->data, key->len);
    if (n)
        snprintf(g->detail + n, sizeof g->detail - n, "; %zu of %zu done)", done, all);
    return err;
}
