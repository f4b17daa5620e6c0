/* Entries that end by themselves: at a moment, or with the process that stored them. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmkv/shmkv.h>

static void ok(int err) {
    if (err) {
        fprintf(stderr, "%s\n", shmkv_error_detail());
        exit(1);
    }
}

static uint64_t in_milliseconds(uint64_t ms) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + ms * 1000000u;
}

static const char *there(shmkv_t *kv, const char *key) {
    return shmkv_exists(kv, key, 7) == SHMKV_OK ? "there" : "gone";
}

int main(int argc, char **argv) {
    const char *segment = argc > 1 ? argv[1] : "example";
    shmkv_t *kv;
    ok(shmkv_open(segment, NULL, &kv));

    struct shmkv_item item = {.data = "v", .len = 1, .expires_ns = in_milliseconds(100)};
    uint64_t version;
    ok(shmkv_add(kv, "session", 7, &item, &version));
    printf("session is %s\n", there(kv, "session"));
    ok(shmkv_wait(kv, "session", 7, version, -1)); /* until it changes, or ends */
    printf("session is %s\n", there(kv, "session"));

    /* It can be given another end; 0 is never. */
    item.expires_ns = in_milliseconds(60000);
    ok(shmkv_put_item(kv, "account", 7, &item));
    ok(shmkv_touch(kv, "account", 7, 0));

    /* A bound entry tells who lives: it goes with its process, however that ends. */
    if (fork() == 0) {
        item = (struct shmkv_item){.data = "v", .len = 1, .flags = SHMKV_BOUND};
        ok(shmkv_put_item(kv, "worker1", 7, &item));
        _exit(0);
    }
    wait(NULL);
    printf("worker1 is %s, account is %s\n", there(kv, "worker1"), there(kv, "account"));

    uint64_t removed; /* what is gone takes room until somebody needs that, or asks for it */
    ok(shmkv_sweep(kv, 0, &removed));
    printf("swept %llu\n", (unsigned long long)removed);

    /* Or everything that is stored without an end of its own gets one. */
    ok(shmkv_close(kv));
    struct shmkv_options options = {.size = sizeof options,
                                    .mode = SHMKV_EXCLUSIVE,
                                    .default_ttl_ns = 3600 * UINT64_C(1000000000)};
    struct shmkv_item found;
    char buf[8];
    ok(shmkv_open(segment, &options, &kv));
    ok(shmkv_put(kv, "session", 7, "v", 1));
    ok(shmkv_get_item(kv, "session", 7, buf, sizeof buf, &found));
    printf("a cache of an hour: %s\n",
           found.expires_ns > in_milliseconds(0) ? "it ends" : "for ever");

    ok(shmkv_close(kv));
    ok(shmkv_unlink(segment));
    return 0;
}

/* It prints:
 *
 * session is there
 * session is gone
 * worker1 is gone, account is there
 * swept 2
 * a cache of an hour: it ends
 */
