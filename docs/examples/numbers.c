/* Counters that lose nothing, whoever else counts. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

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

    /* A handle that was opened before a fork works in both processes. */
    for (int worker = 0; worker < 4; worker++) {
        if (fork() == 0) {
            for (int i = 0; i < 1000; i++) {
                ok(shmkv_incr_i64(kv, "hits", 4, 1, 0, NULL));
                ok(shmkv_max_i64(kv, "longest", 7, 1000 * worker + i, NULL));
            }
            _exit(0);
        }
    }
    int status;
    while (wait(&status) > 0)
        if (status)
            return 1;

    int64_t hits, longest;
    ok(shmkv_get_i64(kv, "hits", 4, &hits));
    ok(shmkv_get_i64(kv, "longest", 7, &longest));
    printf("%" PRId64 " hits, the longest %" PRId64 "\n", hits, longest);

    double load;
    ok(shmkv_incr_f64(kv, "load", 4, 0.25, 1.0, &load)); /* absent: begins at 1.0 */
    printf("load %.2f\n", load);

    /* Beyond 64 bits nothing changes; a number does not become one of another kind. */
    int err = shmkv_incr_i64(kv, "hits", 4, INT64_MAX, 0, &hits);
    printf("too far: %s\n", shmkv_error_name(err));
    err = shmkv_incr_i64(kv, "load", 4, 1, 0, &hits);
    printf("another kind: %s\n", shmkv_error_name(err));

    ok(shmkv_close(kv));
    ok(shmkv_unlink(segment));
    return 0;
}

/* It prints:
 *
 * 4000 hits, the longest 3999
 * load 1.25
 * too far: SHMKV_EOVERFLOW
 * another kind: SHMKV_ETYPE
 */
