/* The conformance driver in C. README.md has the commands. */
#include <shmkv/shmkv.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    unsigned char *data;
    size_t size;
};

static shmkv_t *store;

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Decodes in place: the digits are not needed any more. */
static struct bytes unhex(char *word)
{
    struct bytes out = {(unsigned char *)word, 0};

    if (strcmp(word, "-")) {
        for (; word[0]; word += 2)
            out.data[out.size++] = (unsigned char)(digit(word[0]) << 4 | digit(word[1]));
    }
    out.data[out.size] = '\0';
    return out;
}

static void print_hex(const void *data, size_t size)
{
    const unsigned char *byte = data;
    size_t i;

    if (size == 0)
        putchar('-');
    for (i = 0; i < size; i++) {
        putchar("0123456789abcdef"[byte[i] >> 4]);
        putchar("0123456789abcdef"[byte[i] & 15]);
    }
}

static void print_entry(const void *key, size_t key_len, const void *val, size_t val_len)
{
    printf("entry ");
    print_hex(key, key_len);
    putchar(' ');
    print_hex(val, val_len);
    putchar('\n');
}

static void print_error(int err)
{
    const char *name = shmkv_error_name(err);

    if (name)
        printf("error %s\n", name + strlen("SHMKV_"));
    else
        printf("error errno %d\n", err);
}

static void answer(int err)
{
    if (err == SHMKV_ENOTFOUND)
        puts("absent");
    else if (err)
        print_error(err);
    else
        puts("ok");
}

static void answer_count(int err, uint64_t n)
{
    if (err)
        print_error(err);
    else
        printf("count %" PRIu64 "\n", n);
}

static int mode_of(const char *word)
{
    static const char *const modes[] = {"shared", "exclusive", "existing", "readonly"};
    int mode = 0;

    while (mode < 4 && strcmp(word, modes[mode]))
        mode++;
    return mode;
}

static void do_close(void)
{
    int err = shmkv_close(store);

    store = NULL;
    answer(err);
}

static void do_open(const char *name, const char *mode)
{
    struct shmkv_options options = {.size = sizeof options, .mode = mode_of(mode)};

    shmkv_close(store);
    store = NULL;
    answer(shmkv_open(name, &options, &store));
}

static void do_get(struct bytes key)
{
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

static void do_exists(struct bytes key)
{
    int err = shmkv_exists(store, key.data, key.size);

    if (err && err != SHMKV_ENOTFOUND)
        print_error(err);
    else
        puts(err ? "no" : "yes");
}

static void do_all(void)
{
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

static void do_walk(void)
{
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

static void do_verify(void)
{
    uint64_t problems = 0;
    int err = shmkv_verify(store, NULL, NULL, &problems);

    answer_count(err == SHMKV_ECORRUPT && problems ? SHMKV_OK : err, problems);
}

/* Numbered entry i. */
static void number(uint64_t i, char key[17], char value[33])
{
    snprintf(key, 17, "%016" PRIu64, i % UINT64_C(10000000000000000));
    memcpy(value, key, 16);
    memcpy(value + 16, key, 17);
}

static int is_there(uint64_t i)
{
    char key[17], value[33], found[33];
    size_t size;

    number(i, key, value);
    return !shmkv_get(store, key, 16, found, sizeof found, &size) && size == 32 && !memcmp(found, value, 32);
}

static void do_load(uint64_t first, uint64_t count)
{
    char key[17], value[33];
    int err = SHMKV_OK;
    uint64_t i;

    for (i = first; i < first + count && !err; i++) {
        number(i, key, value);
        err = shmkv_put(store, key, 16, value, 32);
    }
    answer(err);
}

static void do_check(uint64_t first, uint64_t count)
{
    uint64_t i, good = 0;

    for (i = first; i < first + count; i++)
        good += (uint64_t)is_there(i);
    answer_count(SHMKV_OK, good);
}

static void do_watch(uint64_t first, uint64_t count, struct bytes stop)
{
    uint64_t i, missed = 0;

    do {
        for (i = first; i < first + count; i++)
            missed += !is_there(i);
    } while (shmkv_exists(store, stop.data, stop.size) == SHMKV_ENOTFOUND);
    printf("missed %" PRIu64 "\n", missed);
}

static void run(char *command, char *words[3])
{
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
    else if (!strcmp(command, "check"))
        do_check(strtoull(words[0], NULL, 10), strtoull(words[1], NULL, 10));
    else if (!strcmp(command, "watch"))
        do_watch(strtoull(words[0], NULL, 10), strtoull(words[1], NULL, 10), unhex(words[2]));
    else if (!strcmp(command, "close"))
        do_close();
    else
        puts("error unknown command");
}

int main(void)
{
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
