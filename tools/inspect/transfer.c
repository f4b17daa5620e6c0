/*
 * export, import: a segment as a dump, and back. Spec 9.
 *
 * A file gets its name when the dump in it is whole and on disk: whoever finds it
 * finds all of it, and an older one stays until then. Progress is told only to
 * a terminal, by a thread that looks at the library's counter.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/inspect/inspect.h"
#include "tools/inspect/output.h"
#include "tools/inspect/segment.h"

/* ----------------------------------------------------------------------- progress */

enum { TELL_EVERY_MS = 500 };

struct progress {
    uint64_t entries; /* the library counts here */
    const char *verb;
    bool shown, done;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t finished;
};

static void *tell(void *arg) {
    struct progress *p = arg;
    struct timespec next;

    clock_gettime(CLOCK_REALTIME, &next);
    pthread_mutex_lock(&p->mutex);
    while (!p->done) {
        next.tv_nsec += TELL_EVERY_MS * 1000000L;
        next.tv_sec += next.tv_nsec / 1000000000L;
        next.tv_nsec %= 1000000000L;
        while (!p->done && pthread_cond_timedwait(&p->finished, &p->mutex, &next) != ETIMEDOUT)
            ;
        if (!p->done) {
            uint64_t n = __atomic_load_n(&p->entries, __ATOMIC_RELAXED);
            fprintf(stderr, "\r%llu entries %s", (unsigned long long)n, p->verb);
            fflush(stderr);
            p->shown = true;
        }
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* Nothing is told if no thread can be had: it is only a courtesy. */
static bool progress_begin(struct progress *p, const char *verb) {
    *p = (struct progress){
        .verb = verb, .mutex = PTHREAD_MUTEX_INITIALIZER, .finished = PTHREAD_COND_INITIALIZER};
    return isatty(STDERR_FILENO) && pthread_create(&p->thread, NULL, tell, p) == 0;
}

static void progress_end(struct progress *p, bool begun) {
    if (!begun)
        return;
    pthread_mutex_lock(&p->mutex);
    p->done = true;
    pthread_cond_signal(&p->finished);
    pthread_mutex_unlock(&p->mutex);
    pthread_join(p->thread, NULL);
    if (p->shown)
        fputs("\r\033[K", stderr);
}

/* -------------------------------------------------------------------------- files */

static int complain_of(const char *path, const char *what) {
    complain("%s '%s': %s", what, path, strerror(errno));
    return STATUS_SYSTEM;
}

/* No FILE, or "-": a standard stream, which must lead somewhere useful. */
static bool is_stream(const struct args *args) {
    return args->count < 2 || strcmp(args->operands[1], "-") == 0;
}

static int refuse_terminal(int fd) {
    if (!isatty(fd))
        return STATUS_OK;
    complain("a dump is not for a terminal: name a file, or redirect standard %s",
             fd == STDIN_FILENO ? "input" : "output");
    return STATUS_USAGE;
}

/* ------------------------------------------------------------------------- export */

static int dump_to(const struct args *args, shmkv_t *kv, int fd) {
    struct progress progress;

    bool begun = progress_begin(&progress, "written");
    int err = shmkv_dump(kv, fd, args->snapshot ? SHMKV_DUMP_SNAPSHOT : 0, &progress.entries);
    progress_end(&progress, begun);
    return err ? explain(args->operands[0], err) : STATUS_OK;
}

/* The name is on disk, too. */
static int sync_directory(const char *path) {
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int status = STATUS_OK;

    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0 || fsync(fd) != 0)
        status = complain_of(path, "the name may not be on disk");
    if (fd >= 0)
        close(fd);
    free(dir);
    return status;
}

/* The draft of a dump, while there is one. Who interrupts the program, or lets a limit end
 * it, does not want what there is of it; after a SIGKILL it stays. */
static char *volatile draft_to_remove;

static void remove_draft(int signal_number) {
    if (draft_to_remove)
        unlink(draft_to_remove);
    raise(signal_number); /* by its default now, as soon as we return */
}

static void remove_draft_when_ended(void) {
    static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGXCPU, SIGXFSZ};
    struct sigaction remove = {.sa_handler = remove_draft, .sa_flags = SA_RESETHAND}, before;

    sigemptyset(&remove.sa_mask);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (sigaction(ends[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(ends[i], &remove, NULL);
}

/* Under another name first. */
static int dump_to_new_file(const struct args *args, shmkv_t *kv, const char *path) {
    char *draft;

    if (asprintf(&draft, "%s.XXXXXX", path) < 0)
        return complain_of(path, "writing");
    remove_draft_when_ended();
    int fd = mkostemp(draft, O_CLOEXEC);
    if (fd < 0) {
        int status = complain_of(draft, "creating");
        free(draft);
        return status;
    }
    draft_to_remove = draft;
    int status = dump_to(args, kv, fd);
    if (status == STATUS_OK && fsync(fd) != 0)
        status = complain_of(draft, "writing");
    if (close(fd) != 0 && status == STATUS_OK)
        status = complain_of(draft, "writing");
    if (status == STATUS_OK && rename(draft, path) != 0)
        status = complain_of(path, "naming");
    if (status != STATUS_OK)
        unlink(draft);
    draft_to_remove = NULL; /* gone, or named */
    if (status == STATUS_OK)
        status = sync_directory(path);
    free(draft);
    return status;
}

/* A FIFO or a device stays what it is. */
static int dump_to_path(const struct args *args, shmkv_t *kv, const char *path) {
    struct stat st;

    if (stat(path, &st) != 0 || S_ISREG(st.st_mode))
        return dump_to_new_file(args, kv, path);
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return complain_of(path, "opening");
    int status = dump_to(args, kv, fd);
    close(fd);
    return status;
}

static int export_run(const struct args *args) {
    int status = is_stream(args) ? refuse_terminal(STDOUT_FILENO) : STATUS_OK;

    shmkv_t *kv = status == STATUS_OK ? open_or_complain(args->operands[0], &status) : NULL;
    if (!kv)
        return status;
    status = is_stream(args) ? dump_to(args, kv, STDOUT_FILENO)
                             : dump_to_path(args, kv, args->operands[1]);
    shmkv_close(kv);
    return status;
}

/* ------------------------------------------------------------------------- import */

static int load_from(const struct args *args, shmkv_t *kv, int fd) {
    unsigned flags = args->keep ? SHMKV_LOAD_KEEP : args->replace ? SHMKV_LOAD_REPLACE : 0;
    struct progress progress;

    bool begun = progress_begin(&progress, "read");
    int err = shmkv_load(kv, fd, flags, &progress.entries);
    progress_end(&progress, begun);
    if (!err)
        return STATUS_OK;
    int status = explain(args->operands[0], err);
    if (args->replace)
        complain("the segment is as it was");
    else
        complain("%llu entries were stored before that", (unsigned long long)progress.entries);
    return status;
}

static int import_run(const struct args *args) {
    int fd = STDIN_FILENO, status = STATUS_OK;

    if (args->keep && args->replace) {
        complain("--keep or --replace, not both");
        return STATUS_USAGE;
    }
    if (is_stream(args)) {
        status = refuse_terminal(fd);
    } else {
        fd = open(args->operands[1], O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
            status = complain_of(args->operands[1], "opening");
    }
    shmkv_t *kv = status == STATUS_OK ? open_writer(args, &status) : NULL;
    if (kv)
        status = load_from(args, kv, fd);
    int err = shmkv_close(kv);
    if (err && status == STATUS_OK)
        status = explain(args->operands[0], err);
    if (fd > STDERR_FILENO)
        close(fd);
    return status;
}

const struct command command_export = {
    .name = "export",
    .operands = "SEGMENT [FILE]",
    .least = 1,
    .most = 2,
    .options = "s",
    .summary = "Write all entries to a file or pipe, for import",
    .text = "Types and expiry go along, checksums throughout. Entries bound to a process, and "
            "expired\n"
            "ones, do not. FILE gets its name when the dump in it is whole and on disk; without "
            "FILE, or\n"
            "with -, standard output.\n",
    .run = export_run,
};

const struct command command_import = {
    .name = "import",
    .operands = "SEGMENT [FILE]",
    .least = 1,
    .most = 2,
    .options = "ckRut",
    .summary = "Store the entries of a dump that export wrote",
    .text = "They replace those of the same keys; with --keep, only what is absent is stored; with "
            "--replace,\n"
            "the segment comes to hold what the dump holds, all at once, if the dump is whole.\n"
            "Without FILE, or with -, standard input. Exit status 3: the dump is damaged; the "
            "message names\n"
            "the byte.\n",
    .run = import_run,
};
