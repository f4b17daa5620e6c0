/* Many keys in one call, which waits for memory once for all of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shmkv/shmkv.h>

enum { KEYS = 1000, KEY_SIZE = 16 };

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

    static char names[KEYS][KEY_SIZE];
    static struct shmkv_bytes keys[KEYS];
    static struct shmkv_item items[KEYS];
    static int64_t numbers[KEYS];
    for (int i = 0; i < KEYS; i++) {
        int len = snprintf(names[i], sizeof names[i], "key %d", i);
        numbers[i] = i;
        keys[i] = (struct shmkv_bytes){names[i], (size_t)len};
        items[i] = (struct shmkv_item){.type = SHMKV_INT64, .data = &numbers[i], .len = 8};
    }

    /* Each is a put of its own; whatever fails, so many are done, from the first on. */
    size_t done, removed;
    ok(shmkv_put_many(kv, KEYS, keys, items, &done));
    ok(shmkv_delete_many(kv, 100, keys, NULL, NULL, &removed));
    printf("%zu stored, %zu of them removed\n", done, removed);

    /* The values go into the buffer one behind the other. When it is full, go on with the next
     * key; here it is small on purpose. */
    char buf[1024];
    size_t from = 0, calls = 0, present = 0;
    int64_t sum = 0;
    while (from < KEYS) {
        int err = shmkv_get_many(kv, KEYS - from, keys + from, items, buf, sizeof buf, &done);
        if (err && (err != SHMKV_ETOOSMALL || done == 0))
            ok(err);
        for (size_t i = 0; i < done; i++) {
            int64_t number;
            if (items[i].result == SHMKV_ENOTFOUND)
                continue;
            memcpy(&number, items[i].data, sizeof number); /* it is not aligned */
            sum += number;
            present++;
        }
        from += done;
        calls++;
    }
    printf("%zu of %d keys in %zu calls, their sum %lld\n", present, KEYS, calls, (long long)sum);

    ok(shmkv_close(kv));
    ok(shmkv_unlink(segment));
    return 0;
}

/* It prints:
 *
 * 1000 stored, 100 of them removed
 * 900 of 1000 keys in 8 calls, their sum 494550
 */
