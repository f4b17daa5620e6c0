/*
 * A writer for the inspector's tests to look at. Built with the crash points of the core.
 *
 *   holder SEGMENT wait          put, say "ready", stay attached until standard input ends
 *   holder SEGMENT types         put values of all types and ends, and do as wait does
 *   holder SEGMENT cache         put 300 keys into a new cache of 100 entries, and do as wait does
 *   holder SEGMENT lock NAME     hold the named lock NAME, and do as wait does
 *   holder SEGMENT stop POINT    put twice; put again, and stop (SIGSTOP) at the crash point
 *   holder SEGMENT die POINT     put twice; put again, and die (SIGKILL) at the crash point
 *
 * All puts but those of types and cache are to the key "held": "old", "old", then "new". The third
 * builds its record in the place that the second has left, and so takes one lock only, of a shard.
 * HOLDER_NAME, if set, is what the process calls itself.
 */
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include <shmkv/shmkv.h>

#include "core/src/fault.h"

static const char *armed_point;
static int armed_signal;

void shmkv_fault_point(const char *name) {
    if (armed_point && strcmp(name, armed_point) == 0) {
        armed_point = NULL;
        raise(armed_signal);
    }
}

static void put(shmkv_t *kv, const char *value) {
    if (shmkv_put(kv, "held", 4, value, strlen(value)) != SHMKV_OK) {
        fprintf(stderr, "holder: %s\n", shmkv_error_detail());
        exit(1);
    }
}

static void lock(shmkv_t *kv, const char *name) {
    uint64_t token;

    if (shmkv_lock(kv, name, strlen(name), -1, &token) != SHMKV_OK) {
        fprintf(stderr, "holder: %s\n", shmkv_error_detail());
        exit(1);
    }
}

static void put_types(shmkv_t *kv) {
    static const unsigned char one = 1;
    const struct shmkv_item coded = {.type = SHMKV_CODED, .data = "\377", .len = 1};
    const struct shmkv_item expiring = {
        .data = "v", .len = 1, .expires_ns = UINT64_C(4102444800000000000)};
    const struct shmkv_item bound = {
        .type = SHMKV_BOOLEAN, .data = &one, .len = 1, .flags = SHMKV_BOUND};

    if (shmkv_put_i64(kv, "int64", 5, INT64_MIN) || shmkv_put_f64(kv, "float64", 7, 0.1) ||
        shmkv_put_f64(kv, "whole", 5, 3) || shmkv_put_f64(kv, "infinite", 8, -HUGE_VAL) ||
        shmkv_put_bool(kv, "boolean", 7, 0) || shmkv_put_null(kv, "null", 4) ||
        shmkv_put_text(kv, "text", 4, "5", 1) || shmkv_put_json(kv, "json", 4, "[1,\n2]", 6) ||
        shmkv_put_item(kv, "coded", 5, &coded) || shmkv_put_item(kv, "expiring", 8, &expiring) ||
        shmkv_put_item(kv, "bound", 5, &bound)) {
        fprintf(stderr, "holder: %s\n", shmkv_error_detail());
        exit(1);
    }
}

static void fill_cache(shmkv_t *kv) {
    for (int i = 0; i < 300; i++)
        if (shmkv_put(kv, &i, sizeof i, &i, sizeof i) != SHMKV_OK) {
            fprintf(stderr, "holder: %s\n", shmkv_error_detail());
            exit(1);
        }
}

static void wait_for_end_of_input(void) {
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {
    }
}

int main(int argc, char **argv) {
    struct shmkv_options opts = {.size = sizeof opts};
    shmkv_t *kv;

    if (argc < 3)
        return 2;
    if (strcmp(argv[2], "cache") == 0)
        opts.max_entries = 100;
    if (getenv("HOLDER_NAME"))
        prctl(PR_SET_NAME, getenv("HOLDER_NAME"));
    if (shmkv_open(argv[1], &opts, &kv) != SHMKV_OK) {
        fprintf(stderr, "holder: %s\n", shmkv_error_detail());
        return 1;
    }
    put(kv, "old");
    put(kv, "old");
    if (strcmp(argv[2], "wait") == 0) {
        wait_for_end_of_input();
    } else if (strcmp(argv[2], "types") == 0) {
        put_types(kv);
        wait_for_end_of_input();
    } else if (strcmp(argv[2], "cache") == 0) {
        fill_cache(kv);
        wait_for_end_of_input();
    } else if (argc == 4 && strcmp(argv[2], "lock") == 0) {
        lock(kv, argv[3]);
        wait_for_end_of_input();
    } else if (argc == 4) {
        armed_point = argv[3];
        armed_signal = strcmp(argv[2], "stop") == 0 ? SIGSTOP : SIGKILL;
        put(kv, "new");
    }
    return shmkv_close(kv) == SHMKV_OK ? 0 : 1;
}
