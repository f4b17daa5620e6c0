/* The conformance driver in C. README.md has the commands. */
#include <shmkv/shmkv.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct bytes {
    unsigned char *data;
    size_t size;
};

enum { WORDS = 8 }; /* of a command at most, and a NULL behind them */

static shmkv_t *store;

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

/* Decodes in place: the digits are not needed any more. */
static struct bytes unhex(char *word) {
    struct bytes out = {(unsigned char *)word, 0};

    if (strcmp(word, "-")) {
        for (; word[0]; word += 2)
            out.data[out.size++] = (unsigned char)(digit(word[0]) << 4 | digit(word[1]));
    }
    out.data[out.size] = '\0';
    return out;
}

static void print_hex(const void *data, size_t size) {
    const unsigned char *byte = data;
    size_t i;

    if (size == 0)
        putchar('-');
    for (i = 0; i < size; i++) {
        putchar("0123456789abcdef"[byte[i] >> 4]);
        putchar("0123456789abcdef"[byte[i] & 15]);
    }
}

static void print_entry(const void *key, size_t key_len, const void *val, size_t val_len) {
    printf("entry ");
    print_hex(key, key_len);
    putchar(' ');
    print_hex(val, val_len);
    putchar('\n');
}

static void print_error(int err) {
    const char *name = shmkv_error_name(err);

    if (name)
        printf("error %s\n", name + strlen("SHMKV_"));
    else
        printf("error errno %d\n", err);
}

static void answer(int err) {
    if (err == SHMKV_ENOTFOUND)
        puts("absent");
    else if (err)
        print_error(err);
    else
        puts("ok");
}

static void answer_count(int err, uint64_t n) {
    if (err)
        print_error(err);
    else
        printf("count %" PRIu64 "\n", n);
}

static int mode_of(const char *word) {
    static const char *const modes[] = {"shared", "exclusive", "existing", "readonly"};
    int mode = 0;

    while (mode < 4 && strcmp(word, modes[mode]))
        mode++;
    return mode;
}

static void do_close(void) {
    int err = shmkv_close(store);

    store = NULL;
    answer(err);
}

/* @p option, of a new segment: its name and a number. */
static void do_open(const char *name, const char *mode, char *const option[2]) {
    struct shmkv_options options = {.size = sizeof options, .mode = mode_of(mode)};

    if (option[0] && !strcmp(option[0], "max_entries"))
        options.max_entries = strtoull(option[1], NULL, 10);
    else if (option[0] && !strcmp(option[0], "max_size"))
        options.max_size = strtoull(option[1], NULL, 10);
    else if (option[0] && !strcmp(option[0], "default_ttl"))
        options.default_ttl_ns = strtoull(option[1], NULL, 10) * UINT64_C(1000000000);
    shmkv_close(store);
    store = NULL;
    answer(shmkv_open(name, &options, &store));
}

static void do_get(struct bytes key) {
    size_t room = 64, size = 0;
    char *value = malloc(room);
    int err;

    while ((err = shmkv_get(store, key.data, key.size, value, room, &size)) == SHMKV_ETOOSMALL)
        value = realloc(value, room = size);
    if (err) {
        answer(err);
    } else {
        printf("value ");
        print_hex(value, size);
        putchar('\n');
    }
    free(value);
}

struct native {
    const char *name;
    int type;
    const void *data;
    size_t len;
};

static const int64_t minus_seven = -7, least = INT64_MIN, most = INT64_MAX;
static const double sum = 0.1 + 0.2, whole = 3.0, infinity = INFINITY, nan_value = NAN;
static const uint8_t yes = 1, no = 0;

#define TEXT_OF(text) (text), sizeof(text) - 1
static const struct native natives[] = {
    {"bytes", SHMKV_BYTES, TEXT_OF("\0\xff\xe9")},
    {"text", SHMKV_TEXT, TEXT_OF("h\xc3\xa9 \xe2\x98\xba \xf0\x9f\x98\x80")},
    {"ascii", SHMKV_TEXT, TEXT_OF("text")},
    {"int", SHMKV_INT64, &minus_seven, 8},
    {"least", SHMKV_INT64, &least, 8},
    {"most", SHMKV_INT64, &most, 8},
    {"float", SHMKV_FLOAT64, &sum, 8},
    {"whole", SHMKV_FLOAT64, &whole, 8},
    {"infinity", SHMKV_FLOAT64, &infinity, 8},
    {"nan", SHMKV_FLOAT64, &nan_value, 8},
    {"true", SHMKV_BOOLEAN, &yes, 1},
    {"false", SHMKV_BOOLEAN, &no, 1},
    {"null", SHMKV_NULL, NULL, 0},
    {"array", SHMKV_JSON, TEXT_OF("[1,2.5,\"h\xc3\xa9\",true,null,[],{}]")},
    {"object", SHMKV_JSON,
     TEXT_OF("{\"a\":[1,2],\"\xc3\xa9\":{\"b\":-9223372036854775808},\"x\":1e300}")},
};

static void do_native(const char *name) {
    size_t i;

    for (i = 0; i < sizeof natives / sizeof *natives; i++)
        if (!strcmp(natives[i].name, name)) {
            struct shmkv_item item = {
                .type = natives[i].type, .data = natives[i].data, .len = natives[i].len};
            answer(shmkv_put_item(store, name, strlen(name), &item));
            return;
        }
    puts("error no such value");
}

static void describe(const struct shmkv_item *item) {
    int64_t integer;
    uint64_t bits;
    double number;

    switch (item->type) {
    case SHMKV_INT64:
        memcpy(&integer, item->data, 8);
        printf("int:%" PRId64, integer);
        return;
    case SHMKV_FLOAT64:
        memcpy(&number, item->data, 8);
        memcpy(&bits, item->data, 8);
        isnan(number) ? printf("nan") : printf("float:%016" PRIx64, bits);
        return;
    case SHMKV_BOOLEAN:
        printf(*(const uint8_t *)item->data ? "true" : "false");
        return;
    case SHMKV_NULL:
        printf("null");
        return;
    default:
        printf(item->type == SHMKV_TEXT ? "text:" : item->type == SHMKV_JSON ? "json:" : "bytes:");
        print_hex(item->data, item->len);
    }
}

static void do_describe(const char *name) {
    char value[4096];
    struct shmkv_item item;
    int err = shmkv_get_item(store, name, strlen(name), value, sizeof value, &item);

    if (err) {
        answer(err);
        return;
    }
    printf("value ");
    describe(&item);
    putchar('\n');
}

static void do_steps(struct bytes prefix, struct bytes from, uint64_t count) {
    struct shmkv_position position;
    shmkv_cursor_t *cursor;
    const void *key, *val;
    size_t key_len, val_len;
    int err = shmkv_cursor_open(store, 0, &cursor);

    if (err) {
        print_error(err);
        return;
    }
    err = shmkv_cursor_prefix(cursor, prefix.data, prefix.size);
    if (!err && from.size == sizeof position.bytes) {
        memcpy(position.bytes, from.data, sizeof position.bytes);
        err = shmkv_cursor_seek(cursor, &position);
    } else if (!err && from.size) {
        err = SHMKV_EARGUMENT;
    }
    for (; count && !err; count--) {
        err = shmkv_cursor_next(cursor, &key, &key_len, &val, &val_len);
        if (!err)
            print_entry(key, key_len, val, val_len);
    }
    if (err == SHMKV_ENOTFOUND)
        err = SHMKV_OK;
    if (!err)
        err = shmkv_cursor_position(cursor, &position);
    shmkv_cursor_close(cursor);
    if (err) {
        print_error(err);
        return;
    }
    printf("end ");
    print_hex(position.bytes, sizeof position.bytes);
    putchar('\n');
}

static int exchange(void *argument, shmkv_txn_t *txn) {
    struct shmkv_item one, other;
    void *copy;
    int err = shmkv_txn_get(txn, 0, &one);

    (void)argument;
    if (!err)
        err = shmkv_txn_get(txn, 1, &other);
    if (err)
        return err;
    /* Its data are gone once the key is put. */
    copy = malloc(one.len + 1);
    if (!copy)
        return ENOMEM;
    if (one.len)
        memcpy(copy, one.data, one.len);
    one.data = copy;
    err = shmkv_txn_put(txn, 0, &other);
    if (!err)
        err = shmkv_txn_put(txn, 1, &one);
    free(copy);
    return err;
}

static int add(shmkv_txn_t *txn, size_t i, int64_t amount) {
    struct shmkv_item item;
    int64_t balance = 0;
    int err = shmkv_txn_get(txn, i, &item);

    if (err && err != SHMKV_ENOTFOUND)
        return err;
    if (!err)
        memcpy(&balance, item.data, sizeof balance);
    balance += amount;
    item = (struct shmkv_item){.type = SHMKV_INT64, .data = &balance, .len = sizeof balance};
    return shmkv_txn_put(txn, i, &item);
}

static int transfer(void *argument, shmkv_txn_t *txn) {
    int err = add(txn, 0, -1);

    (void)argument;
    return err ? err : add(txn, 1, 1);
}

static int transact(const char *one, const char *other, shmkv_txn_fn fn) {
    const struct shmkv_bytes keys[] = {{one, strlen(one)}, {other, strlen(other)}};

    return shmkv_transaction(store, 2, keys, fn, NULL);
}

static void do_transfer(const char *from, const char *to, uint64_t count) {
    int err = SHMKV_OK;

    for (; count && !err; count--)
        err = transact(from, to, transfer);
    answer(err);
}

static void do_exists(struct bytes key) {
    int err = shmkv_exists(store, key.data, key.size);

    if (err && err != SHMKV_ENOTFOUND)
        print_error(err);
    else
        puts(err ? "no" : "yes");
}

static void do_all(void) {
    shmkv_snapshot_t *snapshot;
    const void *key, *val;
    size_t key_len, val_len;
    int err = shmkv_snapshot(store, &snapshot);

    if (err) {
        print_error(err);
        return;
    }
    while (!shmkv_snapshot_next(snapshot, &key, &key_len, &val, &val_len))
        print_entry(key, key_len, val, val_len);
    shmkv_snapshot_free(snapshot);
    puts("end");
}

static void do_walk(void) {
    shmkv_cursor_t *cursor;
    const void *key, *val;
    size_t key_len, val_len;
    int err = shmkv_cursor_open(store, 0, &cursor);

    if (err) {
        print_error(err);
        return;
    }
    while (!(err = shmkv_cursor_next(cursor, &key, &key_len, &val, &val_len)))
        print_entry(key, key_len, val, val_len);
    shmkv_cursor_close(cursor);
    if (err == SHMKV_ENOTFOUND)
        puts("end");
    else
        print_error(err);
}

static void do_verify(void) {
    uint64_t problems = 0;
    int err = shmkv_verify(store, NULL, NULL, &problems);

    answer_count(err == SHMKV_ECORRUPT && problems ? SHMKV_OK : err, problems);
}

/* Numbered entry i. */
static void number(uint64_t i, char key[17], char value[33]) {
    snprintf(key, 17, "%016" PRIu64, i % UINT64_C(10000000000000000));
    memcpy(value, key, 16);
    memcpy(value + 16, key, 17);
}

static int is_there(uint64_t i) {
    char key[17], value[33], found[33];
    size_t size;

    number(i, key, value);
    return !shmkv_get(store, key, 16, found, sizeof found, &size) && size == 32 &&
           !memcmp(found, value, 32);
}

static void do_load(uint64_t first, uint64_t count) {
    char key[17], value[33];
    int err = SHMKV_OK;
    uint64_t i;

    for (i = first; i < first + count && !err; i++) {
        number(i, key, value);
        err = shmkv_put(store, key, 16, value, 32);
    }
    answer(err);
}

/* In one call: they are stored, or removed. */
static void do_many(uint64_t first, uint64_t count, int remove) {
    char(*texts)[2][33] = malloc(count * sizeof *texts);
    struct shmkv_bytes *keys = malloc(count * sizeof *keys);
    struct shmkv_item *items = calloc(count, sizeof *items);
    size_t removed = 0;
    uint64_t i;
    int err = texts && keys && items ? SHMKV_OK : ENOMEM;

    for (i = 0; i < count && !err; i++) {
        number(first + i, texts[i][0], texts[i][1]);
        keys[i] = (struct shmkv_bytes){texts[i][0], 16};
        items[i].data = texts[i][1];
        items[i].len = 32;
    }
    if (!err)
        err = remove ? shmkv_delete_many(store, count, keys, NULL, NULL, &removed)
                     : shmkv_put_many(store, count, keys, items, NULL);
    free(texts);
    free(keys);
    free(items);
    if (remove)
        answer_count(err, removed);
    else
        answer(err);
}

static void do_check(uint64_t first, uint64_t count) {
    uint64_t i, good = 0;

    for (i = first; i < first + count; i++)
        good += (uint64_t)is_there(i);
    answer_count(SHMKV_OK, good);
}

static void do_watch(uint64_t first, uint64_t count, struct bytes stop) {
    uint64_t i, missed = 0;

    do {
        for (i = first; i < first + count; i++)
            missed += !is_there(i);
    } while (shmkv_exists(store, stop.data, stop.size) == SHMKV_ENOTFOUND);
    printf("missed %" PRIu64 "\n", missed);
}

/* ------------------------------------------------------------------ call OPERATION */

/* An argument, made of its description. */
struct argument {
    struct shmkv_item item;
    int64_t integer;
    double number;
    uint8_t truth;
    int given;
};

enum { ARGUMENTS = 4, ROOM = 4096 };

/* Where values that come back go. */
static char returned[ROOM];

static void parse_bits(const char *digits, double *number) {
    uint64_t bits = strtoull(digits, NULL, 16);

    memcpy(number, &bits, sizeof *number);
}

static void parse_scalar(struct argument *out, int type, const void *data, size_t len) {
    out->item.type = type;
    out->item.data = data;
    out->item.len = len;
}

/* In place, as unhex() does. */
static void parse(char *word, struct argument *out) {
    char *rest = strchr(word, ':');

    out->given = 1;
    if (rest)
        *rest++ = '\0';
    if (!strcmp(word, "int")) {
        /* A position may be beyond INT64_MAX. */
        out->integer = (int64_t)strtoull(rest, NULL, 10);
        parse_scalar(out, SHMKV_INT64, &out->integer, 8);
    } else if (!strcmp(word, "float")) {
        parse_bits(rest, &out->number);
        parse_scalar(out, SHMKV_FLOAT64, &out->number, 8);
    } else if (!strcmp(word, "nan")) {
        parse_scalar(out, SHMKV_FLOAT64, &nan_value, 8);
    } else if (!strcmp(word, "true") || !strcmp(word, "false")) {
        out->truth = word[0] == 't';
        parse_scalar(out, SHMKV_BOOLEAN, &out->truth, 1);
    } else if (!strcmp(word, "null")) {
        parse_scalar(out, SHMKV_NULL, NULL, 0);
    } else {
        struct bytes data = unhex(rest);
        parse_scalar(out, word[0] == 't' ? SHMKV_TEXT : SHMKV_BYTES, data.data, data.size);
    }
}

#define KEY a[0].item.data, a[0].item.len

/* Whether it was done: what the languages tell by true and false, with which an absent key
 * is no error either. */
static void answer_yes(int err, int refusal) {
    if (err == refusal || err == SHMKV_ENOTFOUND)
        puts("no");
    else if (err)
        print_error(err);
    else
        puts("yes");
}

static void answer_value(int err, const struct shmkv_item *item) {
    if (err) {
        answer(err);
        return;
    }
    printf("value ");
    describe(item);
    putchar('\n');
}

static void answer_i64(int err, int64_t result) {
    struct shmkv_item item = {.type = SHMKV_INT64, .data = &result, .len = 8};

    answer_value(err, &item);
}

static void answer_f64(int err, double result) {
    struct shmkv_item item = {.type = SHMKV_FLOAT64, .data = &result, .len = 8};

    answer_value(err, &item);
}

/* Before the command has its answer. */
static void tell(const char *line) {
    puts(line);
    fflush(stdout);
}

/* Nanoseconds since 1970, as many seconds from now. */
static uint64_t moment(int64_t seconds) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)(now.tv_sec + seconds) * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* null is for ever. */
static int milliseconds(const struct argument *seconds) {
    return seconds->item.type == SHMKV_NULL ? -1 : (int)(seconds->integer * 1000);
}

static void call_item(struct argument *a) {
    struct shmkv_item item;
    int err = shmkv_get_item(store, KEY, returned, sizeof returned, &item);

    if (err) {
        answer(err);
        return;
    }
    printf("item ");
    describe(&item);
    printf(" %" PRIu64 " %" PRIu64 " %d\n", item.version, item.expires_ns,
           item.flags & SHMKV_BOUND ? 1 : 0);
}

static void call_get_many(struct argument *a) {
    struct shmkv_bytes keys[ARGUMENTS];
    struct shmkv_item items[ARGUMENTS];
    size_t n = 0, i;
    int err;

    for (; n < ARGUMENTS && a[n].given; n++)
        keys[n] = (struct shmkv_bytes){a[n].item.data, a[n].item.len};
    err = shmkv_get_many(store, n, keys, items, returned, sizeof returned, NULL);
    if (err) {
        print_error(err);
        return;
    }
    printf("values");
    for (i = 0; i < n; i++) {
        putchar(' ');
        if (items[i].result)
            printf("absent");
        else
            describe(&items[i]);
    }
    putchar('\n');
}

static void call_set(struct argument *a) {
    if (a[2].given)
        a[1].item.expires_ns = moment(a[2].integer);
    answer(shmkv_put_item(store, KEY, &a[1].item));
}

static void call_bind(struct argument *a) {
    a[1].item.flags = SHMKV_BOUND;
    answer(shmkv_put_item(store, KEY, &a[1].item));
}

static void call_add(struct argument *a) {
    answer_yes(shmkv_add(store, KEY, &a[1].item, NULL), SHMKV_EEXISTS);
}

static void call_replace(struct argument *a) {
    answer_yes(shmkv_replace(store, KEY, &a[1].item, NULL), SHMKV_ENOTFOUND);
}

static void call_swap(struct argument *a) {
    struct shmkv_item old = {0};
    int err = shmkv_swap(store, KEY, &a[1].item, returned, sizeof returned, &old);

    answer_value(err ? err : old.result, &old);
}

static void call_take(struct argument *a) {
    struct shmkv_item item = {0};
    int err = shmkv_take(store, KEY, returned, sizeof returned, &item);

    answer_value(err, &item);
}

static void call_cas(struct argument *a) {
    answer_yes(shmkv_cas(store, KEY, (uint64_t)a[1].integer, &a[2].item), SHMKV_ECHANGED);
}

static void call_cas_value(struct argument *a) {
    answer_yes(shmkv_cas_value(store, KEY, &a[1].item, &a[2].item), SHMKV_ECHANGED);
}

static void call_delete(struct argument *a) {
    answer_yes(shmkv_delete(store, KEY), SHMKV_ENOTFOUND);
}

static void call_delete_if(struct argument *a) {
    answer_yes(shmkv_delete_if(store, KEY, (uint64_t)a[1].integer), SHMKV_ECHANGED);
}

static void call_delete_value(struct argument *a) {
    answer_yes(shmkv_delete_value(store, KEY, &a[1].item), SHMKV_ECHANGED);
}

static void call_append(struct argument *a) {
    size_t len = 0;
    int err = a[1].item.type == SHMKV_TEXT
                  ? shmkv_append_text(store, KEY, a[1].item.data, a[1].item.len, &len)
                  : shmkv_append(store, KEY, a[1].item.data, a[1].item.len, &len);

    answer_count(err, len);
}

static void count_with(struct argument *a, int sign) {
    int64_t integer = 0;
    double number = 0;
    int err;

    if (a[1].item.type == SHMKV_FLOAT64) {
        err = shmkv_incr_f64(store, KEY, sign * a[1].number, a[2].number, &number);
        answer_f64(err, number);
    } else {
        err = shmkv_incr_i64(store, KEY, sign * a[1].integer, a[2].integer, &integer);
        answer_i64(err, integer);
    }
}

static void call_incr(struct argument *a) { count_with(a, 1); }

static void call_decr(struct argument *a) { count_with(a, -1); }

static void call_at_least(struct argument *a) {
    int64_t integer = 0;
    double number = 0;
    int err;

    if (a[1].item.type == SHMKV_FLOAT64) {
        err = shmkv_max_f64(store, KEY, a[1].number, &number);
        answer_f64(err, number);
    } else {
        err = shmkv_max_i64(store, KEY, a[1].integer, &integer);
        answer_i64(err, integer);
    }
}

static void call_at_most(struct argument *a) {
    int64_t integer = 0;
    double number = 0;
    int err;

    if (a[1].item.type == SHMKV_FLOAT64) {
        err = shmkv_min_f64(store, KEY, a[1].number, &number);
        answer_f64(err, number);
    } else {
        err = shmkv_min_i64(store, KEY, a[1].integer, &integer);
        answer_i64(err, integer);
    }
}

static void call_get_or_set(struct argument *a) {
    struct shmkv_item out = {0};
    int err = shmkv_get_or_set(store, KEY, &a[1].item, returned, sizeof returned, &out);

    answer_value(err, &out);
}

/* Twice what is there; 1 for nothing. */
static int twice(void *arg, const struct shmkv_item *old, struct shmkv_item *new_) {
    int64_t *result = arg;

    if (old && old->type != SHMKV_INT64)
        return SHMKV_ETYPE;
    if (old)
        memcpy(result, old->data, sizeof *result);
    *result = old ? 2 * *result : 1;
    new_->type = SHMKV_INT64;
    new_->data = result;
    new_->len = sizeof *result;
    return SHMKV_OK;
}

static void call_modify(struct argument *a) {
    int64_t result = 0;
    int err = shmkv_update(store, KEY, twice, &result);

    answer_i64(err, result);
}

static void call_touch(struct argument *a) {
    answer_yes(shmkv_touch(store, KEY, a[1].given ? moment(a[1].integer) : 0), SHMKV_ENOTFOUND);
}

static void call_pop(struct argument *a) {
    char key[256];
    size_t key_len;
    struct shmkv_item item;
    int err = shmkv_pop(store, key, sizeof key, &key_len, returned, sizeof returned, &item);

    (void)a;
    if (err) {
        answer(err);
        return;
    }
    printf("entry ");
    print_hex(key, key_len);
    putchar(' ');
    describe(&item);
    putchar('\n');
}

static void call_clear(struct argument *a) {
    uint64_t removed = 0;
    int err = shmkv_clear(store, &removed);

    (void)a;
    answer_count(err, removed);
}

static void call_sweep(struct argument *a) {
    uint64_t removed = 0;
    int err = shmkv_sweep(store, 0, &removed);

    (void)a;
    answer_count(err, removed);
}

static void call_wait(struct argument *a) {
    tell("waiting");
    answer_yes(shmkv_wait(store, KEY, (uint64_t)a[1].integer, milliseconds(&a[2])),
               SHMKV_ETIMEDOUT);
}

static void call_watch(struct argument *a) {
    uint64_t position = (uint64_t)a[0].integer;
    int err;

    tell("waiting");
    err = shmkv_watch(store, &position, milliseconds(&a[1]));
    if (err && err != SHMKV_ETIMEDOUT)
        print_error(err);
    else
        printf("%s %" PRIu64 "\n", err ? "unchanged" : "changed", position);
}

/* The next line of the input; the caller frees it. */
static char *next_line(void) {
    char *line = NULL;
    size_t size = 0;
    ssize_t len = getline(&line, &size, stdin);

    if (len <= 0)
        exit(1);
    line[len - 1] = '\0';
    return line;
}

static void call_hold(struct argument *a) {
    uint64_t token;
    int err;

    tell("waiting");
    err = shmkv_lock(store, KEY, milliseconds(&a[1]), &token);
    if (err) {
        print_error(err);
        return;
    }
    printf("held %" PRIu64 "\n", token);
    fflush(stdout);
    free(next_line());
    answer(shmkv_unlock(store, KEY, token));
}

/* The value is what the next line describes. */
struct computed {
    char *line;
    struct argument value;
};

static int computed(void *arg, struct shmkv_item *new_) {
    struct computed *it = arg;

    tell("computing");
    it->line = next_line();
    parse(it->line, &it->value);
    *new_ = it->value.item;
    return SHMKV_OK;
}

static void call_compute(struct argument *a) {
    struct computed it = {0};
    struct shmkv_item item;
    int err;

    tell("waiting");
    err = shmkv_get_or_compute(store, KEY, computed, &it, milliseconds(&a[1]), returned,
                               sizeof returned, &item);
    answer_value(err, &item);
    free(it.line);
}

static void call_freeze(struct argument *a) {
    (void)a;
    answer(shmkv_freeze(store));
}

static void call_sync(struct argument *a) {
    (void)a;
    answer(shmkv_sync(store));
}

/* In: the path, as bytes. */
static void call_dump(struct argument *a) {
    int fd = open(a[0].item.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint64_t entries = 0;
    int err = fd < 0 ? errno : shmkv_dump(store, fd, 0, &entries);

    if (fd >= 0 && close(fd) != 0 && !err)
        err = errno;
    answer_count(err, entries);
}

static void call_load(struct argument *a) {
    const char *how = a[1].given ? a[1].item.data : "";
    unsigned flags = !strcmp(how, "keep")      ? SHMKV_LOAD_KEEP
                     : !strcmp(how, "replace") ? SHMKV_LOAD_REPLACE
                                               : 0;
    int fd = open(a[0].item.data, O_RDONLY | O_CLOEXEC);
    uint64_t entries = 0;
    int err = fd < 0 ? errno : shmkv_load(store, fd, flags, &entries);

    if (fd >= 0)
        close(fd);
    answer_count(err, entries);
}

static void call_info(struct argument *a) {
    struct shmkv_info info = {.size = sizeof info};
    int err = shmkv_info(store, &info);

    (void)a;
    if (err)
        print_error(err);
    else
        printf("info %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32 "\n", info.default_ttl_ns,
               info.max_entries, info.max_size, info.frozen);
}

static void call_stats(struct argument *a) {
    struct shmkv_stats stats = {.size = sizeof stats};
    int err = shmkv_stats(store, &stats);

    (void)a;
    if (err)
        print_error(err);
    else
        printf("stats %" PRIu64 " %" PRIu64 "\n", stats.entries, stats.evictions);
}

static void call_locks(struct argument *a) {
    struct shmkv_lock *locks;
    size_t n = 0, i, held = 0;
    int err = shmkv_locks(store, NULL, 0, &n);

    (void)a;
    locks = calloc(n + 1, sizeof *locks);
    if (!err)
        err = locks ? shmkv_locks(store, locks, n, &n) : ENOMEM;
    for (i = 0; i < n && !err; i++)
        held += locks[i].owner >= 0;
    free(locks);
    if (err)
        print_error(err);
    else
        printf("locks %zu %zu\n", n, held);
}

static int by_pid(const void *one, const void *other) {
    const struct shmkv_owner *a = one, *b = other;

    return (a->pid > b->pid) - (a->pid < b->pid);
}

static void call_owners(struct argument *a) {
    struct shmkv_owner owners[64];
    size_t n = 0, i;
    int err = shmkv_owners(store, owners, 64, &n);

    (void)a;
    if (err || n > 64) {
        print_error(err ? err : SHMKV_ETOOSMALL);
        return;
    }
    qsort(owners, n, sizeof *owners, by_pid);
    printf("owners");
    for (i = 0; i < n; i++)
        if (owners[i].liveness == SHMKV_ALIVE)
            printf(" %" PRIu32, owners[i].pid);
    putchar('\n');
}

#define CALL(name) \
    { #name, call_##name }
static const struct call {
    const char *name;
    void (*run)(struct argument *a);
} calls[] = {
    CALL(item),    CALL(get_many),  CALL(set),          CALL(bind),       CALL(add),
    CALL(replace), CALL(swap),      CALL(take),         CALL(cas),        CALL(cas_value),
    CALL(delete),  CALL(delete_if), CALL(delete_value), CALL(append),     CALL(incr),
    CALL(decr),    CALL(at_least),  CALL(at_most),      CALL(get_or_set), CALL(modify),
    CALL(touch),   CALL(pop),       CALL(clear),        CALL(sweep),      CALL(wait),
    CALL(watch),   CALL(hold),      CALL(compute),      CALL(freeze),     CALL(sync),
    CALL(dump),    CALL(load),      CALL(info),         CALL(stats),      CALL(locks),
    CALL(owners),
};

static void do_call(const char *name, char *const words[]) {
    struct argument a[ARGUMENTS] = {0};
    size_t i;

    for (i = 0; i < ARGUMENTS && words[i]; i++)
        parse(words[i], &a[i]);
    for (i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!strcmp(calls[i].name, name)) {
            calls[i].run(a);
            return;
        }
    puts("error unknown operation");
}

static void run(char *command, char *words[WORDS]) {
    if (!strcmp(command, "open"))
        do_open((char *)unhex(words[0]).data, words[1], words + 2);
    else if (!strcmp(command, "unlink"))
        answer(shmkv_unlink((char *)unhex(words[0]).data));
    else if (!store)
        print_error(SHMKV_ECLOSED);
    else if (!strcmp(command, "put")) {
        struct bytes key = unhex(words[0]), value = unhex(words[1]);
        answer(shmkv_put(store, key.data, key.size, value.data, value.size));
    } else if (!strcmp(command, "get"))
        do_get(unhex(words[0]));
    else if (!strcmp(command, "native"))
        do_native(words[0]);
    else if (!strcmp(command, "describe"))
        do_describe(words[0]);
    else if (!strcmp(command, "exchange"))
        answer(transact(words[0], words[1], exchange));
    else if (!strcmp(command, "transfer"))
        do_transfer(words[0], words[1], strtoull(words[2], NULL, 10));
    else if (!strcmp(command, "delete")) {
        struct bytes key = unhex(words[0]);
        answer(shmkv_delete(store, key.data, key.size));
    } else if (!strcmp(command, "exists"))
        do_exists(unhex(words[0]));
    else if (!strcmp(command, "count")) {
        uint64_t n = 0;
        int err = shmkv_count(store, &n);
        answer_count(err, n);
    } else if (!strcmp(command, "all"))
        do_all();
    else if (!strcmp(command, "walk"))
        do_walk();
    else if (!strcmp(command, "verify"))
        do_verify();
    else if (!strcmp(command, "load"))
        do_load(strtoull(words[0], NULL, 10), strtoull(words[1], NULL, 10));
    else if (!strcmp(command, "put_many") || !strcmp(command, "delete_many"))
        do_many(strtoull(words[0], NULL, 10), strtoull(words[1], NULL, 10), command[0] == 'd');
    else if (!strcmp(command, "steps"))
        do_steps(unhex(words[0]), unhex(words[1]), strtoull(words[2], NULL, 10));
    else if (!strcmp(command, "check"))
        do_check(strtoull(words[0], NULL, 10), strtoull(words[1], NULL, 10));
    else if (!strcmp(command, "watch"))
        do_watch(strtoull(words[0], NULL, 10), strtoull(words[1], NULL, 10), unhex(words[2]));
    else if (!strcmp(command, "call"))
        do_call(words[0], words + 1);
    else if (!strcmp(command, "close"))
        do_close();
    else
        puts("error unknown command");
}

int main(void) {
    char *line = NULL;
    size_t room = 0;

    while (getline(&line, &room, stdin) > 0) {
        char *words[WORDS + 1] = {NULL};
        char *rest = line;
        int i;

        for (i = 0; i < WORDS && (words[i] = strtok_r(rest, " \n", &rest)); i++)
            continue;
        if (words[0])
            run(words[0], words + 1);
        fflush(stdout);
    }
    free(line);
    return 0;
}
