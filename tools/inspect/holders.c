/*
 * locks, held and owners: who writes, who waits, who is stopped or dead.
 *
 * An owner slot is one writer: a process, or one of its threads. A lock names the
 * slot of its holder, and so does a named lock, so that the tables speak about the same
 * processes.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/inspect/annotate.h"
#include "tools/inspect/inspect.h"
#include "tools/inspect/output.h"
#include "tools/inspect/segment.h"

/* What a segment reports about its writers, at one moment. */
struct holders {
    struct shmkv_lock *locks;
    size_t lock_count;
    struct shmkv_owner *owners;
    size_t owner_count;
};

/* Two calls: how many, and then these. Some may have come meanwhile: not shown. */
static int read_locks(shmkv_t *kv, struct holders *holders) {
    size_t room = 0, count = 0;

    int err = shmkv_locks(kv, NULL, 0, &room);
    if (err)
        return err;
    holders->locks = calloc(room + 1, sizeof *holders->locks);
    if (!holders->locks)
        return ENOMEM;
    err = shmkv_locks(kv, holders->locks, room, &count);
    holders->lock_count = count < room ? count : room;
    return err;
}

static int read_owners(shmkv_t *kv, struct holders *holders) {
    size_t room = 0, count = 0;

    int err = shmkv_owners(kv, NULL, 0, &room);
    if (err)
        return err;
    holders->owners = calloc(room + 1, sizeof *holders->owners);
    if (!holders->owners)
        return ENOMEM;
    err = shmkv_owners(kv, holders->owners, room, &count);
    holders->owner_count = count < room ? count : room;
    return err;
}

static const struct shmkv_owner *find_owner(const struct holders *holders, int32_t slot) {
    for (size_t i = 0; slot >= 0 && i < holders->owner_count; i++)
        if (holders->owners[i].slot == (uint32_t)slot)
            return &holders->owners[i];
    return NULL;
}

static const char *owner_state(const struct shmkv_owner *owner) {
    if (owner->liveness == SHMKV_DEAD)
        return "dead";
    return owner->stopped ? "stopped" : "alive";
}

static const char *lock_kind(int kind) {
    switch (kind) {
    case SHMKV_LOCK_SHARD:
        return "shard";
    case SHMKV_LOCK_ARENA:
        return "arena";
    case SHMKV_LOCK_SPACE:
        return "space";
    default:
        return "unknown";
    }
}

/* --------------------------------------------------------------------------- locks */

/* The holder of a lock, as far as its slot still tells. */
static void print_holder(struct report *report, const struct shmkv_owner *owner) {
    if (owner) {
        field_text(report, "holder", owner_state(owner));
        field_number(report, "pid", owner->pid);
        field_text(report, "program", owner->name);
        return;
    }
    field_absent(report, "holder");
    field_absent(report, "pid");
    field_absent(report, "program");
}

static void print_lock(struct report *report, const struct holders *holders,
                       const struct shmkv_lock *lock) {
    row_begin(report);
    field_text(report, "lock", lock_kind(lock->kind));
    field_number(report, "index", lock->index);
    if (lock->owner >= 0)
        field_number(report, "slot", (uint64_t)lock->owner);
    else
        field_absent(report, "slot");
    print_holder(report, find_owner(holders, lock->owner));
    field_bool(report, "waiters", lock->waiters != 0);
    if (lock->intent)
        field_text(report, "operation", operation_name(lock->intent));
    else
        field_absent(report, "operation");
    field_word(report, "word", lock->word);
    field_word(report, "intent", lock->intent);
    row_end(report);
}

static int locks_print(shmkv_t *kv, const struct args *args, struct holders *holders) {
    struct report report;

    int err = read_locks(kv, holders);
    if (!err)
        err = read_owners(kv, holders);
    if (err)
        return err;
    report_open(&report, args->json ? REPORT_JSON : REPORT_TABLE, false,
                "lock\tindex\tslot\tholder\tpid\tprogram\twaiters\toperation\tword\tintent");
    for (size_t i = 0; i < holders->lock_count; i++) {
        const struct shmkv_lock *lock = &holders->locks[i];
        if (args->all || lock->word || lock->intent)
            print_lock(&report, holders, lock);
    }
    return SHMKV_OK;
}

/* ---------------------------------------------------------------------------- held */

struct telling {
    const struct holders *holders;
    struct report report;
};

static void print_held(void *arg, const struct shmkv_held *lock) {
    struct telling *t = arg;
    struct report *report = &t->report;

    row_begin(report);
    field_bytes(report, "name", lock->name, lock->name_len);
    if (lock->owner >= 0)
        field_number(report, "slot", (uint64_t)lock->owner);
    else
        field_absent(report, "slot");
    print_holder(report, find_owner(t->holders, lock->owner));
    field_number(report, "thread", lock->thread);
    field_number(report, "token", lock->token);
    row_end(report);
}

static int held_print(shmkv_t *kv, const struct args *args, struct holders *holders) {
    struct telling t = {.holders = holders};

    int err = read_owners(kv, holders);
    if (err)
        return err;
    report_open(&t.report, args->json ? REPORT_JSON : REPORT_TABLE, args->hex,
                "name\tslot\tholder\tpid\tprogram\tthread\ttoken");
    err = shmkv_held(kv, print_held, &t);
    if (err)
        fflush(stdout); /* what was found, and then why there is no more */
    return err;
}

/* -------------------------------------------------------------------------- owners */

static void print_owner(struct report *report, const struct shmkv_owner *owner) {
    row_begin(report);
    field_number(report, "slot", owner->slot);
    field_text(report, "state", owner_state(owner));
    field_number(report, "pid", owner->pid);
    field_number(report, "uid", owner->uid);
    field_text(report, "program", owner->name);
    field_number(report, "locks", owner->locks_held);
    field_time(report, "attached", owner->attached_ns);
    field_number(report, "start_time", owner->start_time);
    field_number(report, "pid_ns", owner->pid_ns);
    field_number(report, "generation", owner->generation);
    row_end(report);
}

static int owners_print(shmkv_t *kv, const struct args *args, struct holders *holders) {
    struct report report;

    int err = read_owners(kv, holders);
    if (err)
        return err;
    report_open(&report, args->json ? REPORT_JSON : REPORT_TABLE, false,
                "slot\tstate\tpid\tuid\tprogram\tlocks\tattached\tstart_time\tpid_ns\tgeneration");
    for (size_t i = 0; i < holders->owner_count; i++)
        print_owner(&report, &holders->owners[i]);
    return SHMKV_OK;
}

/* ------------------------------------------------------------------------ commands */

static int with_holders(const struct args *args,
                        int (*print)(shmkv_t *, const struct args *, struct holders *)) {
    struct holders holders = {0};
    int status;

    shmkv_t *kv = open_or_complain(args->operands[0], &status);
    if (!kv)
        return status;
    int err = print(kv, args, &holders);
    if (err)
        status = explain(args->operands[0], err);
    free(holders.locks);
    free(holders.owners);
    shmkv_close(kv);
    return status;
}

static int locks_run(const struct args *args) { return with_holders(args, locks_print); }

static int held_run(const struct args *args) { return with_holders(args, held_print); }

static int owners_run(const struct args *args) { return with_holders(args, owners_print); }

const struct command command_locks = {
    .name = "locks",
    .operands = "SEGMENT",
    .least = 1,
    .most = 1,
    .options = "ja",
    .summary = "Show which locks are held, and by whom",
    .text =
        "Shows locks that are held or whose block has an unfinished operation; --all shows free\n"
        "ones too. A lock whose holder is dead is taken over by the next writer that needs it.\n",
    .run = locks_run,
};

const struct command command_held = {
    .name = "held",
    .operands = "SEGMENT",
    .least = 1,
    .most = 1,
    .options = "jx",
    .summary = "Show which named locks are held, and by whom",
    .text =
        "These are the locks that programs make names for. One whose holder is dead goes to the\n"
        "next who asks for it; one whose holder is stopped stays held. Since when is not known.\n"
        "Thread and pid are those of the process's own namespace; the token is what its holder\n"
        "lets the lock go with.\n",
    .run = held_run,
};

const struct command command_owners = {
    .name = "owners",
    .operands = "SEGMENT",
    .least = 1,
    .most = 1,
    .options = "j",
    .summary = "Show the processes that write to a segment",
    .text =
        "State is alive, stopped (SIGSTOP, or a debugger), or dead (its slot awaits a clean-up by\n"
        "the next writer). A process has a slot for each thread that writes at the same time, and\n"
        "none as long as it only reads. The pid is that of the process's own namespace.\n",
    .run = owners_run,
};
