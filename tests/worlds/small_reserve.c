/*
 * shmkv_open() with a small reserve, for qemu: linked with -Wl,--wrap=shmkv_open.
 *
 * qemu-user keeps a note of each page of the guest's address space, and takes seconds over a mapping of 32 GiB.
 * A test that asks for a reserve gets what it asks for.
 */
#include <shmkv/shmkv.h>

#define SMALL (256u << 20)

int __real_shmkv_open(const char *name, const struct shmkv_options *opts, shmkv_t **out);
int __wrap_shmkv_open(const char *name, const struct shmkv_options *opts, shmkv_t **out);

int __wrap_shmkv_open(const char *name, const struct shmkv_options *opts, shmkv_t **out) {
    struct shmkv_options small = {.size = sizeof small};
    if (opts && opts->size != sizeof small) /* refused, and to be refused */
        return __real_shmkv_open(name, opts, out);
    if (opts)
        small = *opts;
    if (!small.reserve)
        small.reserve = SMALL;
    return __real_shmkv_open(name, &small, out);
}
