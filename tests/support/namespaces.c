#include "tests/support/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static void write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* what it was for will fail */
    if (write(fd, text, strlen(text)) < 0)
        perror(path);
    close(fd);
}

bool apart(int flags) {
    char map[2][32];
    snprintf(map[0], sizeof map[0], "0 %u 1", geteuid());
    snprintf(map[1], sizeof map[1], "0 %u 1", getegid());
    if (unshare(flags) == 0)
        return true;
    if (unshare(CLONE_NEWUSER) != 0)
        return false;
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", map[0]);
    write_text("/proc/self/gid_map", map[1]);
    return unshare(flags) == 0;
}

/* In a root made by chroot(2), "/" is no mount point; what is mounted at @p where is one. */
static bool made_private(const char *where) {
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 ||
           (errno == EINVAL && mount(NULL, where, NULL, MS_PRIVATE, NULL) == 0);
}

bool mounted_apart(const char *where, const char *type, const char *options) {
    return made_private(where) && mount("none", where, type, 0, options) == 0;
}

int skipped(const char *why) {
    printf("SKIPPED: %s\n", why);
    return getenv("SHMKV_MUTANT") ? 77 : 0;
}
