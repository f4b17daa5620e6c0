/*
 * Opening segments and judging results.
 *
 * Reading never creates, never locks and never writes, whoever owns the segment:
 * SHMKV_ANY_OWNER is for this tool, whose output is escaped and whose user asked
 * for this very segment. Writing commands (change.c, transfer.c) open it as programs do.
 */
#include "tools/inspect/segment.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/inspect/output.h"

int status_of(int err) {
    switch (err) {
    case SHMKV_OK:
        return STATUS_OK;
    case SHMKV_ENOTFOUND:
    case SHMKV_ENOSEGMENT:
        return STATUS_NO;
    case SHMKV_ENAME:
    case SHMKV_EKEY:
    case SHMKV_EVALUE:
    case SHMKV_EARGUMENT:
        return STATUS_USAGE;
    case SHMKV_EFOREIGN:
    case SHMKV_EFORMAT:
    case SHMKV_ECORRUPT:
    case SHMKV_EDUMP:
        return STATUS_DAMAGED;
    case SHMKV_ETIMEDOUT:
    case SHMKV_EBUSY:
    case SHMKV_ENOSLOTS:
    case SHMKV_ESTALE:
        return STATUS_RETRY;
    default:
        return STATUS_SYSTEM;
    }
}

/* A plain name means shared memory. Somebody who meant a file of that name in the
 * current directory is told how to say so. */
static bool is_local_file(const char *segment) {
    struct stat st;

    return !strchr(segment, '/') && lstat(segment, &st) == 0 && S_ISREG(st.st_mode);
}

int explain(const char *segment, int err) {
    const char *detail = shmkv_error_detail();

    if (err == SHMKV_ENOSEGMENT && is_local_file(segment))
        complain("no segment '%s' in shared memory; for the file here, write './%s'", segment,
                 segment);
    else if (err != SHMKV_ENOTFOUND && *detail)
        complain("%s", detail);
    else
        complain("'%s': %s", segment, shmkv_strerror(err));
    return status_of(err);
}

int open_reader(const char *segment, shmkv_t **out) {
    struct shmkv_options options = {
        .size = sizeof options,
        .mode = SHMKV_READONLY,
        .flags = SHMKV_ANY_OWNER,
    };

    return shmkv_open(segment, &options, out);
}

shmkv_t *open_or_complain(const char *segment, int *status) {
    shmkv_t *kv = NULL;

    int err = open_reader(segment, &kv);
    *status = err ? explain(segment, err) : STATUS_OK;
    return kv;
}

shmkv_t *open_writer(const struct args *args, int *status) {
    struct shmkv_options options = {
        .size = sizeof options,
        .mode = args->create ? SHMKV_SHARED : SHMKV_EXISTING,
        .flags = args->any_owner ? SHMKV_ANY_OWNER : 0,
        /* 0 would be the library's default, and whoever says 0 does not want to wait. */
        .lock_timeout_ms = args->timeout_ms ? (uint32_t)args->timeout_ms : 1,
    };
    shmkv_t *kv = NULL;

    int err = shmkv_open(args->operands[0], &options, &kv);
    *status = err ? explain(args->operands[0], err) : STATUS_OK;
    return kv;
}
