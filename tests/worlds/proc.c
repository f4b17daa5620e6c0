/*
 * Processes that do not see the others in /proc share a segment with those that do: /proc is
 * empty, as where nobody mounted it, or has hidepid=2 and shows other users' processes to nobody.
 *
 * For each pair of kinds one process takes a lock and another wants it: while the holder
 * lives, the other is told so and times out; when it is killed, the other takes over. Then
 * each kind makes a segment, and replaces one: that works, or is refused with a message
 * that says why, and nothing has changed.
 *
 * Exit status: 0 all well, 1 a violation, 77 to must_fail.sh: the system allows no mount
 * namespaces.
 *
 * proves [LOCK-18] [LOCK-19] [LOCK-20]
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/must.h"
#include "tests/support/namespaces.h"
#include "tests/support/support.h"

#define SHORT_MS 60
#define NOBODY 65534

static const char *name;

/* ------------------------------------------------------------------------- kinds */

enum kind { USUAL, EMPTY, HIDDEN, KINDS };
static const char *const kind_names[] = {"the usual /proc", "an empty /proc", "hidepid"};

/* Before Linux 5.8 all mounts of /proc shared their options, so we would change the system's. */
static bool options_are_of_the_mount(void) {
    struct utsname u;
    unsigned major, minor;
    return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
           (major > 5 || (major == 5 && minor >= 8));
}

static bool possible(enum kind kind) {
    return kind != HIDDEN || (running_as_root() && options_are_of_the_mount());
}

static void become(enum kind kind) {
    if (kind == USUAL)
        return;
    if (!apart(CLONE_NEWNS) || !mounted_apart("/proc", kind == EMPTY ? "tmpfs" : "proc",
                                              kind == EMPTY ? NULL : "hidepid=2"))
        _exit(77);
    if (kind == HIDDEN) {
        MUST(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* lost by setresuid() */
    }
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)getppid());
    MUST(access(path, F_OK) != 0);
}

static int outcome(pid_t pid) {
    int status = child_wait(pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

/* ------------------------------------------------------------------------- a lock */

static struct meeting {
    struct gate held, tried;
    enum kind holder, wanter;
} * meet;

static shmkv_t *enter(struct context **ctx) {
    struct shmkv_options opts = {.size = sizeof opts,
                                 .mode = SHMKV_EXISTING,
                                 .flags = SHMKV_ANY_OWNER,
                                 .lock_timeout_ms = SHORT_MS};
    shmkv_t *kv;
    MUST(shmkv_open(name, &opts, &kv) == SHMKV_OK);
    MUST(context_acquire(segment_of(kv), ctx) == SHMKV_OK);
    return kv;
}

static void hold(void *arg) {
    (void)arg;
    struct context *ctx;
    become(meet->holder);
    shmkv_t *kv = enter(&ctx);
    struct domain d = domain_at(segment_of(kv), 0);
    MUST(lock_take(ctx, &d) == SHMKV_OK);
    gate_open(&meet->held);
    for (;;)
        pause();
}

static void want(void *arg) {
    (void)arg;
    struct context *ctx;
    become(meet->wanter);
    shmkv_t *kv = enter(&ctx);
    struct domain d = domain_at(segment_of(kv), 0);
    uint32_t slot = (uint32_t)FIELD(load_acquire_u32(d.lock), LOCK_OWNER) - 1;
    MUST(owner_liveness(segment_of(kv), slot) == SHMKV_ALIVE);
    MUST(lock_take(ctx, &d) == SHMKV_ETIMEDOUT);
    ctx->patience_ms = 20000;
    gate_open(&meet->tried);
    MUST(lock_take(ctx, &d) == SHMKV_OK);
    lock_release(ctx, &d);
    context_release(ctx);
    uint64_t problems = 1;
    MUST(shmkv_put(kv, "after", 5, "v", 1) == SHMKV_OK);
    MUST(shmkv_verify(kv, NULL, NULL, &problems) == SHMKV_OK && problems == 0);
    MUST(shmkv_close(kv) == SHMKV_OK);
}

static void gate_close(struct gate *g) { close(g->ends[0]), close(g->ends[1]); }

static void one_pair(enum kind holder, enum kind wanter) {
    *meet = (struct meeting){gate_new(), gate_new(), holder, wanter};
    snprintf(story, sizeof story, "%s holds, %s wants", kind_names[holder], kind_names[wanter]);
    pid_t held_by = child_start(hold, NULL);
    MUST(gate_wait_from(&meet->held, held_by));
    pid_t wanted_by = child_start(want, NULL);
    MUST(gate_wait_from(&meet->tried, wanted_by));
    MUST(child_kill(held_by));
    MUST(outcome(wanted_by) == 0);
    gate_close(&meet->held);
    gate_close(&meet->tried);
}

/* ------------------------------------------------------------------------- making */

static bool there(const char *segment) { return access(shm_path(segment), F_OK) == 0; }

/* What opening it made, or why it did not. */
static bool works_or_is_explained(const char *segment, int mode) {
    struct shmkv_options opts = {.size = sizeof opts, .mode = mode};
    shmkv_t *kv;
    int err = shmkv_open(segment, &opts, &kv);
    if (err) {
        MUST(err == ENOENT && strstr(shmkv_error_detail(), "is /proc mounted?"));
        return false;
    }
    MUST(shmkv_put(kv, "new", 3, "v", 1) == SHMKV_OK);
    MUST(shmkv_close(kv) == SHMKV_OK);
    return true;
}

struct making {
    enum kind kind;
    const char *new_name, *old_name;
};

static void make(void *arg) {
    const struct making *m = arg;
    become(m->kind);
    bool made = works_or_is_explained(m->new_name, SHMKV_SHARED);
    MUST(made == there(m->new_name));
    MUST(made || m->kind == EMPTY);
    if (m->kind == HIDDEN) /* another user: the old one is not his to replace */
        return;
    bool replaced = works_or_is_explained(m->old_name, SHMKV_EXCLUSIVE);
    shmkv_t *kv;
    char value[8];
    size_t len;
    MUST(shmkv_open(m->old_name, NULL, &kv) == SHMKV_OK);
    MUST(shmkv_get(kv, "old", 3, value, sizeof value, &len) ==
         (replaced ? SHMKV_ENOTFOUND : SHMKV_OK));
    MUST(shmkv_put(kv, "old", 3, "again", 5) == SHMKV_OK);
    MUST(shmkv_close(kv) == SHMKV_OK);
}

static void making_as(enum kind kind) {
    struct making m = {kind, unique_name(), unique_name()};
    snprintf(story, sizeof story, "making with %s", kind_names[kind]);
    shmkv_t *kv;
    MUST(shmkv_open(m.old_name, NULL, &kv) == SHMKV_OK);
    MUST(shmkv_put(kv, "old", 3, "value", 5) == SHMKV_OK);
    MUST(shmkv_close(kv) == SHMKV_OK);
    MUST(outcome(child_start(make, &m)) == 0);
    printf("with %s a segment is %s\n", kind_names[kind],
           there(m.new_name) ? "made" : "refused, and it is said why");
    MUST(shmkv_unlink(m.old_name) == SHMKV_OK);
    if (there(m.new_name))
        MUST(unlink(shm_path(m.new_name)) == 0);
}

static void nothing(void *arg) { become(*(enum kind *)arg); }

int main(void) {
    enum kind empty = EMPTY;
    if (outcome(child_start(nothing, &empty)) == 77)
        return skipped("the system lets us make no mount namespace: needs root or user namespaces");
    names_begin();
    name = unique_name();
    meet = shared_memory(sizeof *meet);
    struct shmkv_options opts = {.size = sizeof opts, .permissions = 0666};
    shmkv_t *kv;
    MUST(shmkv_open(name, &opts, &kv) == SHMKV_OK);
    unsigned pairs = 0;
    for (int holder = 0; holder < KINDS; holder++)
        for (int wanter = 0; wanter < KINDS; wanter++)
            if (possible(holder) && possible(wanter)) {
                one_pair(holder, wanter);
                pairs++;
            }
    for (int kind = 0; kind < KINDS; kind++)
        if (possible(kind))
            making_as(kind);
    MUST(shmkv_close(kv) == SHMKV_OK);
    MUST(shmkv_unlink(name) == SHMKV_OK);
    printf("%u pairs of holder and wanter, %u checks outside%s\n", pairs, must_checks,
           possible(HIDDEN) ? "" : "; without hidepid: needs root and Linux 5.8");
    return names_sweep(true) ? 1 : 0;
}
