/*
 * list: every segment in /dev/shm, or in a directory of files.
 *
 * The directory may hold anything, put there by anybody: names with control
 * characters, symbolic links, FIFOs, devices, files of gigabytes. So only regular
 * files are opened, the library opens them without following links and without
 * waiting, and a file that is not a segment is nobody's business here.
 *
 * Files whose name begins with ".shmkv-" are there while a process creates or
 * replaces a segment, and stay when it dies in the middle. They are shown, as they
 * take memory, whatever they hold.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/inspect/inspect.h"
#include "tools/inspect/output.h"
#include "tools/inspect/segment.h"

static const char default_dir[] = "/dev/shm";
static const char leftover_prefix[] = ".shmkv-";

/* One file of the directory and what the library says about it. */
struct found {
    const char *name;
    struct stat st;
    int err; /* of opening it */
    bool leftover;
    uint64_t entries;
    struct shmkv_info info;
};

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_entry(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* Ask the library. By path, as the names of leftovers are not for programs. */
static int examine(const char *dir, struct found *found) {
    const char *here = strchr(dir, '/') ? "" : "./"; /* a bare word is no path */
    char *path;
    shmkv_t *kv;

    if (asprintf(&path, "%s%s/%s", here, dir, found->name) < 0)
        return ENOMEM;
    int err = open_reader(path, &kv);
    free(path);
    if (err)
        return err;
    found->info.size = sizeof found->info;
    err = shmkv_info(kv, &found->info);
    if (!err)
        err = shmkv_count(kv, &found->entries);
    shmkv_close(kv);
    return err;
}

static const char *state_of(const struct found *found) {
    if (found->leftover)
        return "leftover";
    switch (found->err) {
    case SHMKV_OK:
        return "ok";
    case SHMKV_ECORRUPT:
        return "damaged";
    case SHMKV_EFORMAT:
        return "newer";
    case SHMKV_EFOREIGN:
        return "foreign";
    case SHMKV_EBUSY:
    case SHMKV_ESTALE:
        return "busy";
    case EACCES:
    case EPERM:
        return "denied";
    default:
        return "error";
    }
}

static void print_found(struct report *report, const struct found *found) {
    row_begin(report);
    field_text(report, "name", found->name);
    field_text(report, "state", state_of(found));
    if (found->err == SHMKV_OK)
        field_number(report, "entries", found->entries);
    else
        field_absent(report, "entries");
    field_number(report, "size", (uint64_t)found->st.st_size);
    field_number(report, "allocated", (uint64_t)found->st.st_blocks * 512);
    field_number(report, "uid", found->st.st_uid);
    field_octal(report, "permissions", found->st.st_mode & 07777);
    field_time(report, "created", found->err == SHMKV_OK ? found->info.created_ns : 0);
    row_end(report);
}

/* Should a file of this kind be shown? Something that cannot be read may be a segment. */
static bool is_shown(const struct found *found, bool all) {
    if (all || found->leftover || found->err == SHMKV_OK)
        return true;
    return found->err != SHMKV_EFOREIGN && found->err != EACCES && found->err != EPERM;
}

/* Examine and print one file. Returns true if it was left out for want of permission. */
static bool list_file(struct report *report, const char *dir, int dir_fd, const char *name,
                      bool all) {
    struct found found = {.name = name};

    /* Gone again, or no regular file: nothing to open. */
    if (fstatat(dir_fd, name, &found.st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(found.st.st_mode))
        return false;
    found.leftover = strncmp(name, leftover_prefix, strlen(leftover_prefix)) == 0;
    found.err = examine(dir, &found);
    if (found.err == SHMKV_ENOSEGMENT) /* gone since */
        return false;
    if (is_shown(&found, all)) {
        print_found(report, &found);
        return false;
    }
    return found.err == EACCES || found.err == EPERM;
}

static int list_run(const struct args *args) {
    const char *dir = args->dir ? args->dir : default_dir;
    struct dirent **names = NULL;
    struct report report;
    unsigned denied = 0;

    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int count = dir_fd < 0 ? -1 : scandirat(dir_fd, ".", &names, is_entry, by_name);
    if (count < 0) {
        complain("%s: %s", dir, strerror(errno));
        if (dir_fd >= 0)
            close(dir_fd);
        return STATUS_SYSTEM;
    }
    report_open(&report, args->json ? REPORT_JSON : REPORT_TABLE, false,
                "name\tstate\tentries\tsize\tallocated\tuid\tpermissions\tcreated");
    for (int i = 0; i < count; i++) {
        denied += list_file(&report, dir, dir_fd, names[i]->d_name, args->all);
        free(names[i]);
    }
    free(names);
    close(dir_fd);
    if (denied > 0) {
        fflush(stdout);
        complain("%u file%s may not be read by you and may be segments; --all shows them", denied,
                 denied == 1 ? "" : "s");
    }
    return STATUS_OK;
}

const struct command command_list = {
    .name = "list",
    .operands = "",
    .least = 0,
    .most = 0,
    .options = "jad",
    .summary = "List the segments in shared memory",
    .text =
        "State is one of: ok; damaged; newer (made by a newer version of shmkv); leftover (of a\n"
        "process that creates or replaces a segment, or died at it: then nobody needs it); busy;\n"
        "error.\n"
        "Other files are left out, unless --all is given: foreign (no segment), denied (may not\n"
        "be read by you).\n",
    .run = list_run,
};
