/* A segment that never outgrows a bound: what has not been used for a while makes room. */
#include <stdio.h>
#include <stdlib.h>

#include <shmkv/shmkv.h>

static void ok(int err) {
    if (err) {
        fprintf(stderr, "%s\n", shmkv_error_detail());
        exit(1);
    }
}

int main(int argc, char **argv) {
    const char *segment = argc > 1 ? argv[1] : "example";
    /* Of a new segment only; who attaches later finds it so. */
    struct shmkv_options options = {.size = sizeof options, .max_entries = 100};
    shmkv_t *kv;
    ok(shmkv_open(segment, &options, &kv));

    ok(shmkv_put_text(kv, "popular", 7, "often asked for", 15));
    for (int page = 0; page < 1000; page++) {
        char key[16], value[32];
        size_t len;
        int key_len = snprintf(key, sizeof key, "page %d", page);
        ok(shmkv_put_i64(kv, key, (size_t)key_len, page));
        ok(shmkv_get(kv, "popular", 7, value, sizeof value, &len)); /* so it stays */
    }

    struct shmkv_stats stats = {.size = sizeof stats};
    ok(shmkv_stats(kv, &stats));
    printf("%llu entries, %llu evicted\n", (unsigned long long)stats.entries,
           (unsigned long long)stats.evictions);
    printf("popular is %s, page 0 is %s, page 999 is %s\n",
           shmkv_exists(kv, "popular", 7) ? "gone" : "there",
           shmkv_exists(kv, "page 0", 6) ? "gone" : "there",
           shmkv_exists(kv, "page 999", 8) ? "gone" : "there");

    ok(shmkv_close(kv));
    ok(shmkv_unlink(segment));
    return 0;
}

/* It prints:
 *
 * 100 entries, 901 evicted
 * popular is there, page 0 is gone, page 999 is there
 */
