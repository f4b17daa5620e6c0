/* The conformance driver in C. README.md has the commands. */
#include <shmkv/shmkv.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    unsigned char *data;
    size_t size;
};

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

static void do_open(const char *name, const char *mode) {
    struct shmkv_options options = {.size = sizeof options, .mode = mode_of(mode)};

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

static void run(char *command, char *words[3]) {
    if (!strcmp(command, "open"))
        do_open((char *)unhex(words[0]).data, words[1]);
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
    else if (!strcmp(command, "close"))
        do_close();
    else
        puts("error unknown command");
}

int main(void) {
    char *line = NULL;
    size_t room = 0;

    while (getline(&line, &room, stdin) > 0) {
        char *words[4] = {NULL, NULL, NULL, NULL};
        char *rest = line;
        int i;

        for (i = 0; i < 4 && (words[i] = strtok_r(rest, " \n", &rest)); i++)
            continue;
        if (words[0])
            run(words[0], words + 1);
        fflush(stdout);
    }
    free(line);
    return 0;
}
