/* Locks by name, which nobody keeps by dying; and a value that is computed once for all. */
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

static void show(void *arg, const struct shmkv_held *lock) {
    (void)arg;
    printf("held: %.*s\n", (int)lock->name_len, (const char *)lock->name);
}

/* Takes long, supposedly. No lock of the store is held meanwhile. */
static int render(void *arg, struct shmkv_item *page) {
    shmkv_t *kv = arg;
    page->type = SHMKV_TEXT;
    page->data = "<html>";
    page->len = 6;
    return shmkv_incr_i64(kv, "rendered", 8, 1, 0, NULL);
}

int main(int argc, char **argv) {
    const char *segment = argc > 1 ? argv[1] : "example";
    shmkv_t *kv;
    uint64_t token;
    ok(shmkv_open(segment, NULL, &kv));

    ok(shmkv_lock(kv, "nightly job", 11, -1, &token));
    ok(shmkv_held(kv, show, NULL));
    fflush(stdout); /* or the child prints it again */
    if (fork() == 0) {
        int err = shmkv_lock(kv, "nightly job", 11, 0, &token); /* only try */
        printf("another process: %s\n", shmkv_error_name(err));
        fflush(stdout);
        ok(shmkv_lock(kv, "other job", 9, 0, &token));
        _exit(0); /* without a word to anybody */
    }
    wait(NULL);
    ok(shmkv_unlock(kv, "nightly job", 11, token));
    ok(shmkv_lock(kv, "other job", 9, 1000, &token));
    printf("the lock of the dead is ours\n");
    ok(shmkv_unlock(kv, "other job", 9, token));

    /* Of all who ask at once one renders, the others wait for the page. */
    for (int i = 0; i < 5; i++) {
        if (fork() == 0) {
            char buf[64];
            struct shmkv_item page;
            ok(shmkv_get_or_compute(kv, "page", 4, render, kv, 10000, buf, sizeof buf, &page));
            _exit(page.len == 6 ? 0 : 1);
        }
    }
    int status, good = 0;
    while (wait(&status) > 0)
        good += status == 0;
    int64_t rendered;
    ok(shmkv_get_i64(kv, "rendered", 8, &rendered));
    printf("%d have the page, which was rendered %lld time\n", good, (long long)rendered);

    ok(shmkv_close(kv));
    ok(shmkv_unlink(segment));
    return 0;
}

/* It prints:
 *
 * held: nightly job
 * another process: SHMKV_ETIMEDOUT
 * the lock of the dead is ours
 * 5 have the page, which was rendered 1 time
 */
