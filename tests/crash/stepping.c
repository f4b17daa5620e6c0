#include "tests/crash/stepping.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/support.h"

#define MAPPED (64u << 20) /* no test's segment grows beyond */

static void give_up(const char *what) {
    perror(what);
    exit(2);
}

/* ----------------------------------------------------------------------- watching */

static void *anonymous(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED)
        give_up("memory");
    return p;
}

static unsigned entries_beside(const char *path) {
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    return directory_count(dirname(copy));
}

static void watch(struct stepping *s, const char *path) {
    if (s->watched_count == WATCHED_MAX)
        give_up("too many files to watch");
    struct watched *w = &s->watched[s->watched_count++];
    *w = (struct watched){.fd = open(path, O_RDONLY | O_CLOEXEC)};
    w->now = w->fd < 0 ? MAP_FAILED
                       : mmap(NULL, MAPPED, PROT_READ, MAP_SHARED | MAP_NORESERVE, w->fd, 0);
    w->before = anonymous(MAPPED);
    w->times = anonymous(MAPPED / 8 * sizeof *w->times);
    if (w->now == MAP_FAILED)
        give_up(path);
}

static uint64_t word_of(const uint8_t *bytes, uint64_t word) {
    uint64_t value;
    memcpy(&value, bytes + word * 8, sizeof value);
    return value;
}

/* Note what is different in @p n bytes from @p at, and in @p state the first word of it. */
static void note_changes(struct watched *w, size_t at, size_t n, struct state *state) {
    for (uint64_t word = at / 8; word < (at + n) / 8; word++) {
        uint64_t old = word_of(w->before, word), new = word_of(w->now, word);
        if (old == new)
            continue;
        w->times[word]++;
        if (state->word == MADE_BY_SYSCALL) {
            state->word = word;
            state->nth = w->times[word];
        }
        if (!old != !new)
            w->print ^= hash_bytes(&word, sizeof word, 0);
    }
    memcpy(w->before + at, w->now + at, n);
}

/* Has the file changed since the last look? */
static bool file_changed(struct watched *w, struct state *state) {
    struct stat st;
    if (fstat(w->fd, &st) != 0 || (uint64_t)st.st_size > MAPPED)
        give_up("a watched file");
    bool changed = w->size != (size_t)st.st_size;
    w->size = (size_t)st.st_size;
    /* In pieces, so that one changed word does not cost the whole file. */
    for (size_t at = 0; at < w->size; at += 65536) {
        size_t n = w->size - at < 65536 ? w->size - at : 65536;
        if (memcmp(w->before + at, w->now + at, n) != 0) {
            note_changes(w, at, n, state);
            changed = true;
        }
    }
    return changed;
}

static bool names_changed(struct stepping *s) {
    struct stat st;
    ino_t at_path = stat(s->path, &st) == 0 ? st.st_ino : 0;
    unsigned entries = entries_beside(s->path);
    bool any = at_path != s->at_path || entries != s->entries;
    if (at_path != s->at_path && at_path)
        watch(s, s->path);
    s->at_path = at_path;
    s->entries = entries;
    return any;
}

static bool files_changed(struct stepping *s) {
    struct state now = {.syscalls = s->syscalls, .word = MADE_BY_SYSCALL};
    bool any = false;
    for (unsigned i = 0; i < s->watched_count; i++) {
        any |= file_changed(&s->watched[i], &now);
        now.print += s->watched[i].print + s->watched[i].size;
    }
    if (any)
        s->state = now;
    return any;
}

/* What a system call did is not told by a word. */
static void count_syscall(struct stepping *s) {
    s->syscalls++;
    for (unsigned i = 0; i < s->watched_count; i++)
        if (madvise(s->watched[i].times, MAPPED / 8 * sizeof *s->watched[i].times, MADV_DONTNEED) !=
            0)
            give_up("forgetting counts");
}

static void note_state(struct stepping *s, bool by_syscall) {
    s->changes++;
    s->state.syscalls = s->syscalls;
    if (by_syscall)
        s->state.word = MADE_BY_SYSCALL;
    struct trace *t = s->trace;
    if (!t)
        return;
    if (!(t->count & (t->count + 1)) || !t->states) /* full: double it */
        t->states = realloc(t->states, (2 * t->count + 2) * sizeof *t->states);
    if (!t->states)
        give_up("memory for a trace");
    t->states[t->count++] = s->state;
}

void trace_free(struct trace *trace) {
    free(trace->states);
    *trace = (struct trace){0};
}

/* ------------------------------------------------------------------- instructions */

/* What the instruction at @p code can do to what we watch. */
enum effect {
    NONE,   /* nothing: it stores to no memory, or to the stack only */
    STORE,  /* perhaps store */
    SYSCALL /* anything */
};

#if defined(__x86_64__)
/* Opcodes, after prefixes, with an effect of NONE whatever their operands. */
static const uint8_t harmless[] = {0x03, 0x0b, 0x13, 0x1b, 0x23, 0x2b, 0x33, 0x38, 0x39, 0x3a,
                                   0x3b, 0x3c, 0x3d, 0x63, 0x84, 0x85, 0x8b, 0x8d, 0x90, 0x98,
                                   0x99, 0xa8, 0xa9, 0xc3, 0xc9, 0xe8, 0xe9, 0xeb};
/* Those that do not store if their first operand is a register. */
static const uint8_t harmless_on_registers[] = {0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31,
                                                0x80, 0x81, 0x83, 0x88, 0x89, 0xc1, 0xc7,
                                                0xd1, 0xd3, 0xf6, 0xf7, 0xff};

static bool within(const uint8_t *set, size_t n, uint8_t opcode) {
    return memchr(set, opcode, n) != NULL;
}

static enum effect effect_of(const uint8_t *code) {
    while (*code == 0x66 || (*code & 0xf0) == 0x40)
        code++;
    uint8_t op = *code, next = code[1];
    if (op == 0x0f && next == 0x05)
        return SYSCALL;
    if (op == 0x0f) /* jcc, nop, setcc and cmovcc on registers, movzx, movsx */
        return (next & 0xf0) == 0x80 || (next & 0xf0) == 0x40 || next == 0x1f ||
                       (next & 0xf6) == 0xb6
                   ? NONE
                   : STORE;
    bool jump_or_push = (op & 0xf0) == 0x70 || (op & 0xf0) == 0x50 || (op & 0xf8) == 0xb8;
    bool compare = (op == 0x81 || op == 0x83 || op == 0x80) && (next & 0x38) == 0x38;
    if (jump_or_push || compare || within(harmless, sizeof harmless, op))
        return NONE;
    return next >= 0xc0 && within(harmless_on_registers, sizeof harmless_on_registers, op) ? NONE
                                                                                           : STORE;
}

/* The child was forked from us, so its code is where ours is. */
static enum effect next_effect(pid_t pid) {
    errno = 0;
    long at = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), NULL);
    return errno ? SYSCALL : effect_of((const uint8_t *)at);
}
#else
static enum effect next_effect(pid_t pid) {
    (void)pid;
    return SYSCALL;
}
#endif

/* ----------------------------------------------------------------------- stepping */

/* Both of us on one processor: handing over to the other is quicker so. */
static void keep_to_one_processor(void) {
    cpu_set_t allowed, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    if (CPU_COUNT(&allowed) == 1)
        return;
    unsigned cpu = (unsigned)getpid() % (unsigned)CPU_SETSIZE;
    while (!CPU_ISSET(cpu, &allowed))
        cpu = (cpu + 1) % (unsigned)CPU_SETSIZE;
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static bool traced;

/* For the tracer, who takes the signal away. */
void step_from_here(void) {
    if (traced)
        raise(SIGSTOP);
}

/* What free memory the child has from its parent decides when it asks the system for more, and,
 * by how source and target lie in their pages, from which end memcpy() copies. A child that is
 * to go the way that another went has to find the same: none, but a large piece that begins at
 * a page. */
static void begin_with_fresh_heap(void) {
    const size_t room = 16 << 20, largest_kept = 1040; /* the C library keeps lists of sizes up to this */
    mallopt(M_MMAP_THRESHOLD, 2 * (int)room);
    mallopt(M_TRIM_THRESHOLD, 2 * (int)room);
    void *fresh = aligned_alloc(4096, room);
    for (size_t size = largest_kept; size >= 16; size -= 16)
        for (void *volatile old = NULL; (uintptr_t)old < (uintptr_t)fresh;)
            old = malloc(size);
    free(fresh);
}

static void child(void (*body)(void)) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    begin_with_fresh_heap();
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(2);
    traced = true;
    step_from_here();
    body();
    _exit(0);
}

static void await_stop(pid_t pid) {
    int status;
    if (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP)
        return;
    fprintf(stderr, "the child did not stop (status 0x%x): is ptrace allowed here?\n",
            (unsigned)status);
    exit(77);
}

void step_begin(struct stepping *s, void (*body)(void), const char *path, bool skip) {
    *s = (struct stepping){.path = path};
    keep_to_one_processor();
    fflush(NULL);
    s->pid = fork();
    if (s->pid < 0)
        give_up("fork");
    if (s->pid == 0)
        child(body);
    await_stop(s->pid);
    ptrace(PTRACE_SETOPTIONS, s->pid, NULL, (void *)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD));
    if (skip) {
        ptrace(PTRACE_CONT, s->pid, NULL, NULL);
        await_stop(s->pid);
    }
    names_changed(s);
    files_changed(s);
}

#define SYSCALL_STOP (SIGTRAP | 0x80)

/* On, by PTRACE_SINGLESTEP, PTRACE_SYSCALL or PTRACE_CONT, to the next stop. False: the child has
 * ended. */
static bool go_on(struct stepping *s, int how, int *stop) {
    int status;
    if (ptrace(how, s->pid, NULL, NULL) != 0 || waitpid(s->pid, &status, 0) != s->pid)
        give_up("going on");
    *stop = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
    if (*stop == SIGTRAP || *stop == SIGSTOP || *stop == SYSCALL_STOP)
        return true;
    s->status = status;
    if (WIFSTOPPED(status)) { /* a signal of its own: it crashed */
        kill(s->pid, SIGKILL);
        waitpid(s->pid, &status, 0);
    }
    return false;
}

/* One instruction. False: the child has ended. */
static bool step(struct stepping *s) {
    int stop;
    s->steps++;
    return go_on(s, PTRACE_SINGLESTEP, &stop);
}

bool step_on(struct stepping *s) {
    for (;;) {
        enum effect effect = next_effect(s->pid);
        if (!step(s))
            return false;
        if (effect == SYSCALL)
            count_syscall(s);
        bool names = effect == SYSCALL && names_changed(s);
        if ((effect != NONE && files_changed(s)) || names) {
            note_state(s, effect == SYSCALL);
            return true;
        }
    }
}

/* ------------------------------------------------------------- there at full speed */

#if defined(__x86_64__)
static bool run_to_syscall(struct stepping *s, uint64_t n) {
    bool inside = false;
    for (int stop; s->syscalls < n; s->syscalls += stop == SYSCALL_STOP && !inside) {
        if (!go_on(s, PTRACE_SYSCALL, &stop))
            return false;
        inside ^= stop == SYSCALL_STOP;
    }
    return true;
}

static bool set_debug_register(pid_t pid, unsigned n, uintptr_t value) {
    return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg) + n * sizeof(long),
                  (void *)value) == 0;
}

/* A trap after each store to the file's @p word, wherever the child can store to it. */
static bool trap_stores(struct stepping *s, uint64_t word) {
    struct stat st;
    char name[64], line[4400];
    snprintf(name, sizeof name, "/proc/%d/maps", s->pid);
    FILE *maps = fopen(name, "re");
    if (!maps || fstat(s->watched->fd, &st) != 0)
        give_up(name);
    unsigned n = 0;
    uintptr_t control = 0;
    bool good = true;
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to, offset, inode;
        char may[5];
        if (sscanf(line, "%lx-%lx %4s %lx %*s %lu", &from, &to, may, &offset, &inode) != 5 ||
            may[1] != 'w' || inode != st.st_ino || word * 8 < offset ||
            word * 8 - offset >= to - from)
            continue;
        good = good && n < 4 && set_debug_register(s->pid, n, from + (word * 8 - offset));
        control |= (uintptr_t)1 << 2 * n | (uintptr_t)0x9
                                               << (16 + 4 * n); /* enabled; stores; 8 bytes */
        n++;
    }
    fclose(maps);
    return good && n && set_debug_register(s->pid, 7, control);
}

static bool run_to_change(struct stepping *s, uint64_t word, uint32_t times) {
    /* Where there are no such traps: after each instruction. */
    int how = trap_stores(s, word) ? PTRACE_CONT : PTRACE_SINGLESTEP, stop;
    uint64_t was = word_of(s->watched->now, word);
    for (uint32_t n = 0; n < times;) {
        if (!go_on(s, how, &stop))
            return false;
        uint64_t is = word_of(s->watched->now, word);
        n += is != was;
        was = is;
    }
    return true;
}

bool step_to(struct stepping *s, const struct trace *trace, uint64_t n) {
    const struct state *state = &trace->states[n - 1];
    if (!run_to_syscall(s, state->syscalls) ||
        (state->word != MADE_BY_SYSCALL && !run_to_change(s, state->word, state->nth)))
        return false;
    names_changed(s);
    files_changed(s);
    if (s->state.print != state->print) {
        fprintf(stderr, "state %llu is not what it was before\n", (unsigned long long)n);
        exit(2);
    }
    s->changes = n;
    return true;
}
#else
bool step_to(struct stepping *s, const struct trace *trace, uint64_t n) {
    (void)trace;
    while (s->changes < n)
        if (!step_on(s))
            return false;
    return true;
}
#endif

void step_kill(struct stepping *s) {
    int status;
    if (kill(s->pid, SIGKILL) != 0 || waitpid(s->pid, &status, 0) != s->pid)
        give_up("killing the child");
}

void step_end(struct stepping *s) {
    for (unsigned i = 0; i < s->watched_count; i++) {
        munmap((void *)(uintptr_t)s->watched[i].now, MAPPED);
        munmap(s->watched[i].before, MAPPED);
        munmap(s->watched[i].times, MAPPED / 8 * sizeof *s->watched[i].times);
        close(s->watched[i].fd);
    }
}

bool step_succeeded(const struct stepping *s) {
    return WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0;
}
