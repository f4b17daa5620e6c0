/*
 * A child that runs one instruction at a time, and stands still after each that
 * changed a watched segment.
 *
 * What a killed process leaves to others is what it had stored to the segment (and
 * locks, which the kernel drops): so the states between two such instructions are
 * all alike, and looking at each state once is looking at every instruction.
 */
#ifndef SHMKV_TESTS_CRASH_STEPPING_H
#define SHMKV_TESTS_CRASH_STEPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WATCHED_MAX 4

struct stepping {
    pid_t pid;
    uint64_t steps, changes;
    int status; /* once it has ended */
    const char *path;
    unsigned entries; /* of the path's directory */
    ino_t at_path;    /* what is there; 0: nothing */
    struct watched {
        int fd;
        const uint8_t *now; /* the file, mapped */
        uint8_t *before;    /* as it was after the step before */
        size_t size;
    } watched[WATCHED_MAX]; /* each file that was seen at the path */
    unsigned watched_count;
};

/* Run @p body in a child, on the same processor as we; it stands still before its
 * first instruction, or, with @p skip, where it calls step_from_here(). What happens at @p path is watched: the file
 * there, and what takes its place. */
void step_begin(struct stepping *s, void (*body)(void), const char *path, bool skip);
void step_from_here(void);
/* On to the next change. False: the child has ended, with s->status. */
bool step_on(struct stepping *s);
/* End the child where it stands. */
void step_kill(struct stepping *s);
/* After step_on() returned false, or step_kill(): forget the files. */
void step_end(struct stepping *s);
bool step_succeeded(const struct stepping *s);

#endif
