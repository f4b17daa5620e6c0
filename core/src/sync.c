/*
 * What outlives the machine. Spec 5.9.
 *
 * A segment in a regular file is on disk page by page, as the kernel sees fit.
 * shmkv_sync() waits until all of it is there, and its name. Killed processes need
 * none of this: the kernel has what they stored.
 *
 * After a reboot nobody lives who held a lock, and the usual repair would do, if
 * only the pages are those of one moment. After an orderly shutdown they are. After
 * a power failure some may be older than others, and no intent tells which. So the
 * first writer under a new boot id verifies before it trusts. A flag for
 * "closed and synchronised" would spare that, and cost a store in the write path or
 * a count of writers that survives their deaths; verifying
 * a million entries takes a third of a second, once after each start of the machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

/* ------------------------------------------------------------------------- sync */

static int sync_descriptor(int fd) {
    int r;
    do
        r = fsync(fd);
    while (r != 0 && errno == EINTR);
    return r == 0 ? 0 : errno;
}

/* The pages that were stored to through any mapping, and the file's size. POSIX
 * promises the first of msync, the second of fsync. */
static int sync_file(struct segment *seg) {
    segment_covers(seg, seg->reserve); /* looks at the size again */
    uint64_t size = load_relaxed_u64(&seg->safe_limit);
    if (msync(seg->base, size, MS_SYNC) != 0)
        return fail(errno, "writing %s to disk", seg->loc->path);
    int err = sync_descriptor(seg->fd);
    return err ? fail(err, "writing %s to disk", seg->loc->path) : SHMKV_OK;
}

/* The name, which is in the directory and not in the file. */
static int sync_name(const struct location *loc) {
    int fd = fd_above_standard(open(loc->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0)
        return fail(errno, "opening %s, to write the name of a segment to disk", loc->dir);
    int err = sync_descriptor(fd);
    close(fd);
    return err ? fail(err, "writing the names in %s to disk", loc->dir) : SHMKV_OK;
}

int shmkv_sync(shmkv_t *kv) {
    struct segment *seg;
    int err = handle_enter(kv, &seg);
    if (err)
        return err;
    int cancel = cancel_off();
    err = sync_file(seg);
    if (!err && !seg->loc->shared_memory)
        err = sync_name(seg->loc);
    cancel_restore(cancel);
    handle_leave();
    return err;
}

/* ------------------------------------------------------------------------ reboot */

uint64_t boot_word(void) {
    uint8_t id[16];
    return boot_id_read(id) == 0 ? hash_bytes(id, sizeof id, 0) : 0;
}

/* A living writer has the segment in use: under this kernel, whatever its boot id
 * looks like from another container. */
static bool somebody_writes(struct segment *seg) {
    for (uint32_t i = 0; i < seg->owner_count; i++)
        if (owner_liveness(seg, i) == SHMKV_ALIVE)
            return true;
    return false;
}

/* What verifying found first. */
struct finding {
    uint64_t offset;
    char text[128];
};

static void note_first(void *arg, uint64_t offset, const char *text) {
    struct finding *first = arg;
    if (first->text[0])
        return;
    first->offset = offset;
    snprintf(first->text, sizeof first->text, "%s", text);
}

static int verify_after_reboot(struct segment *seg) {
    struct finding first = {0};
    uint64_t problems;
    int err = segment_verify(seg, note_first, &first, &problems);
    if (err != SHMKV_ECORRUPT)
        return err;
    return fail(err,
                "%s did not come through the machine's last stop in one piece: %llu problem%s, "
                "first at 0x%llx: %s",
                seg->loc->path, (unsigned long long)problems, problems == 1 ? "" : "s",
                (unsigned long long)first.offset, first.text);
}

/* [LIFE-22] Before anything is stored to the segment. Others may do the same at the
 * same time: all come to the same verdict, or find that one was faster. */
int segment_check_boot(struct segment *seg) {
    uint64_t *word = &seg->hdr->boot, now = boot_word(), known = load_acquire_u64(word);
    if (now == 0 || known == now)
        return SHMKV_OK;
    if (known != 0 && !somebody_writes(seg)) {
        int err = verify_after_reboot(seg);
        if (err == SHMKV_EBUSY && (load_acquire_u64(word) == now || somebody_writes(seg)))
            err = SHMKV_OK;
        if (err)
            return err;
    }
    store_release_u64(word, now);
    return SHMKV_OK;
}
