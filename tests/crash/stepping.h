/*
 * A child that stands still after each instruction that changed a watched segment.
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

/* One state, told so that another child that does the same can be run there at full speed: by so
 * many system calls, and then, unless the last of them made it, so many changes of a word of the
 * file. */
struct state {
    uint64_t syscalls;
    uint64_t word;  /* its number, or MADE_BY_SYSCALL */
    uint32_t nth;   /* change of the word since the last system call */
    uint64_t print; /* of the files then: a wrong guess is noticed */
};
#define MADE_BY_SYSCALL UINT64_MAX

/* Zero-initialise. */
struct trace {
    struct state *states;
    uint64_t count;
};

#define MAPPINGS_MAX 8

struct stepping {
    pid_t pid;
    uint64_t steps;   /* stores to what it maps for writing; elsewhere than on x86-64, instructions */
    uint64_t changes; /* states that were seen */
    uint64_t syscalls;
    bool in_syscall;
    struct {
        uintptr_t from, to;
    } mappings[MAPPINGS_MAX]; /* of the child's, for writing */
    unsigned mapping_count;
    struct state state;  /* the last */
    struct trace *trace; /* if set, by whoever steps: where each state is noted */
    int status;          /* once it has ended */
    const char *path;
    unsigned entries; /* of the path's directory */
    ino_t at_path;    /* what is there; 0: nothing */
    struct watched {
        int fd;
        const uint8_t *now; /* the file, mapped */
        uint8_t *before;    /* as it was after the step before */
        uint16_t *times;    /* each word has changed since the last system call */
        size_t size;
        uint64_t print;     /* of which words are not 0 */
    } watched[WATCHED_MAX]; /* each file that was seen at the path */
    unsigned watched_count;
};

/* Run @p body in a child, on the same processor as we; it stands still before its first
 * instruction. What happens at @p path is watched: the file there, and what takes its place. */
void step_begin(struct stepping *s, void (*body)(void), const char *path);
/* On to the next change. False: the child has ended, with s->status. */
bool step_on(struct stepping *s);
/* Without looking on the way, to where @p trace says that an earlier child was after its n-th
 * change. False: the child ended before. */
bool step_to(struct stepping *s, const struct trace *trace, uint64_t n);
void trace_free(struct trace *trace);
/* End the child where it stands. */
void step_kill(struct stepping *s);
/* After step_on() returned false, or step_kill(): forget the files. */
void step_end(struct stepping *s);
bool step_succeeded(const struct stepping *s);

#endif
