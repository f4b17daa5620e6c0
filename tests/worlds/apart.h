/* Into namespaces of one's own. */
#ifndef SHMKV_TESTS_APART_H
#define SHMKV_TESTS_APART_H

#include <stdbool.h>

/* unshare(flags); where we are not root, in a user namespace of our own as well. False: the
 * system does not let us. */
bool apart(int flags);
/* After apart(CLONE_NEWNS): another file system at /proc, seen by us and our children only. */
bool proc_becomes(const char *type, const char *options);

#endif
