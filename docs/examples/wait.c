/* Sleep until somebody changes a key, or anything. */
#include <errno.h>
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

/* The number under "step", which is to be another than the one of *version. */
static int64_t next_step(shmkv_t *kv, uint64_t *version) {
    struct shmkv_item item;
    int64_t step;
    int err;
    do
        err = shmkv_wait(kv, "step", 4, *version, 10000);
    while (err == EINTR); /* a signal handler ran */
    ok(err);
    ok(shmkv_get_item(kv, "step", 4, &step, sizeof step, &item));
    *version = item.version;
    return step;
}

int main(int argc, char **argv) {
    const char *segment = argc > 1 ? argv[1] : "example";
    shmkv_t *kv;
    ok(shmkv_open(segment, NULL, &kv));

    uint64_t position = 0; /* from now on */
    int err = shmkv_watch(kv, &position, 0);
    printf("nothing yet: %s\n", shmkv_error_name(err));

    pid_t worker = fork();
    if (worker == 0) {
        for (int step = 1; step <= 5; step++)
            ok(shmkv_put_i64(kv, "step", 4, step));
        _exit(0);
    }

    /* Steps may be missed, when they come fast, but never the last one. No polling. */
    uint64_t version = 0; /* it is absent */
    while (next_step(kv, &version) < 5)
        continue;
    printf("the worker is done\n");
    waitpid(worker, NULL, 0);

    ok(shmkv_watch(kv, &position, 10000));
    printf("something has changed\n");
    err = shmkv_wait(kv, "step", 4, version, 10);
    printf("and now nothing: %s\n", shmkv_error_name(err));

    ok(shmkv_close(kv));
    ok(shmkv_unlink(segment));
    return 0;
}

/* It prints:
 *
 * nothing yet: SHMKV_ETIMEDOUT
 * the worker is done
 * something has changed
 * and now nothing: SHMKV_ETIMEDOUT
 */
