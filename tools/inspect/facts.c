/*
 * info and stat: what a segment is, and how full it is.
 */
#include "tools/inspect/inspect.h"
#include "tools/inspect/output.h"
#include "tools/inspect/segment.h"

/* Names of the states in shmkv_info. */
static const char *state_name(uint32_t state) {
    switch (state) {
    case 1:
        return "live";
    case 2:
        return "being replaced";
    case 3:
        return "replaced";
    default:
        return "unknown";
    }
}

/* 0 is none. */
static void field_if_any(struct report *report, const char *name, uint64_t value) {
    if (value)
        field_number(report, name, value);
    else
        field_absent(report, name);
}

static void print_info(struct report *report, const char *segment, const struct shmkv_info *info) {
    row_begin(report);
    field_text(report, "name", segment);
    field_number(report, "revision", info->revision);
    field_text(report, "state", state_name(info->state));
    field_bool(report, "frozen", info->frozen);
    field_uuid(report, "uuid", info->uuid);
    field_number(report, "incarnation", info->incarnation);
    field_time(report, "created", info->created_ns);
    field_text(report, "creator_program", info->creator_name);
    field_number(report, "creator_pid", info->creator_pid);
    field_number(report, "creator_uid", info->creator_uid);
    field_number(report, "uid", info->uid);
    field_octal(report, "permissions", info->permissions);
    field_number(report, "file_size", info->file_size);
    field_number(report, "file_allocated", info->file_allocated);
    field_number(report, "max_key", info->max_key);
    field_number(report, "max_value", info->max_value);
    field_if_any(report, "max_size", info->max_size);
    field_bool(report, "evicts", info->evicts);
    field_if_any(report, "max_entries", info->max_entries);
    field_if_any(report, "max_bytes", info->max_bytes);
    field_if_any(report, "default_ttl_ns", info->default_ttl_ns);
    field_number(report, "shards", info->shard_count);
    field_number(report, "arenas", info->arena_count);
    field_number(report, "owner_slots", info->owner_count);
    field_word(report, "compat", info->compat);
    field_word(report, "ro_compat", info->ro_compat);
    field_word(report, "incompat", info->incompat);
    row_end(report);
}

static int info_run(const struct args *args) {
    struct shmkv_info info = {.size = sizeof info};
    struct report report;
    int status;

    shmkv_t *kv = open_or_complain(args->operands[0], &status);
    if (!kv)
        return status;
    int err = shmkv_info(kv, &info);
    if (err)
        status = explain(args->operands[0], err);
    else {
        report_open(&report, args->json ? REPORT_JSON : REPORT_FACTS, false, NULL);
        print_info(&report, args->operands[0], &info);
    }
    shmkv_close(kv);
    return status;
}

static void print_stats(struct report *report, const struct shmkv_stats *stats) {
    row_begin(report);
    field_number(report, "entries", stats->entries);
    field_number(report, "limit", stats->limit);
    field_number(report, "meta_bytes", stats->meta_bytes);
    field_number(report, "free_bytes", stats->free_bytes);
    field_number(report, "group_bytes", stats->group_bytes);
    field_number(report, "slab_bytes", stats->slab_bytes);
    field_number(report, "large_bytes", stats->large_bytes);
    field_number(report, "cells_used", stats->cells_used);
    field_number(report, "cells_free", stats->cells_free);
    field_number(report, "directory_words", stats->directory_words);
    field_number(report, "owners_live", stats->owners_live);
    field_number(report, "shards_used", stats->shards_used);
    field_number(report, "entry_bytes", stats->entry_bytes);
    field_number(report, "evictions", stats->evictions);
    row_end(report);
}

static int stat_run(const struct args *args) {
    struct shmkv_stats stats = {.size = sizeof stats};
    struct report report;
    int status;

    shmkv_t *kv = open_or_complain(args->operands[0], &status);
    if (!kv)
        return status;
    int err = shmkv_stats(kv, &stats);
    if (err)
        status = explain(args->operands[0], err);
    else {
        report_open(&report, args->json ? REPORT_JSON : REPORT_FACTS, false, NULL);
        print_stats(&report, &stats);
    }
    shmkv_close(kv);
    return status;
}

const struct command command_info = {
    .name = "info",
    .operands = "SEGMENT",
    .least = 1,
    .most = 1,
    .options = "j",
    .summary = "Tell what a segment is: identity, origin, limits",
    .text = "A line for each fact: its name, a tab, its value. Sizes are in bytes.\n",
    .run = info_run,
};

const struct command command_stat = {
    .name = "stat",
    .operands = "SEGMENT",
    .least = 1,
    .most = 1,
    .options = "j",
    .summary = "Tell how full a segment is",
    .text =
        "A line for each counter: its name, a tab, its value. The segment is counted while others\n"
        "may be writing, so the numbers may be some operations apart.\n",
    .run = stat_run,
};
