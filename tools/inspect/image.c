/*
 * A segment as a file, for commands that show bytes whatever they say: the library
 * would refuse a damaged segment before anybody could look at it.
 *
 * Read with pread, not mapped: a file that shrinks meanwhile gives a short read and
 * not SIGBUS, and looking at a hole of a file in /dev/shm does not fill it.
 */
#include "tools/inspect/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/inspect/inspect.h"
#include "tools/inspect/output.h"

/* The library's rule: a plain name is an object in /dev/shm, and what is plainly a
 * path is a file. */
static bool is_path(const char *name) {
    if (strncmp(name, "./", 2) == 0 || strncmp(name, "../", 3) == 0)
        return true;
    return name[0] == '/' && strchr(name + 1, '/') != NULL;
}

/* What a file may be called. */
static bool is_entry(const char *name, size_t longest) {
    size_t len = strlen(name);

    return len > 0 && len <= longest && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* The path of @p segment; false if it is not a name. */
static bool path_of(const char *segment, char *path, size_t room) {
    bool in_file = is_path(segment);
    const char *dir = in_file ? "" : "/dev/shm/";

    if (!is_entry(in_file ? strrchr(segment, '/') + 1 : segment, in_file ? NAME_MAX : NAME_MAX - 1))
        return false;
    int len = snprintf(path, room, "%s%s", dir, segment);
    return len > 0 && (size_t)len < room;
}

static int system_error(const char *segment, int err) {
    complain("'%s': %s", segment, strerror(err));
    return err == ENOENT ? STATUS_NO : STATUS_SYSTEM;
}

/* Not before it is known to be a regular file: opening a device may do things. */
static int open_regular(const char *segment, const char *path, struct image *image) {
    struct stat st;

    if (lstat(path, &st) != 0)
        return system_error(segment, errno);
    if (S_ISREG(st.st_mode)) {
        image->fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (image->fd < 0 || fstat(image->fd, &st) != 0)
            return system_error(segment, errno);
    }
    if (!S_ISREG(st.st_mode)) {
        complain("'%s' is not a regular file", segment);
        return STATUS_DAMAGED;
    }
    image->size = (uint64_t)st.st_size;
    return STATUS_OK;
}

int image_open(const char *segment, struct image *image) {
    char path[4096];

    *image = (struct image){.name = segment, .fd = -1};
    if (!path_of(segment, path, sizeof path)) {
        complain("'%s': %s", segment, shmkv_strerror(SHMKV_ENAME));
        return STATUS_USAGE;
    }
    return open_regular(segment, path, image);
}

void image_close(struct image *image) {
    if (image->fd >= 0)
        close(image->fd);
    image->fd = -1;
}

bool image_read(const struct image *image, uint64_t offset, void *buf, size_t len) {
    char *p = buf;

    if (offset > image->size || len > image->size - offset)
        return false;
    while (len > 0) {
        ssize_t got = pread(image->fd, p, len, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        offset += (uint64_t)got;
        len -= (size_t)got;
    }
    return true;
}

uint64_t image_data(const struct image *image, uint64_t offset) {
    off_t data = lseek(image->fd, (off_t)offset, SEEK_DATA);

    if (data >= 0)
        return (uint64_t)data;
    return errno == ENXIO ? image->size : offset;
}
