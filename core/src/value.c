/*
 * Typed values: what may be stored as what [LAYOUT-26]. A type is a promise to
 * readers in other languages, so it is checked when the value is written, by
 * whoever writes it; the core never changes a value's bytes.
 */
#include <string.h>

#include "internal.h"

_Static_assert((int)SHMKV_BYTES == (int)SHMKV_VALUE_TYPE_BYTES &&
                   (int)SHMKV_TEXT == (int)SHMKV_VALUE_TYPE_TEXT &&
                   (int)SHMKV_INT64 == (int)SHMKV_VALUE_TYPE_INT64 &&
                   (int)SHMKV_FLOAT64 == (int)SHMKV_VALUE_TYPE_FLOAT64 &&
                   (int)SHMKV_BOOLEAN == (int)SHMKV_VALUE_TYPE_BOOLEAN &&
                   (int)SHMKV_NULL == (int)SHMKV_VALUE_TYPE_NULL &&
                   (int)SHMKV_JSON == (int)SHMKV_VALUE_TYPE_JSON &&
                   (int)SHMKV_CODED == (int)SHMKV_VALUE_TYPE_CODED,
               "the public numbers are those of the format");

const char *type_name(int type) {
    static const char *const names[] = {"bytes",   "text", "an integer", "a float",
                                        "boolean", "null", "JSON",       "coded"};
    return type >= 0 && type <= SHMKV_CODED ? names[type] : "of an unknown type";
}

/* The bytes that follow the first of a character, and the range of the second: the
 * shortest form only, no surrogates, nothing beyond U+10FFFF (Unicode 15, table 3-7). */
static unsigned utf8_following(uint8_t first, uint8_t *low, uint8_t *high) {
    *low = 0x80, *high = 0xbf;
    if (first >= 0xc2 && first <= 0xdf)
        return 1;
    if (first >= 0xe0 && first <= 0xef) {
        if (first == 0xe0)
            *low = 0xa0;
        if (first == 0xed)
            *high = 0x9f;
        return 2;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        if (first == 0xf0)
            *low = 0x90;
        if (first == 0xf4)
            *high = 0x8f;
        return 3;
    }
    return 0;
}

bool utf8_valid(const uint8_t *p, size_t len) {
    const uint8_t *end = p + len;
    while (p < end) {
        uint64_t eight;
        if (end - p >= 8 && (memcpy(&eight, p, 8), (eight & 0x8080808080808080u) == 0)) {
            p += 8;
            continue;
        }
        uint8_t low, high, first = *p++;
        if (first < 0x80)
            continue;
        unsigned following = utf8_following(first, &low, &high);
        if (!following || (size_t)(end - p) < following || *p < low || *p > high)
            return false;
        for (p++; --following; p++)
            if (*p < 0x80 || *p > 0xbf)
                return false;
    }
    return true;
}

static bool fits_type(const struct shmkv_item *item) {
    const uint8_t *bytes = item->data;
    switch (item->type) {
    case SHMKV_TEXT:
    case SHMKV_JSON:
        return utf8_valid(bytes, item->len);
    case SHMKV_BOOLEAN:
        return item->len == 1 && bytes[0] <= 1;
    default:
        return type_of_value((unsigned)item->type, item->len) == item->type;
    }
}

int item_check(const shmkv_t *kv, const struct shmkv_item *item) {
    if (!item)
        return fail(SHMKV_EARGUMENT, "%s: no value", kv_name(kv));
    if (item->len > SHMKV_MAX_VALUE)
        return fail(SHMKV_EVALUE, "%s: a value of %zu bytes", kv_name(kv), item->len);
    if (!item->data && item->len)
        return fail(SHMKV_EARGUMENT, "%s: no value", kv_name(kv));
    if (item->type < SHMKV_BYTES || item->type > SHMKV_CODED)
        return fail(SHMKV_EARGUMENT, "%s: type %d", kv_name(kv), item->type);
    if (item->flags & ~(unsigned)(SHMKV_BOUND | SHMKV_NO_DEFAULT_EXPIRY))
        return fail(SHMKV_EARGUMENT, "%s: item flags 0x%x", kv_name(kv), item->flags);
    if (!fits_type(item))
        return fail(SHMKV_EVALUE, "%s: %zu bytes are not %s", kv_name(kv), item->len,
                    type_name(item->type));
    return SHMKV_OK;
}
