/* What a reader of numbers should know of the machine. */
#ifndef SHMKV_TESTS_BENCH_MACHINE_H
#define SHMKV_TESTS_BENCH_MACHINE_H

struct machine {
    char processor[128], kernel[65];
    long processors;
    double memory_gib;
    double load;         /* how many programs wanted a processor in the minute before */
    char huge_pages[32]; /* of the kernel for shared memory: the same for all stores */
    const char *compiler;
};

void machine_look(struct machine *m);

#endif
