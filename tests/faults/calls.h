/*
 * Every call of the core into the system that can fail, made to fail on demand.
 *
 * The test's BUILD file links with --wrap for each of them, so what the linker
 * resolves to malloc is __wrap_malloc here: in the core's own objects, deterministic,
 * and without a dynamic linker to get past. A call of which there are several sorts
 * (open of a name, of /proc, of a nameless file; fcntl by command) counts as
 * several kinds. calls_test.sh compares the list with what the core really calls.
 *
 * Memory and mappings that the process has not given back are counted on the way.
 */
#ifndef SHMKV_TESTS_FAULTS_CALLS_H
#define SHMKV_TESTS_FAULTS_CALLS_H

#include <errno.h>
#include <stdbool.h>

/* X(constant, name, results): the errno values it may fail with. They are what the
 * manual pages and file systems have; ONCE is for what cannot go on and on. */
#define CALL_KINDS(X)                                                                       \
    X(OPEN, "open", EMFILE, ENFILE, EACCES, ENOMEM, EINTR, ENOENT | ONCE)                   \
    X(OPEN_PROC, "open in /proc", EMFILE, EACCES, ENOMEM, ENOENT)                           \
    X(OPEN_TMPFILE, "open nameless", EMFILE, ENOSPC, EDQUOT, EACCES, EOPNOTSUPP, EINVAL)    \
    X(OPEN_CREATE, "open creating", EMFILE, ENOSPC, EEXIST | ONCE, EACCES)                  \
    X(CLOSE, "close", EINTR, EIO)                                                           \
    X(DUP, "fcntl F_DUPFD", EMFILE)                                                         \
    X(LOCK, "fcntl F_OFD_SETLK", EAGAIN, ENOLCK, EINVAL, EINTR | ONCE)                      \
    X(UNLOCK, "fcntl F_OFD_SETLK to unlock", ENOLCK, EINTR | ONCE)                          \
    X(GETLK, "fcntl F_OFD_GETLK", ENOLCK, EINVAL, EINTR | ONCE)                             \
    X(MMAP, "mmap", ENOMEM, EAGAIN, EPERM)                                                  \
    X(MUNMAP, "munmap", ENOMEM)                                                             \
    X(MADVISE, "madvise", EINVAL, EAGAIN)                                                   \
    X(FALLOCATE, "fallocate", ENOSPC, EDQUOT, EFBIG, EIO, ENOMEM, EOPNOTSUPP, EINTR | ONCE) \
    X(PUNCH, "fallocate to punch", EOPNOTSUPP)                                              \
    X(FCHMOD, "fchmod", EPERM, EIO)                                                         \
    X(FSYNC, "fsync", EIO, ENOSPC, EDQUOT, EINTR | ONCE)                                    \
    X(MSYNC, "msync", EIO, ENOMEM)                                                          \
    X(FSTAT, "fstat", EIO, ENOMEM, EBADF)                                                   \
    X(LSTAT, "lstat", EACCES | ONCE, ENOMEM | ONCE)                                         \
    X(STAT, "stat", ENOENT, EACCES, ENOMEM)                                                 \
    X(STATFS, "statfs", EIO, ENOENT)                                                        \
    X(FSTATFS, "fstatfs", EIO, ENOSYS)                                                      \
    X(PREAD, "pread", EIO, EINTR)                                                           \
    X(READ, "read", EIO, EINTR)                                                             \
    X(READ_DUMP, "read of a dump", EIO, EINTR | ONCE, EAGAIN | ONCE, SHORT | ONCE)          \
    X(WRITE, "write", EIO, ENOSPC, EDQUOT, EPIPE, EINTR | ONCE, EAGAIN | ONCE, SHORT | ONCE) \
    X(PWRITE, "pwrite", EIO, ENOSPC, EDQUOT, EINTR | ONCE, SHORT | ONCE)                    \
    X(OPENDIR, "opendir", EMFILE, ENOMEM, EACCES, ENOENT)                                   \
    X(READDIR, "readdir", EIO, ENOENT)                                                      \
    X(CLOSEDIR, "closedir", EINTR)                                                          \
    X(READLINK, "readlink", ENOENT, EACCES, ENOMEM)                                         \
    X(LINKAT, "linkat", ENOSPC, EDQUOT, EACCES, EPERM, ENOENT, EEXIST | ONCE)               \
    X(RENAME, "rename", ENOSPC, EACCES, EIO)                                                \
    X(UNLINK, "unlink", EACCES, EIO, ENOENT | ONCE)                                         \
    X(GETCWD, "getcwd", ENOENT, EACCES)                                                     \
    X(GETRANDOM, "getrandom", ENOSYS, EPERM, EINTR | ONCE)                                  \
    X(GETRLIMIT, "getrlimit", EINVAL)                                                       \
    X(SYSINFO, "sysinfo", EFAULT)                                                           \
    X(KILL, "kill", EPERM)                                                                  \
    X(MALLOC, "malloc", ENOMEM)                                                             \
    X(CALLOC, "calloc", ENOMEM)                                                             \
    X(REALLOC, "realloc", ENOMEM)                                                           \
    X(ATFORK, "pthread_atfork", ENOMEM)                                                     \
    X(KEY_CREATE, "pthread_key_create", EAGAIN, ENOMEM)                                     \
    X(SETSPECIFIC, "pthread_setspecific", ENOMEM)                                           \
    X(FUTEX_SLEEP, "futex FUTEX_WAIT", EINTR, EAGAIN, ENOSYS, ETIMEDOUT)                    \
    X(FUTEX_RING, "futex FUTEX_WAKE", ENOSYS, EFAULT)                                       \
    X(EXCHANGE, "renameat2", EINVAL, ENOSYS, EACCES, EIO, ENOSPC, ENOENT | ONCE)            \
    X(MEMBARRIER, "membarrier", ENOSYS, EPERM)                                              \
    X(TGKILL, "tgkill", EPERM, EAGAIN)

#define ONCE 0x10000  /* not again and again */
#define SHORT 0x20000 /* no error: one byte is transferred */

enum call {
#define X(constant, ...) CALL_##constant,
    CALL_KINDS(X)
#undef X
        CALL_KIND_COUNT
};

#define MOST_ERRNOS 8
struct call_kind {
    const char *name;
    int errnos[MOST_ERRNOS]; /* with ONCE and SHORT; 0 ends them */
};
extern const struct call_kind call_kinds[CALL_KIND_COUNT];

/* What this system does not have, from now on. */
enum { WORLD_NO_TMPFILE = 1, WORLD_NO_EXCHANGE = 2 };
void calls_world(unsigned without);

/* From here on the @p nth call of the kind fails with @p err; with @p onwards every
 * later one too. */
void calls_fail(enum call kind, unsigned nth, int err, bool onwards);
/* Nothing fails any more; how many did? */
unsigned calls_mend(void);

/* What the program has and did not give back. Where munmap was made to fail, the
 * mapping is forgiven. */
long calls_allocations(void);
long calls_mappings(void);

#endif
