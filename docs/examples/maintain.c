/* A segment as a whole: facts, a check, on disk, and read-only for ever. */
#include <stdio.h>
#include <stdlib.h>

#include <shmkv/shmkv.h>

static void ok(int err) {
    if (err) {
        fprintf(stderr, "%s\n", shmkv_error_detail());
        exit(1);
    }
}

static void complain(void *arg, uint64_t offset, const char *text) {
    (void)arg;
    printf("%llu: %s\n", (unsigned long long)offset, text);
}

int main(int argc, char **argv) {
    /* A path instead of a name makes it a regular file. */
    const char *segment = argc > 1 ? argv[1] : "./example.shmkv";
    shmkv_t *kv;
    ok(shmkv_open(segment, NULL, &kv));
    for (int i = 0; i < 1000; i++)
        ok(shmkv_put_i64(kv, &i, sizeof i, i));

    struct shmkv_info info = {.size = sizeof info};
    struct shmkv_stats stats = {.size = sizeof stats};
    ok(shmkv_info(kv, &info));
    ok(shmkv_stats(kv, &stats));
    printf("format %u, %llu entries, %u writer\n", info.revision, (unsigned long long)stats.entries,
           stats.owners_live);

    uint64_t problems;
    ok(shmkv_verify(kv, complain, NULL, &problems)); /* every invariant of the format */
    printf("%llu problems\n", (unsigned long long)problems);

    /* Against power failures; killed processes lose nothing without it. */
    ok(shmkv_sync(kv));

    /* A table that is complete: nobody changes it any more. */
    ok(shmkv_freeze(kv));
    printf("put: %s\n", shmkv_error_name(shmkv_put(kv, "k", 1, "v", 1)));

    ok(shmkv_close(kv));
    ok(shmkv_unlink(segment));
    return 0;
}

/* It prints:
 *
 * format 1, 1000 entries, 1 writer
 * 0 problems
 * put: SHMKV_EFROZEN
 */
