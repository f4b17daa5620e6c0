#include "tests/faults/calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

const struct call_kind call_kinds[CALL_KIND_COUNT] = {
#define X(constant, text, ...) [CALL_##constant] = {text, {__VA_ARGS__}},
    CALL_KINDS(X)
#undef X
};

static unsigned missing;
static struct {
    bool armed, onwards;
    enum call kind;
    unsigned nth, seen, failed;
    int err;
} fault;
static long allocations, mappings;

void calls_world(unsigned without) { missing = without; }

void calls_fail(enum call kind, unsigned nth, int err, bool onwards) {
    fault.kind = kind;
    fault.nth = nth;
    fault.err = err;
    fault.onwards = onwards;
    fault.seen = fault.failed = 0;
    fault.armed = true;
}

unsigned calls_mend(void) {
    fault.armed = false;
    return fault.failed;
}

long calls_allocations(void) { return allocations; }
long calls_mappings(void) { return mappings; }

/* Is it this call's turn? Then errno says why it fails. */
static bool fails(enum call kind) {
    if (!fault.armed || fault.kind != kind)
        return false;
    fault.seen++;
    if (fault.seen < fault.nth || (fault.seen > fault.nth && !fault.onwards))
        return false;
    fault.failed++;
    errno = fault.err & 0xffff;
    return true;
}

/* The real ones. */
#define CALL(type, name, ...)               \
    extern type __real_##name(__VA_ARGS__); \
    extern type __wrap_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

/* ----------------------------------------------------------------------- files */

static enum call kind_of_open(const char *path, int flags) {
    if ((flags & O_TMPFILE) == O_TMPFILE)
        return CALL_OPEN_TMPFILE;
    if (flags & O_CREAT)
        return CALL_OPEN_CREATE;
    return strncmp(path, "/proc/", 6) == 0 ? CALL_OPEN_PROC : CALL_OPEN;
}

static bool open_fails(const char *path, int flags) {
    enum call kind = kind_of_open(path, flags);
    if (kind == CALL_OPEN_TMPFILE && missing & WORLD_NO_TMPFILE) {
        errno = EOPNOTSUPP;
        return true;
    }
    return fails(kind);
}

CALL(int, open, const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return open_fails(path, flags) ? -1 : __real_open(path, flags, mode);
}

/* What <fcntl.h> makes of open() without a mode, when fortified. */
extern int __real___open_2(const char *path, int flags);
extern int __wrap___open_2(const char *path, int flags);
int __wrap___open_2(const char *path, int flags) {
    return open_fails(path, flags) ? -1 : __real_open(path, flags, 0);
}

CALL(int, close, int fd) {
    int r = __real_close(fd); /* Linux closes it whatever it says. */
    return fails(CALL_CLOSE) ? -1 : r;
}

static enum call kind_of_fcntl(int cmd, const void *arg) {
    switch (cmd) {
    case F_DUPFD_CLOEXEC:
        return CALL_DUP;
    case F_OFD_GETLK:
        return CALL_GETLK;
    case F_OFD_SETLK:
        return ((const struct flock *)arg)->l_type == F_UNLCK ? CALL_UNLOCK : CALL_LOCK;
    }
    fprintf(stderr, "fcntl command %d: add it to calls.c\n", cmd);
    abort();
}

CALL(int, fcntl, int fd, int cmd, ...) {
    va_list args;
    va_start(args, cmd);
    void *arg = va_arg(args, void *);
    va_end(args);
    return fails(kind_of_fcntl(cmd, arg)) ? -1 : __real_fcntl(fd, cmd, arg);
}

CALL(int, fallocate, int fd, int mode, off_t from, off_t len) {
    return fails(mode ? CALL_PUNCH : CALL_FALLOCATE) ? -1 : __real_fallocate(fd, mode, from, len);
}
CALL(int, fsync, int fd) { return fails(CALL_FSYNC) ? -1 : __real_fsync(fd); }
CALL(int, fchmod, int fd, mode_t mode) { return fails(CALL_FCHMOD) ? -1 : __real_fchmod(fd, mode); }
CALL(int, fstat, int fd, struct stat *st) { return fails(CALL_FSTAT) ? -1 : __real_fstat(fd, st); }
CALL(int, lstat, const char *path, struct stat *st) {
    return fails(CALL_LSTAT) ? -1 : __real_lstat(path, st);
}
CALL(int, stat, const char *path, struct stat *st) {
    return fails(CALL_STAT) ? -1 : __real_stat(path, st);
}
CALL(int, statfs, const char *path, struct statfs *fs) {
    return fails(CALL_STATFS) ? -1 : __real_statfs(path, fs);
}
CALL(int, fstatfs, int fd, struct statfs *fs) {
    return fails(CALL_FSTATFS) ? -1 : __real_fstatfs(fd, fs);
}

CALL(ssize_t, pread, int fd, void *buf, size_t len, off_t at) {
    return fails(CALL_PREAD) ? -1 : __real_pread(fd, buf, len, at);
}
/* Of /proc little is read at once, of a dump much. */
CALL(ssize_t, read, int fd, void *buf, size_t len) {
    if (fails(len < 4096 ? CALL_READ : CALL_READ_DUMP)) {
        if (!(fault.err & SHORT))
            return -1;
        len = 1;
    }
    return __real_read(fd, buf, len);
}
CALL(ssize_t, write, int fd, const void *buf, size_t len) {
    if (fails(CALL_WRITE)) {
        if (!(fault.err & SHORT))
            return -1;
        len = 1;
    }
    return __real_write(fd, buf, len);
}
CALL(ssize_t, pwrite, int fd, const void *buf, size_t len, off_t at) {
    if (fails(CALL_PWRITE)) {
        if (!(fault.err & SHORT))
            return -1;
        len = 1;
    }
    return __real_pwrite(fd, buf, len, at);
}

CALL(DIR *, opendir, const char *path) { return fails(CALL_OPENDIR) ? NULL : __real_opendir(path); }
CALL(struct dirent *, readdir, DIR *dir) {
    return fails(CALL_READDIR) ? NULL : __real_readdir(dir);
}
CALL(int, closedir, DIR *dir) {
    int r = __real_closedir(dir);
    return fails(CALL_CLOSEDIR) ? -1 : r;
}

CALL(ssize_t, readlink, const char *path, char *buf, size_t size) {
    return fails(CALL_READLINK) ? -1 : __real_readlink(path, buf, size);
}
CALL(int, linkat, int from_dir, const char *from, int to_dir, const char *to, int flags) {
    return fails(CALL_LINKAT) ? -1 : __real_linkat(from_dir, from, to_dir, to, flags);
}
CALL(int, rename, const char *from, const char *to) {
    return fails(CALL_RENAME) ? -1 : __real_rename(from, to);
}
CALL(int, unlink, const char *path) { return fails(CALL_UNLINK) ? -1 : __real_unlink(path); }
CALL(char *, getcwd, char *buf, size_t size) {
    return fails(CALL_GETCWD) ? NULL : __real_getcwd(buf, size);
}

/* ---------------------------------------------------------------------- memory */

CALL(void *, mmap, void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    void *p = fails(CALL_MMAP) ? MAP_FAILED : __real_mmap(at, len, prot, flags, fd, offset);
    mappings += p != MAP_FAILED;
    return p;
}
CALL(int, munmap, void *at, size_t len) {
    mappings--;
    return fails(CALL_MUNMAP) ? -1 : __real_munmap(at, len);
}
CALL(int, madvise, void *at, size_t len, int advice) {
    return fails(CALL_MADVISE) ? -1 : __real_madvise(at, len, advice);
}

CALL(int, msync, void *at, size_t len, int flags) {
    return fails(CALL_MSYNC) ? -1 : __real_msync(at, len, flags);
}

CALL(void *, malloc, size_t size) {
    void *p = fails(CALL_MALLOC) ? NULL : __real_malloc(size);
    allocations += p != NULL;
    return p;
}
CALL(void *, calloc, size_t n, size_t size) {
    void *p = fails(CALL_CALLOC) ? NULL : __real_calloc(n, size);
    allocations += p != NULL;
    return p;
}
CALL(void *, realloc, void *old, size_t size) {
    void *p = fails(CALL_REALLOC) ? NULL : __real_realloc(old, size);
    allocations += !old && p;
    return p;
}
CALL(void, free, void *p) {
    allocations -= p != NULL;
    __real_free(p);
}

/* --------------------------------------------------------------- the system, us */

CALL(ssize_t, getrandom, void *buf, size_t len, unsigned flags) {
    return fails(CALL_GETRANDOM) ? -1 : __real_getrandom(buf, len, flags);
}
CALL(int, getrlimit, int resource, struct rlimit *rl) {
    return fails(CALL_GETRLIMIT) ? -1 : __real_getrlimit(resource, rl);
}
CALL(int, sysinfo, struct sysinfo *si) { return fails(CALL_SYSINFO) ? -1 : __real_sysinfo(si); }
CALL(int, kill, pid_t pid, int sig) { return fails(CALL_KILL) ? -1 : __real_kill(pid, sig); }

/* These return the errno. */
CALL(int, pthread_atfork, void (*before)(void), void (*parent)(void), void (*child)(void)) {
    return fails(CALL_ATFORK) ? errno : __real_pthread_atfork(before, parent, child);
}
CALL(int, pthread_key_create, pthread_key_t *key, void (*destroy)(void *)) {
    return fails(CALL_KEY_CREATE) ? errno : __real_pthread_key_create(key, destroy);
}
CALL(int, pthread_setspecific, pthread_key_t key, const void *value) {
    return fails(CALL_SETSPECIFIC) ? errno : __real_pthread_setspecific(key, value);
}

static bool syscall_fails(long number, long second) {
    switch (number) {
    case SYS_gettid:
        return false;
    case SYS_futex:
        return fails(second == FUTEX_WAKE ? CALL_FUTEX_RING : CALL_FUTEX_SLEEP);
    case SYS_renameat2:
        if (missing & WORLD_NO_EXCHANGE) {
            errno = EINVAL;
            return true;
        }
        return fails(CALL_EXCHANGE);
    case SYS_membarrier:
        return fails(CALL_MEMBARRIER);
    case SYS_tgkill:
        return fails(CALL_TGKILL);
    }
    fprintf(stderr, "system call %ld: add it to calls.c\n", number);
    abort();
}

CALL(long, syscall, long number, ...) {
    long a[6];
    va_list args;
    va_start(args, number);
    /* More than was passed may be read: registers or stack, which nobody looks at. */
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    return syscall_fails(number, a[1]) ? -1
                                       : __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
