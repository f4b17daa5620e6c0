/* All entries: by a cursor, while others write; as they were at one moment, by a snapshot. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shmkv/shmkv.h>

static void ok(int err) {
    if (err) {
        fprintf(stderr, "%s\n", shmkv_error_detail());
        exit(1);
    }
}

int main(int argc, char **argv) {
    const char *segment = argc > 1 ? argv[1] : "example";
    shmkv_t *kv;
    ok(shmkv_open(segment, NULL, &kv));
    for (int i = 0; i < 100; i++) {
        char key[32];
        int len = snprintf(key, sizeof key, "%s:%d", i < 10 ? "host" : "user", i);
        ok(shmkv_put_i64(kv, key, (size_t)len, i));
    }

    /* Without a lock. An entry that is there throughout is met exactly once. */
    shmkv_cursor_t *cursor;
    const void *key;
    size_t key_len;
    struct shmkv_item item;
    int err, hosts = 0;
    ok(shmkv_cursor_open(kv, 0, &cursor));
    ok(shmkv_cursor_prefix(cursor, "host:", 5));
    while ((err = shmkv_cursor_next_item(cursor, &key, &key_len, &item)) == SHMKV_OK)
        hosts += item.type == SHMKV_INT64 && item.len == 8;
    if (err != SHMKV_ENOTFOUND) /* the end */
        ok(err);
    shmkv_cursor_close(cursor);
    printf("%d hosts\n", hosts);

    /* A walk in pieces: each goes on where the one before stood, in whatever process. */
    struct shmkv_position position;
    int entries = 0, pieces = 0;
    for (err = SHMKV_OK; err == SHMKV_OK; pieces++) {
        ok(shmkv_cursor_open(kv, SHMKV_KEYS_ONLY, &cursor));
        if (pieces > 0)
            ok(shmkv_cursor_seek(cursor, &position));
        for (int i = 0; i < 30; i++) {
            err = shmkv_cursor_next(cursor, &key, &key_len, NULL, NULL);
            if (err)
                break;
            entries++;
        }
        ok(shmkv_cursor_position(cursor, &position));
        shmkv_cursor_close(cursor);
    }
    printf("%d entries in %d pieces\n", entries, pieces);

    /* A copy of one moment, which what is stored later does not change. */
    shmkv_snapshot_t *snapshot;
    long long sum = 0;
    ok(shmkv_snapshot(kv, &snapshot));
    ok(shmkv_clear(kv, NULL));
    while (shmkv_snapshot_next_item(snapshot, &key, &key_len, &item) == SHMKV_OK) {
        int64_t number;
        memcpy(&number, item.data, sizeof number);
        sum += number;
    }
    printf("%llu entries in the snapshot, their sum %lld\n",
           (unsigned long long)shmkv_snapshot_count(snapshot), sum);
    shmkv_snapshot_free(snapshot);

    ok(shmkv_close(kv));
    ok(shmkv_unlink(segment));
    return 0;
}

/* It prints:
 *
 * 10 hosts
 * 100 entries in 4 pieces
 * 100 entries in the snapshot, their sum 4950
 */
