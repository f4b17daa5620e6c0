/*
 * A process forks without pause while its threads put, get, delete and walk: whatever a
 * thread was in the middle of at that moment, the child can use the handle it inherited, or
 * let go of it, and disturbs nobody.
 *
 * Kinds of child: made by fork(), which reads, writes, walks and closes; which does nothing
 * and ends; which works until it is killed; made by posix_spawn() and by vfork() and exec, which
 * must have none of the descriptors; made by a bare clone system call, so that no fork handler
 * runs, which reads and writes. Each is given a minute; a child that hangs is a violation.
 * Thousands are made.
 *
 * In each round the parent is killed in the middle, while children of each kind that have
 * done nothing yet are alive. Its locks must be free for others at once, as if there were no
 * children: and only then these are told to work. A third process looks on all the while: no
 * slot of the parent's may be free or dead as long as it lives, and a child writes under its own.
 *
 * proves [LOCK-12] [LOCK-13]
 *
 * Arguments: children, rounds. SHMKV_TEST_SEED chooses the operations and the kinds.
 */
#include "tests/races/races.h"

#include <pthread.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define THREADS 4
#define KEYS 64   /* of each thread */
#define SPELL 256 /* calls of each thread for one child */
#define SURVIVORS 6
#define CHILD_SECONDS 60

enum kind { WORKS, LEAVES, KILLED, SPAWNED, VFORKED, BARE, KINDS };
static const char *const kind_names[] = {"worked",  "left",    "killed",
                                         "spawned", "vforked", "by clone"};

static struct meeting {
    struct event ready;    /* the parent has made its quota, and children that wait */
    struct event orphaned; /* the parent is dead; those children are to work */
    struct event done;     /* one of them has */
    uint64_t children[KINDS], calls, late;
    pid_t survivors[SURVIVORS];
} * meet;

static const char *name, *program;
static uint64_t run_seed;
static uint32_t quota;
static struct event child_comes; /* for the parent's threads */
static shmkv_t *shared_kv;       /* the parent's threads', and its children's */

/* ------------------------------------------------------------------------------ work */

struct key {
    uint32_t who, number;
};

static void fill(uint64_t value[6], const struct key *key, uint64_t salt) {
    for (unsigned i = 0; i < 6; i++)
        value[i] = (salt + i) * 0x9e3779b97f4a7c15u ^ ((uint64_t)key->who << 32 | key->number);
    value[5] = value[0] ^ value[1] ^ value[2] ^ value[3] ^ value[4];
}

/* Children say where they fail without stdio, whose locks they may have inherited. */
#define CHILD_FAILS(code) _exit(code)
enum { NOT_READ = 3, NOT_WRITTEN, TORN, NOT_CLOSED, WRONG_OWNER, DESCRIPTOR_KEPT, NOT_WALKED };

static bool sound(const uint64_t value[6], size_t len) {
    return len == 48 && value[5] == (value[0] ^ value[1] ^ value[2] ^ value[3] ^ value[4]);
}

/* One call on a key of @p who; 0, or why not. */
static int step(shmkv_t *kv, uint32_t who, struct random *r) {
    struct key key = {who, (uint32_t)random_below(r, KEYS)};
    uint64_t value[6];
    size_t len;
    int err;
    switch (random_below(r, 4)) {
    case 0:
    case 1:
        fill(value, &key, random_next(r));
        return shmkv_put(kv, &key, sizeof key, value, sizeof value) ? NOT_WRITTEN : 0;
    case 2:
        err = shmkv_get(kv, &key, sizeof key, value, sizeof value, &len);
        return err == SHMKV_ENOTFOUND ? 0 : err ? NOT_READ : sound(value, len) ? 0 : TORN;
    default:
        err = shmkv_delete(kv, &key, sizeof key);
        return err && err != SHMKV_ENOTFOUND ? NOT_WRITTEN : 0;
    }
}

static int walk(shmkv_t *kv, unsigned most) {
    shmkv_cursor_t *c;
    const void *key, *value;
    size_t key_len, len;
    int err = shmkv_cursor_open(kv, 0, &c);
    while (!err && most--) {
        uint64_t copy[6];
        err = shmkv_cursor_next(c, &key, &key_len, &value, &len);
        if (!err)
            memcpy(copy, value, len < sizeof copy ? len : sizeof copy);
        if (!err && !sound(copy, len))
            return TORN;
    }
    shmkv_cursor_close(c);
    return err && err != SHMKV_ENOTFOUND ? NOT_WALKED : 0;
}

/* ------------------------------------------------------------------------- descriptors */

/* How many of ours lead to this file. Without a library call that takes a lock. */
static unsigned descriptors_of(dev_t dev, ino_t ino) {
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++) {
        struct stat st;
        n += fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
    }
    return n;
}

static unsigned descriptors_of_segment(shmkv_t *kv) {
    return descriptors_of(segment_of(kv)->dev, segment_of(kv)->ino);
}

/* Whose name is in the slots that this process has. */
static bool slots_are_mine(shmkv_t *kv) {
    struct segment *seg = segment_of(kv);
    unsigned n = atomic_load(&seg->context_count);
    for (unsigned i = 0; i < n; i++)
        if (seg->contexts[i].own->pid != (uint32_t)getpid())
            return false;
    return n > 0;
}

/* --------------------------------------------------------------------------- children */

static void child_begins(void) { alarm(CHILD_SECONDS); }

/* What an ordinary child does with the handle. Its keys are its own. */
static void child_works(struct random *r, unsigned calls, bool close_it) {
    uint32_t me = 1000 + (uint32_t)getpid();
    int err = 0;
    for (unsigned i = 0; i < calls && !err; i++)
        err = step(shared_kv, i % 4 ? me : (uint32_t)random_below(r, THREADS), r);
    for (uint32_t i = 0; i < KEYS && !err; i++) {
        int e = shmkv_delete(shared_kv, &(struct key){me, i}, sizeof(struct key));
        err = e && e != SHMKV_ENOTFOUND ? NOT_WRITTEN : 0;
    }
    if (err)
        CHILD_FAILS(err);
    if (!slots_are_mine(shared_kv))
        CHILD_FAILS(WRONG_OWNER);
    if (descriptors_of_segment(shared_kv) != 2)
        CHILD_FAILS(DESCRIPTOR_KEPT);
    if (close_it && shmkv_close(shared_kv) != SHMKV_OK)
        CHILD_FAILS(NOT_CLOSED);
    _exit(0);
}

static void child_body(enum kind kind, struct random r) {
    child_begins();
    /* [LOCK-12] At once, and not only when it writes. */
    if (kind != BARE && descriptors_of_segment(shared_kv) != 1)
        CHILD_FAILS(DESCRIPTOR_KEPT);
    switch (kind) {
    case WORKS:
        if (walk(shared_kv, 100) != 0)
            CHILD_FAILS(NOT_WALKED);
        child_works(&r, 8, true);
        break;
    case KILLED:
        for (int err = 0;;)
            if ((err = step(shared_kv, (uint32_t)random_below(&r, THREADS), &r)) != 0)
                CHILD_FAILS(err);
    case BARE: /* no memory from the heap: its lock may be another thread's for ever */
        child_works(&r, 8, false);
        break;
    default:
        _exit(0);
    }
}

/* A process as the kernel makes it, without what the C library does around. */
static pid_t bare_clone(void) { return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }

/* What this program does when executed by a child: look at what came through. */
static int after_exec(char **argv) {
    dev_t dev = (dev_t)strtoull(argv[2], NULL, 0);
    ino_t ino = (ino_t)strtoull(argv[3], NULL, 0);
    return descriptors_of(dev, ino) ? DESCRIPTOR_KEPT : 0;
}

static pid_t execute(bool vforked) {
    static char dev[32], ino[32];
    extern char **environ;
    snprintf(dev, sizeof dev, "%llu", (unsigned long long)segment_of(shared_kv)->dev);
    snprintf(ino, sizeof ino, "%llu", (unsigned long long)segment_of(shared_kv)->ino);
    char what[] = "exec", *args[] = {what, what, dev, ino, NULL};
    pid_t pid;
    if (!vforked)
        return posix_spawn(&pid, program, NULL, NULL, args, environ) == 0 ? pid : -1;
    pid = vfork();
    if (pid == 0) {
        execve(program, args, environ);
        _exit(127);
    }
    return pid;
}

static pid_t make_child(enum kind kind, struct random *r) {
    struct random theirs = {random_next(r)};
    pid_t pid;
    switch (kind) {
    case SPAWNED:
    case VFORKED:
        return execute(kind == VFORKED);
    case BARE:
        pid = bare_clone();
        break;
    default:
        pid = fork();
    }
    if (pid == 0)
        child_body(kind, theirs);
    return pid;
}

static void make_and_wait(struct random *r) {
    enum kind kind = (enum kind)random_below(r, KINDS);
    event_happens(&child_comes);
    pass_time(r, 100000);
    pid_t pid = make_child(kind, r);
    if (pid < 0)
        die("making a child: %s", strerror(errno));
    if (kind == KILLED) {
        pass_time(r, 300000);
        kill(pid, SIGKILL);
    }
    int status = child_wait(pid);
    bool good = kind == KILLED ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                               : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!good)
        die("a child (%s) ended with status 0x%x%s", kind_names[kind], status,
            WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? ": it hung" : "");
    meet->children[kind]++;
}

/* Lives until its parent is dead, without having touched the handle; then it works. */
static void survivor_body(struct random r) {
    child_begins();
    event_reach(&meet->orphaned, 1);
    unsigned calls = 20;
    uint32_t me = 1000 + (uint32_t)getpid();
    while (calls--)
        if (step(shared_kv, me, &r) != 0)
            CHILD_FAILS(NOT_WRITTEN);
    if (!slots_are_mine(shared_kv))
        CHILD_FAILS(WRONG_OWNER);
    event_happens(&meet->done);
    _exit(0);
}

static void make_survivors(struct random *r) {
    for (unsigned i = 0; i < SURVIVORS; i++) {
        struct random theirs = {random_next(r)};
        pid_t pid = i % 2 ? bare_clone() : fork();
        if (pid == 0)
            survivor_body(theirs);
        if (pid < 0)
            die("making a child: %s", strerror(errno));
        meet->survivors[i] = pid;
    }
}

/* ----------------------------------------------------------------------------- parent */

/* A spell of work for each child: so they are in the middle of something when it is made, and
 * it gets a processor when they are done. */
static void *hammer(void *arg) {
    uint32_t me = (uint32_t)(uintptr_t)arg;
    struct random r = {run_seed + me};
    for (uint32_t seen = event_count(&child_comes);; seen = event_count(&child_comes)) {
        for (unsigned i = 0; i < SPELL; i++) {
            int err = i % 64 == 63 ? walk(shared_kv, 50) : step(shared_kv, me, &r);
            if (err)
                die("thread %u: failure %d (%s)", me, err, shmkv_error_detail());
        }
        __atomic_fetch_add(&meet->calls, SPELL, __ATOMIC_RELAXED);
        while (event_count(&child_comes) == seen)
            event_wait(&child_comes, seen);
    }
    return NULL;
}

static void parent_body(void *arg) {
    struct random r = {run_seed + (uint64_t)getpid() * 1000003};
    must(shmkv_close(arg)); /* the onlooker's, which came with the fork */
    must(shmkv_open(name, NULL, &shared_kv));
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, hammer, (void *)i) != 0)
            die("no thread");
    for (uint32_t i = 0; i < quota; i++)
        make_and_wait(&r);
    make_survivors(&r);
    event_happens(&meet->ready);
    for (;;) /* until it is killed */
        make_and_wait(&r);
}

/* ---------------------------------------------------------------------------- onlooker */

/* A slot with the parent's name is alive, as long as the parent is. */
static void look_at_owners(shmkv_t *kv, pid_t parent) {
    struct shmkv_owner owners[64];
    size_t n;
    must(shmkv_owners(kv, owners, 64, &n));
    unsigned alive = 0;
    for (size_t i = 0; i < n && i < 64; i++) {
        if (owners[i].pid != (uint32_t)parent)
            continue;
        if (owners[i].liveness != SHMKV_ALIVE)
            die("a slot of the parent's is %s while it lives",
                owners[i].liveness == SHMKV_DEAD ? "dead" : "free");
        alive++;
    }
    if (alive > THREADS)
        die("the parent has %u slots", alive);
}

/* The parent is dead and its children live: all it held must be had, soon. */
static void take_over(shmkv_t *kv) {
    for (uint32_t i = 0; i < 2000; i++) {
        struct key key = {999, i};
        uint64_t value[6];
        fill(value, &key, i);
        must(shmkv_put(kv, &key, sizeof key, value, sizeof value));
    }
    for (uint32_t i = 0; i < 2000; i++)
        must(shmkv_delete(kv, &(struct key){999, i}, sizeof(struct key)));
}

static void no_owner_may_be(shmkv_t *kv, pid_t parent) {
    struct shmkv_owner owners[64];
    size_t n;
    must(shmkv_owners(kv, owners, 64, &n));
    for (size_t i = 0; i < n && i < 64; i++)
        if (owners[i].pid == (uint32_t)parent && owners[i].liveness == SHMKV_ALIVE)
            die("a slot of the dead parent's is taken for alive");
}

static void wait_for_survivors(uint32_t before) {
    uint64_t deadline = now_ns() + CHILD_SECONDS * 1000000000ull;
    for (uint32_t seen; (seen = event_count(&meet->done)) < before + SURVIVORS;) {
        event_wait(&meet->done, seen);
        if (now_ns() > deadline)
            die("only %u of %d orphans have worked", seen - before, SURVIVORS);
    }
    while (wait(NULL) > 0) /* they are ours now */
        ;
}

static void play(shmkv_t *kv) {
    atomic_store(&meet->orphaned.count, 0);
    uint32_t ready = event_count(&meet->ready) + 1, done = event_count(&meet->done);
    pid_t parent = child_start(parent_body, kv);
    for (uint32_t seen; (seen = event_count(&meet->ready)) < ready;) {
        must_live(parent, "the parent");
        look_at_owners(kv, parent);
        event_wait(&meet->ready, seen);
    }
    if (!child_kill(parent))
        die("the parent had ended by itself");
    no_owner_may_be(kv, parent);
    take_over(kv);
    event_happens(&meet->orphaned);
    wait_for_survivors(done);
}

static void check_the_end(void) {
    shmkv_t *kv;
    struct shmkv_stats st = {.size = sizeof st};
    must(shmkv_open(name, NULL, &kv));
    must(shmkv_stats(kv, &st));
    if (st.owners_live != 1)
        die("%u owners are left", st.owners_live - 1);
    struct shmkv_lock locks[512];
    size_t n;
    must(shmkv_locks(kv, locks, 512, &n));
    for (size_t i = 0; i < n; i++)
        if (locks[i].owner >= 0)
            die("a lock is left");
    finish(kv, name);
}

static int run(int argc, char **argv) {
    uint32_t children = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 3000;
    uint32_t rounds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 10;
    struct random r = random_begin("forks");
    run_seed = r.state;
    quota = children / rounds;
    struct place_of_segments place = place_make();
    name = place_name(&place, "inherited");
    meet = shared_memory(sizeof *meet);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct shmkv_options opts = {.size = sizeof opts, .lock_timeout_ms = 2000};
    shmkv_t *kv;
    must(shmkv_open(name, &opts, &kv));
    for (uint32_t i = 0; i < rounds; i++)
        play(kv);
    must(shmkv_close(kv));
    check_the_end();
    place_must_be_empty(&place);
    printf("%u parents killed in the middle, %u orphans each; children:", rounds, SURVIVORS);
    for (int k = 0; k < KINDS; k++)
        printf(" %llu %s%s", (unsigned long long)meet->children[k], kind_names[k],
               k < KINDS - 1 ? "," : "");
    printf("; %llu calls of the parents' threads\n", (unsigned long long)meet->calls);
    return 0;
}

int main(int argc, char **argv) {
    static char self[PATH_MAX];
    if (argc == 4 && strcmp(argv[1], "exec") == 0)
        return after_exec(argv);
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        die("/proc/self/exe: %s", strerror(errno));
    program = self;
    return supervise(run, argc, argv);
}
