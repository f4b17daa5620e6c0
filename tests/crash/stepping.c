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
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/support.h"

#define MAPPED (64u << 20) /* no test's segment grows beyond */

static _Noreturn void give_up(const char *what) {
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

/* ----------------------------------------------------------------------- stepping */

/* Both of us on one processor: handing over to the other is quicker so. */
static void keep_to_one_processor(void) {
    int cpu = sched_getcpu();
    cpu_set_t one;
    CPU_ZERO(&one);
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
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
    for (size_t size = largest_kept; size >= 16; size -= 16) {
        void *volatile piece; /* volatile, or the compiler leaves the malloc() out */
        do
            piece = malloc(size);
        while (piece && (uintptr_t)piece < (uintptr_t)fresh);
    }
    free(fresh);
}

static void child(void (*body)(void)) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    begin_with_fresh_heap();
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(2);
    raise(SIGSTOP); /* for the tracer, who takes the signal away */
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

void step_begin(struct stepping *s, void (*body)(void), const char *path) {
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
    names_changed(s);
    files_changed(s);
}

#define SYSCALL_STOP (SIGTRAP | 0x80)

/* On, by PTRACE_SINGLESTEP, PTRACE_SYSCALL or PTRACE_CONT, to the next stop: its signal, or 0: the
 * child has ended, and s->status says how. */
static int go_on(struct stepping *s, int how) {
    int status;
    if (ptrace(how, s->pid, NULL, NULL) != 0 || waitpid(s->pid, &status, 0) != s->pid)
        give_up("going on");
    if (WIFSTOPPED(status))
        return WSTOPSIG(status);
    s->status = status;
    return 0;
}

/* It has ended, or stopped for a signal of its own: then it has crashed. */
static bool ended(struct stepping *s, int stop) {
    if (stop) {
        s->status = W_STOPCODE(stop);
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
    }
    return false;
}

#if defined(__x86_64__)

/* What the child maps for writing we make read-only. Each store there is a fault, which we see;
 * then it may do that one instruction. What it does between runs at full speed. */

__asm__(".text\nsyscall_of_the_child:\n\tsyscall\n");
extern const char syscall_of_the_child[] __attribute__((visibility("hidden")));

/* Let the stopped child, whose code is where ours is, make a system call. */
static void call_in_child(struct stepping *s, long number, uintptr_t a, uintptr_t b, uintptr_t c) {
    struct user_regs_struct was, regs;
    if (ptrace(PTRACE_GETREGS, s->pid, NULL, &was) != 0)
        give_up("the child's registers");
    regs = was;
    regs.rip = (uintptr_t)syscall_of_the_child;
    regs.orig_rax = UINT64_MAX; /* not in a system call that might be begun again */
    regs.rax = (uint64_t)number;
    regs.rdi = a;
    regs.rsi = b;
    regs.rdx = c;
    if (ptrace(PTRACE_SETREGS, s->pid, NULL, &regs) != 0 ||
        go_on(s, PTRACE_SINGLESTEP) != SIGTRAP ||
        ptrace(PTRACE_GETREGS, s->pid, NULL, &regs) != 0 || regs.rax != 0 ||
        ptrace(PTRACE_SETREGS, s->pid, NULL, &was) != 0)
        give_up("a system call in the child");
}

static void protect(struct stepping *s, uintptr_t at, size_t size, int protection) {
    call_in_child(s, SYS_mprotect, at, size, (uintptr_t)protection);
}

static void forget_mapping(struct stepping *s, uintptr_t from, uintptr_t to) {
    for (unsigned i = 0; i < s->mapping_count;) {
        if (s->mappings[i].from < to && from < s->mappings[i].to)
            s->mappings[i] = s->mappings[--s->mapping_count];
        else
            i++;
    }
}

static void note_mapping(struct stepping *s, uintptr_t from, uintptr_t to) {
    if (s->mapping_count == MAPPINGS_MAX)
        give_up("too many mappings to watch");
    s->mappings[s->mapping_count].from = from;
    s->mappings[s->mapping_count++].to = to;
    protect(s, from, to - from, PROT_READ);
}

/* The child returns from a system call. */
static void note_mappings(struct stepping *s) {
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, s->pid, NULL, &regs) != 0)
        give_up("the child's registers");
    bool good = regs.rax < (uint64_t)-4095;
    if (good && regs.orig_rax == SYS_munmap)
        forget_mapping(s, regs.rdi, regs.rdi + regs.rsi);
    if (good && regs.orig_rax == SYS_mmap) {
        forget_mapping(s, regs.rax, regs.rax + regs.rsi);
        if ((regs.rdx & PROT_WRITE) && (regs.r10 & MAP_SHARED))
            note_mapping(s, regs.rax, regs.rax + regs.rsi);
    }
}

/* The page of a fault that is of our making. */
static bool page_of_fault(const struct stepping *s, uintptr_t *page) {
    siginfo_t info;
    if (ptrace(PTRACE_GETSIGINFO, s->pid, NULL, &info) != 0)
        give_up("a signal");
    *page = (uintptr_t)info.si_addr & ~(uintptr_t)4095;
    for (unsigned i = 0; i < s->mapping_count; i++)
        if (*page >= s->mappings[i].from && *page < s->mappings[i].to)
            return info.si_code == SEGV_ACCERR;
    return false;
}

/* The child has stopped before a store, which may reach into a second page. */
static bool let_store(struct stepping *s) {
    uintptr_t pages[2];
    unsigned n = 0;
    int stop = SIGSEGV;
    for (; stop == SIGSEGV && n < 2 && page_of_fault(s, &pages[n]); n++) {
        protect(s, pages[n], 4096, PROT_READ | PROT_WRITE);
        stop = go_on(s, PTRACE_SINGLESTEP);
    }
    if (stop != SIGTRAP)
        return ended(s, stop);
    while (n > 0)
        protect(s, pages[--n], 4096, PROT_READ);
    s->steps++;
    return true;
}

/* On until something may have changed. False: the child has ended. */
static bool step(struct stepping *s, bool *by_syscall) {
    for (;;) {
        int stop = go_on(s, PTRACE_SYSCALL);
        *by_syscall = stop == SYSCALL_STOP;
        if (stop == SIGSEGV)
            return let_store(s);
        if (!*by_syscall)
            return ended(s, stop);
        s->in_syscall = !s->in_syscall;
        if (!s->in_syscall) {
            note_mappings(s);
            return true;
        }
    }
}

#else

/* One instruction, which may have changed anything. */
static bool step(struct stepping *s, bool *by_syscall) {
    int stop = go_on(s, PTRACE_SINGLESTEP);
    s->steps++;
    *by_syscall = true;
    return stop == SIGTRAP || ended(s, stop);
}

#endif

bool step_on(struct stepping *s) {
    bool by_syscall;
    while (step(s, &by_syscall)) {
        if (by_syscall)
            count_syscall(s);
        bool names = by_syscall && names_changed(s);
        if (files_changed(s) || names) {
            note_state(s, by_syscall);
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------- there at full speed */

#if defined(__x86_64__)
static bool run_to_syscall(struct stepping *s, uint64_t n) {
    while (s->syscalls < n) {
        int stop = go_on(s, PTRACE_SYSCALL);
        if (stop != SYSCALL_STOP)
            return ended(s, stop);
        s->in_syscall = !s->in_syscall;
        s->syscalls += !s->in_syscall;
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
    int how = trap_stores(s, word) ? PTRACE_CONT : PTRACE_SINGLESTEP;
    uint64_t was = word_of(s->watched->now, word);
    for (uint32_t n = 0; n < times;) {
        int stop = go_on(s, how);
        if (stop != SIGTRAP)
            return ended(s, stop);
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
