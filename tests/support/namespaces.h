/*
 * Namespaces of a test's own, as root or, where users may make them, in a user
 * namespace in which we are root. And what a test says that cannot be made here.
 */
#ifndef SHMKV_TESTS_NAMESPACES_H
#define SHMKV_TESTS_NAMESPACES_H

#include <stdbool.h>

/* unshare(2) with these flags. False: the system does not let us. */
bool apart(int flags);

/* After apart(CLONE_NEWNS): another file system of @p type at @p where, a mount point,
 * seen by us and our children only. */
bool mounted_apart(const char *where, const char *type, const char *options);

/* What main() returns where the system does not let the test be made: 0, after a line
 * that says SKIPPED, as Bazel has no such result; or 77 to must_fail.sh, which must not
 * take it for a test that passed in spite of its mutant. */
int skipped(const char *why);

#endif
