#include "tests/bench/stores/flat_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define LINE 64

static size_t entry_size(size_t value_size) {
    size_t size = KEY_SIZE + ((value_size + 7) & ~(size_t)7);
    return size > LINE / 2 ? (size + LINE - 1) / LINE * LINE : size;
}

bool table_map(struct table *t, const struct store_setup *setup, bool fresh) {
    t->value_size = setup->value_size;
    t->entry_size = entry_size(setup->value_size);
    t->capacity = setup->keys * 2;
    t->size = TABLE_HEAD + t->capacity * t->entry_size;
    int fd = open(setup->path, O_RDWR | O_CLOEXEC | (fresh ? O_CREAT | O_EXCL : 0), 0600);
    if (fd < 0)
        return false;
    void *p = MAP_FAILED;
    /* fallocate: a full file system is an error here and not a SIGBUS later. */
    if (!fresh || fallocate(fd, 0, 0, (off_t)t->size) == 0)
        p = mmap(NULL, t->size, PROT_READ | PROT_WRITE,
                 MAP_SHARED | (setup->touch ? MAP_POPULATE : 0), fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return false;
    t->base = p;
    t->entries = t->base + TABLE_HEAD;
    return true;
}

void table_unmap(struct table *t) { munmap(t->base, t->size); }
