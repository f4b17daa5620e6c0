/*
 * The segment as a whole: frozen, on disk, out as a dump and in again. All of these
 * may take long, so the interpreter's lock is given up; a close() by another thread
 * meanwhile takes effect when they return. So do signals and interrupts: a dump that
 * waits for the reader of a pipe is not disturbed by them.
 *
 *   const char *PATH   a file by its name. A dump gets the name when it is whole and
 *                      on disk; until then an older file of that name stays. A FIFO
 *                      or a device is written to as it is.
 *   int FD             an open file, pipe or socket, from where it stands; who opened
 *                      it has flushed what it holds back, and closes it
 */
NO_NUL_TYPEMAPS(PATH, SHMKV_EARGUMENT, "path", PLACE(arg1, NULL, 0))

%typemap(in) int FD {
    uint64_t number;

    if (number_in_range(PLACE(arg1, NULL, 0), "the descriptor of a file", INT_MAX, $input, &number))
        SWIG_fail;
    $1 = (int)number;
}

%{
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------- without the lock */

struct transfer {
    shmkv_t *kv;
    const char *path; /* or NULL: fd */
    int fd;
    unsigned flags;
    uint64_t entries;
    int err;
};

/* Note which file it was about. */
static int file_error(const char *what, const char *path)
{
    int err = errno;

    return refuse(err, "%s '%.512s': %s", what, path, strerror(err));
}

/* A FIFO may keep it waiting for the other end, and a signal is no reason to give up. */
static int open_file(const char *path, int flags)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int dump_to(struct transfer *job, int fd)
{
    return shmkv_dump(job->kv, fd, job->flags, &job->entries);
}

/* The name, too, is on disk. */
static int sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd, err = 0;

    if (!directory)
        return ENOMEM;
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        err = file_error("the name may not be on disk:", path);
    if (fd >= 0)
        close(fd);
    free(directory);
    return err;
}

/* `draft` is a name beside the path, and becomes one nobody else has. */
static int dump_to_draft(struct transfer *job, char *draft)
{
    int err, fd = mkostemp(draft, O_CLOEXEC);

    if (fd < 0)
        return file_error("creating", draft);
    err = dump_to(job, fd);
    if (!err && fsync(fd))
        err = file_error("writing", draft);
    if (close(fd) && !err)
        err = file_error("writing", draft);
    if (!err && rename(draft, job->path))
        err = file_error("naming", job->path);
    if (err)
        unlink(draft);
    return err ? err : sync_directory(job->path);
}

static int dump_to_new_file(struct transfer *job)
{
    char *draft;
    int err;

    if (asprintf(&draft, "%s.XXXXXX", job->path) < 0)
        return ENOMEM;
    err = dump_to_draft(job, draft);
    free(draft);
    return err;
}

static void dump_segment(void *argument)
{
    struct transfer *job = argument;
    struct stat st;
    int fd;

    if (!job->path) {
        job->err = dump_to(job, job->fd);
    } else if (stat(job->path, &st) || S_ISREG(st.st_mode)) {
        job->err = dump_to_new_file(job);
    } else {
        fd = open_file(job->path, O_WRONLY);
        job->err = fd < 0 ? file_error("opening", job->path) : dump_to(job, fd);
        if (fd >= 0)
            close(fd);
    }
}

static void load_segment(void *argument)
{
    struct transfer *job = argument;
    int fd = job->path ? open_file(job->path, O_RDONLY) : job->fd;

    job->err = fd < 0 && job->path ? file_error("opening", job->path)
                                   : shmkv_load(job->kv, fd, job->flags, &job->entries);
    if (job->path && fd >= 0)
        close(fd);
}

static void freeze_segment(void *argument)
{
    struct transfer *job = argument;

    job->err = shmkv_freeze(job->kv);
}

static void sync_segment(void *argument)
{
    struct transfer *job = argument;

    job->err = shmkv_sync(job->kv);
}

/* ---------------------------------------------------------------- methods */

/* What is said of a file says of which segment, too. */
static int told_of(const Store *self, int err)
{
    const char *detail = error_detail(err);

    return strstr(detail, self->name) ? err : refuse_at(PLACE(self, NULL, 0), err, "%s", detail);
}

/* Not 0: raised. */
static int run_transfer(Store *self, void (*work)(void *), struct transfer *job)
{
    if (!IS_OPEN(self))
        return raise_closed(self);
    call_unlocked(self, &job->kv, work, job);
    if (job->err)
        raise_error(told_of(self, job->err));
    return job->err;
}

static native_t transferred(Store *self, void (*work)(void *), struct transfer *job)
{
    return run_transfer(self, work, job) ? NO_OBJECT : number_new(job->entries);
}

static native_t Store_dump_path(Store *self, const char *PATH, unsigned flags)
{
    struct transfer job = {.path = PATH, .flags = flags};

    return transferred(self, dump_segment, &job);
}

static native_t Store_dump_fd(Store *self, int FD, unsigned flags)
{
    struct transfer job = {.fd = FD, .flags = flags};

    return transferred(self, dump_segment, &job);
}

static native_t Store_load_path(Store *self, const char *PATH, unsigned flags)
{
    struct transfer job = {.path = PATH, .flags = flags};

    return transferred(self, load_segment, &job);
}

static native_t Store_load_fd(Store *self, int FD, unsigned flags)
{
    struct transfer job = {.fd = FD, .flags = flags};

    return transferred(self, load_segment, &job);
}

static done_t Store_freeze(Store *self)
{
    struct transfer job = {.kv = NULL};

    return run_transfer(self, freeze_segment, &job);
}

static done_t Store_sync(Store *self)
{
    struct transfer job = {.kv = NULL};

    return run_transfer(self, sync_segment, &job);
}
%}
