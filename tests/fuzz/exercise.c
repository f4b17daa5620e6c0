/* Everything the library has, done to a segment that may be anything. See images.h. */
#include "tests/fuzz/images.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static _Noreturn void give_up(const char *what) {
    fprintf(stderr, "exercise: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ------------------------------------------------------------------------- the segment */

void exercise_begin(struct exercise *e, const char *path) {
    unlink(path);
    e->path = path;
    e->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    e->file = plain_mmap(WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, e->fd);
    if (e->fd < 0 || e->file == MAP_FAILED)
        give_up(path);
}

void exercise_end(struct exercise *e) {
    close(e->fd);
    plain_munmap(e->file, WINDOW);
    unlink(e->path);
}

void exercise_lay(struct exercise *e, uint64_t size) {
    struct stat st, named;
    if (fstat(e->fd, &st) != 0 || lstat(e->path, &named) != 0 || st.st_ino != named.st_ino) {
        exercise_end(e);
        exercise_begin(e, e->path);
        st.st_size = 0;
    }
    if ((uint64_t)st.st_size != size && ftruncate(e->fd, (off_t)size) != 0)
        give_up("ftruncate");
}

/* ------------------------------------------------------------------- all that one can do */

static uint8_t buffer[256 << 10];

static void nobody_listens(void *arg, uint64_t off, const char *text) {
    (void)off;
    *(size_t *)arg += strlen(text);
}

static void look(struct exercise *e, shmkv_t *kv, const struct keys *keys) {
    const void *key, *val;
    size_t key_len, val_len, sum = 0, n;
    for (unsigned i = 0; i < keys->count; i++)
        e->read_ok += shmkv_get(kv, keys->key[i].bytes, keys->key[i].len, buffer, sizeof buffer,
                                &n) == SHMKV_OK;
    struct shmkv_bytes asked[16];
    struct shmkv_item items[16];
    for (unsigned i = 0; i < 16 && keys->count; i++)
        asked[i] =
            (struct shmkv_bytes){keys->key[i % keys->count].bytes, keys->key[i % keys->count].len};
    shmkv_get_many(kv, keys->count ? 16 : 0, asked, items, buffer, sizeof buffer, &n);
    for (size_t i = 0; i < n; i++)
        e->read_ok += items[i].result == SHMKV_OK;
    for (char name[3] = "a0"; name[1] < '8'; name[1]++)
        shmkv_exists(kv, name, 2);
    shmkv_cursor_t *c;
    if (shmkv_cursor_open(kv, 0, &c) == SHMKV_OK) {
        for (int i = 0;
             i < 2000 && shmkv_cursor_next(c, &key, &key_len, &val, &val_len) == SHMKV_OK; i++)
            sum += *(const uint8_t *)key + (val_len ? ((const uint8_t *)val)[val_len - 1] : 0);
        shmkv_cursor_close(c);
    }
    struct shmkv_position at;
    if (shmkv_cursor_open(kv, 0, &c) == SHMKV_OK) {
        /* From behind each of the first keys once more, without those of one letter. */
        for (int i = 0; i < 20; i++) {
            shmkv_cursor_next(c, &key, &key_len, &val, &val_len);
            if (shmkv_cursor_position(c, &at) == SHMKV_OK)
                shmkv_cursor_seek(c, &at);
            shmkv_cursor_prefix(c, "k", (size_t)i % 2);
        }
        shmkv_cursor_close(c);
    }
    shmkv_snapshot_t *s;
    if (shmkv_snapshot(kv, &s) == SHMKV_OK) {
        while (shmkv_snapshot_next(s, &key, &key_len, &val, &val_len) == SHMKV_OK)
            sum += key_len;
        shmkv_snapshot_free(s);
    }
    uint64_t count;
    shmkv_count(kv, &count);
    *(volatile size_t *)&sum = sum;
}

/* What it says of itself. Half the cases ask before the changes, half after. */
static void report(struct exercise *e, shmkv_t *kv) {
    size_t n, text = 0;
    uint64_t problems;
    struct shmkv_info info = {.size = sizeof info};
    struct shmkv_stats stats = {.size = sizeof stats};
    shmkv_info(kv, &info);
    shmkv_stats(kv, &stats);
    static struct shmkv_lock locks[64];
    static struct shmkv_owner owners[8];
    shmkv_locks(kv, locks, 64, &n);
    shmkv_owners(kv, owners, 8, &n);
    e->clean += shmkv_verify(kv, nobody_listens, &text, &problems) == SHMKV_OK;
}

static int change_some(void *arg, shmkv_txn_t *txn) {
    struct shmkv_item item;
    for (size_t i = 0, n = *(size_t *)arg; i < n; i++) {
        if (i % 3 == 2) {
            shmkv_txn_delete(txn, i);
            continue;
        }
        item = (struct shmkv_item){.data = buffer, .len = 30 * i};
        int err = i % 3 ? shmkv_txn_put(txn, i, &item) : shmkv_txn_get(txn, i, &item);
        if (err && err != SHMKV_ENOTFOUND)
            return err;
    }
    return SHMKV_OK;
}

static void transact(shmkv_t *kv, const struct keys *keys) {
    struct shmkv_bytes some[12] = {{"new-1", 5}, {"new-2", 5}, {"new-5", 5}, {"x", 1}};
    size_t n = 4;
    for (unsigned i = 0; i < keys->count && n < 12; i += 1 + keys->count / 8)
        some[n++] = (struct shmkv_bytes){keys->key[i].bytes, keys->key[i].len};
    shmkv_transaction(kv, n, some, change_some, &n);
}

/* Half of them are put together, and some removed again. */
static void change_many(shmkv_t *kv, const struct keys *keys) {
    struct shmkv_bytes some[32];
    struct shmkv_item items[32];
    size_t n = 0, removed;
    for (unsigned i = 0; i < keys->count && n < 32; i += 2, n++) {
        some[n] = (struct shmkv_bytes){keys->key[i].bytes, keys->key[i].len};
        items[n] = (struct shmkv_item){.data = buffer, .len = 50 * i % 900};
    }
    shmkv_put_many(kv, n, some, items, NULL);
    shmkv_delete_many(kv, n / 3, some, NULL, NULL, &removed);
}

static void change(struct exercise *e, shmkv_t *kv, const struct keys *keys) {
    static const size_t sizes[] = {0, 8, 40, 200, 900, 3000, 16000, 20000};
    int ok = 0;
    for (unsigned i = 0; i < keys->count; i++)
        if (i % 3 == 2)
            shmkv_delete(kv, keys->key[i].bytes, keys->key[i].len);
        else
            ok += shmkv_put(kv, keys->key[i].bytes, keys->key[i].len, buffer, sizes[i % 8]) ==
                  SHMKV_OK;
    char key[16];
    for (unsigned i = 0; i < 24; i++) {
        int len = snprintf(key, sizeof key, "new-%u", i);
        ok += shmkv_put(kv, key, (size_t)len, buffer, sizes[i % 8]) == SHMKV_OK;
        if (i % 4 == 3)
            shmkv_delete(kv, key, (size_t)len);
    }
    change_many(kv, keys);
    transact(kv, keys);
    e->wrote += ok > 0;
}

/* What nobody but its creator, or a slot's owner, writes to. Spec 7.1, [CRASH-04]. */
static void check_untouched(const uint8_t *file, const uint8_t *before, uint64_t size) {
    const header_t *h = (const header_t *)(const void *)before;
    if (memcmp(before, file, offsetof(header_t, state)) != 0) {
        fprintf(stderr, "the sealed header was changed\n");
        abort();
    }
    for (uint32_t i = 0; i < 8 && i < h->owner_count; i++) {
        uint64_t off = h->owners_offset + i * sizeof(owner_t);
        if (off + sizeof(owner_t) > size)
            return;
        const owner_t *now = (const owner_t *)(const void *)(file + off);
        /* Introduced: all of it is ours. */
        if (now->pid == (uint32_t)getpid())
            continue;
        if (memcmp(before + off + 8, file + off + 8, offsetof(owner_t, version) - 8) != 0) {
            fprintf(stderr, "the facts of owner slot %u were changed\n", i);
            abort();
        }
    }
}

void exercise_run(struct exercise *e, const struct keys *keys, const struct conduct *c) {
    static uint8_t before[128 << 10];
    struct shmkv_options o = {
        .size = sizeof o, .mode = SHMKV_READONLY, .reserve = 4u << 20, .lock_timeout_ms = 1};
    shmkv_t *kv;
    struct stat st;
    if (shmkv_open(e->path, &o, &kv) == SHMKV_OK) {
        e->opened++;
        look(e, kv, keys);
        if (!c->late)
            report(e, kv);
        shmkv_close(kv);
    }
    if (fstat(e->fd, &st) != 0)
        give_up(e->path);
    uint64_t size = (uint64_t)st.st_size < sizeof before ? (uint64_t)st.st_size : sizeof before;
    memcpy(before, e->file, size);
    o.mode = c->replace ? SHMKV_EXCLUSIVE : SHMKV_EXISTING;
    if (shmkv_open(e->path, &o, &kv) != SHMKV_OK)
        return;
    change(e, kv, keys);
    look(e, kv, keys);
    if (c->late)
        report(e, kv);
    shmkv_close(kv);
    if (!c->replace)
        check_untouched(e->file, before, size);
}
