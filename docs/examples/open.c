/* Open a segment, store and read values of any bytes, tell errors apart, remove the segment. */
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

    /* Create or attach. NULL instead of the options does the same with defaults. */
    struct shmkv_options options = {.size = sizeof options, .permissions = 0640};
    shmkv_t *kv;
    ok(shmkv_open(segment, &options, &kv));

    ok(shmkv_put(kv, "user:7", 6, "Ada", 3));
    ok(shmkv_put(kv, "user:7", 6, "Grace", 5)); /* in its place */
    ok(shmkv_put(kv, "user:8", 6, "a\0b", 3));  /* any bytes */

    char value[64];
    size_t len;
    ok(shmkv_get(kv, "user:7", 6, value, sizeof value, &len));
    printf("user:7 is %.*s\n", (int)len, value);

    /* Of a value that does not fit, the size. */
    int err = shmkv_get(kv, "user:8", 6, value, 2, &len);
    printf("user:8: %s, %zu bytes\n", shmkv_error_name(err), len);

    /* An absent key is an answer, and not a failure. */
    err = shmkv_get(kv, "user:9", 6, value, sizeof value, &len);
    printf("user:9: %s\n", err == SHMKV_ENOTFOUND ? "absent" : shmkv_strerror(err));

    uint64_t count;
    ok(shmkv_delete(kv, "user:8", 6));
    ok(shmkv_count(kv, &count));
    printf("%llu entry, user:8 is %s\n", (unsigned long long)count,
           shmkv_exists(kv, "user:8", 6) ? "gone" : "there");
    ok(shmkv_close(kv)); /* the segment stays */

    /* Whoever opens it next finds it as it was. */
    options = (struct shmkv_options){.size = sizeof options, .mode = SHMKV_READONLY};
    ok(shmkv_open(segment, &options, &kv));
    err = shmkv_put(kv, "user:7", 6, "Eve", 3);
    printf("on a read-only handle: %s\n", shmkv_strerror(err));
    ok(shmkv_close(kv));

    ok(shmkv_unlink(segment)); /* now it goes */
    err = shmkv_open(segment, &options, &kv);
    printf("without a segment: %s\n", shmkv_error_name(err));
    return 0;
}

/* It prints:
 *
 * user:7 is Grace
 * user:8: SHMKV_ETOOSMALL, 3 bytes
 * user:9: absent
 * 1 entry, user:8 is gone
 * on a read-only handle: the handle is read-only
 * without a segment: SHMKV_ENOSEGMENT
 */
