/*
 * Linked into programs that measure coverage: writes the counters in time, where the C
 * library would not. Programs that know of crash points define the other function.
 */
#include <signal.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);
pid_t __wrap___gcov_fork(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
int __real_raise(int sig);
int __wrap_raise(int sig);
void shmkv_fault_point(const char *name);

void __wrap__exit(int status) {
    __gcov_dump();
    __real__exit(status);
}

/* gcov's own has the child forget all counts, what handlers of fork counted in it among them. */
pid_t __wrap___gcov_fork(void) {
    __gcov_dump();
    __gcov_reset();
    return fork();
}

int __wrap_raise(int sig) {
    if (sig == SIGKILL)
        __gcov_dump();
    return __real_raise(sig);
}

__attribute__((weak)) void shmkv_fault_point(const char *name) { (void)name; }
