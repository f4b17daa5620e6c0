/*
 * From a name to a place. A plain name is an object in /dev/shm, as shm_open()
 * would have it; something that is plainly a path is a file. Anything between
 * the two ("/name", "a/b") is refused: guessing would create files where nobody
 * looks for them. Spec 5.1.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "internal.h"

#define SHM_DIR "/dev/shm"
#define TMPFS_MAGIC 0x01021994
#define NAME_LONGEST 254 /* NAME_MAX - 1, as POSIX systems accept with the slash */

static bool is_path(const char *name) {
    if (strncmp(name, "./", 2) == 0 || strncmp(name, "../", 3) == 0)
        return true;
    return name[0] == '/' && strchr(name + 1, '/') != NULL;
}

static int check_shm(void) {
    struct statfs fs;
    if (statfs(SHM_DIR, &fs) != 0)
        return fail(SHMKV_ENOSHM, "%s: %s", SHM_DIR, strerror(errno));
    if (fs.f_type != TMPFS_MAGIC)
        return fail(SHMKV_ENOSHM, "%s is not a tmpfs (file system type 0x%lx)", SHM_DIR,
                    (unsigned long)fs.f_type);
    return SHMKV_OK;
}

static int set_path(struct location *loc, const char *dir, const char *rest) {
    size_t n = strlen(dir) + 1 + strlen(rest) + 1;
    loc->path = malloc(n);
    loc->dir = malloc(n);
    if (!loc->path || !loc->dir)
        return fail(ENOMEM, "segment name");
    strcpy(loc->path, dir);
    strcat(loc->path, "/");
    strcat(loc->path, rest);
    char *slash = strrchr(loc->path, '/');
    size_t dir_len = (size_t)(slash - loc->path);
    memcpy(loc->dir, loc->path, dir_len);
    strcpy(loc->dir + dir_len, dir_len ? "" : "/");
    loc->entry = slash + 1;
    return SHMKV_OK;
}

static int find_file(const char *name, struct location *loc) {
    const char *entry = strrchr(name, '/') + 1;
    if (!*entry || strcmp(entry, ".") == 0 || strcmp(entry, "..") == 0 || strlen(entry) > NAME_MAX)
        return fail(SHMKV_ENAME, "path '%.100s' names no file", name);
    if (name[0] == '/')
        return set_path(loc, "", name + 1);
    /* Absolute from now on, so that a later chdir() does not lead elsewhere. */
    char cwd[PATH_MAX];
    if (!getcwd(cwd, sizeof cwd))
        return fail(errno, "working directory");
    return set_path(loc, strcmp(cwd, "/") == 0 ? "" : cwd, name);
}

static int find_shared_memory(const char *name, struct location *loc) {
    size_t len = strlen(name);
    if (len == 0 || len > NAME_LONGEST || strchr(name, '/') || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return fail(SHMKV_ENAME, "name '%.40s%s' (%zu bytes)", name, len > 40 ? "..." : "", len);
    if (strncmp(name, ".shmkv-", 7) == 0)
        return fail(SHMKV_ENAME, "name '%s': the prefix .shmkv- is kept for the store itself",
                    name);
    loc->shared_memory = true;
    int err = check_shm();
    return err ? err : set_path(loc, SHM_DIR, name);
}

int location_find(const char *name, struct location *loc) {
    memset(loc, 0, sizeof *loc);
    if (!name)
        return fail(SHMKV_ENAME, "no name given");
    int err = is_path(name) ? find_file(name, loc) : find_shared_memory(name, loc);
    if (err)
        location_free(loc);
    return err;
}

void location_free(struct location *loc) {
    free(loc->path);
    free(loc->dir);
    memset(loc, 0, sizeof *loc);
}
