/*
 * Mutated segments: open, read, walk, verify, report, write; nothing may crash,
 * read out of bounds, or take long.
 *
 * A case is an image (a vector, or one made here) and a few mutations of it, both
 * drawn from the seed and the case's number: bits flipped, words replaced by
 * others of the image, by offsets just inside or outside it, by lengths and counts
 * that are too large; links swapped; intents made up that store anywhere; locks
 * that name anybody. The header is sealed again, so that what lies behind the
 * checksum is reached. Then everything the library has is done to the segment,
 * read-only and writable.
 *
 * Every mapping of a segment stands between two PROT_NONE regions (the linker puts
 * mmap below in the place of the C library's). A worker process runs the cases; its
 * death, or more than 100 ms of CPU time in one case, is a violation. The case is
 * then repeated with fewer mutations, as long as it fails, and told.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/src/hash.h"
#include "tests/support/support.h"

#define MAX_IMAGES 128
#define MAX_MUTATIONS 48
#define MAX_KEYS 8
#define WINDOW (8u << 20) /* of the file that we look at */
#define CASE_LIMIT_NS 100000000u
#define HANG_S 1
#define GUARD (64u << 20)

/* ------------------------------------------------------------ mappings between guards */

void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
int __real_munmap(void *at, size_t len);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
int __wrap_munmap(void *at, size_t len);

static struct {
    uint8_t *at;
    size_t len;
} guarded[16];

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off) {
    if (fd < 0 || at)
        return __real_mmap(at, len, prot, flags, fd, off);
    size_t whole = round_up(len, SHMKV_PAGE_SIZE) + 2 * (size_t)GUARD;
    uint8_t *room =
        __real_mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return room;
    void *p = __real_mmap(room + GUARD, len, prot, flags | MAP_FIXED, fd, off);
    for (int i = 0; p != MAP_FAILED && i < 16; i++)
        if (!guarded[i].at) {
            guarded[i].at = p;
            guarded[i].len = whole;
            return p;
        }
    __real_munmap(room, whole);
    errno = ENOMEM;
    return MAP_FAILED;
}

int __wrap_munmap(void *at, size_t len) {
    for (int i = 0; i < 16; i++)
        if (guarded[i].at == at) {
            guarded[i].at = NULL;
            return __real_munmap((uint8_t *)at - GUARD, guarded[i].len);
        }
    return __real_munmap(at, len);
}

/* The images made here are to be the same in every run: their seeds too. */
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);
ssize_t __real_getrandom(void *buf, size_t len, unsigned flags);
static bool making_images;
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags) {
    static struct random r = {1};
    if (!making_images)
        return __real_getrandom(buf, len, flags);
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)random_next(&r);
    return (ssize_t)len;
}

/* ----------------------------------------------------------------------------- images */

struct image {
    const char *name;
    uint8_t *bytes;
    uint64_t size;
    uint32_t *hot; /* offsets of words that are not zero */
    unsigned hot_count;
    struct {
        uint8_t bytes[64];
        size_t len;
    } keys[MAX_KEYS];
    unsigned key_count;
};

static struct image images[MAX_IMAGES];
static unsigned image_count;
static const char *path; /* of the segment that the cases use */
static uint8_t *file;    /* it, mapped */
static int file_fd = -1;

static _Noreturn void give_up(const char *what) {
    fprintf(stderr, "mutate: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void file_make(void) {
    unlink(path);
    if (file_fd >= 0) {
        close(file_fd);
        __real_munmap(file, WINDOW);
    }
    file_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    file = __real_mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, file_fd, 0);
    if (file_fd < 0 || file == MAP_FAILED)
        give_up(path);
}

static void note_keys(struct image *im, const char *at) {
    shmkv_t *kv;
    shmkv_cursor_t *c;
    struct shmkv_options o = {.size = sizeof o, .mode = SHMKV_READONLY, .reserve = 64u << 20};
    if (shmkv_open(at, &o, &kv) != SHMKV_OK)
        return;
    const void *key;
    size_t len;
    if (shmkv_cursor_open(kv, SHMKV_KEYS_ONLY, &c) == SHMKV_OK) {
        while (im->key_count < MAX_KEYS && shmkv_cursor_next(c, &key, &len, NULL, NULL) == SHMKV_OK)
            if (len <= sizeof im->keys[0].bytes) {
                memcpy(im->keys[im->key_count].bytes, key, len);
                im->keys[im->key_count++].len = len;
            }
        shmkv_cursor_close(c);
    }
    shmkv_close(kv);
}

static void image_add(const char *name, const char *from) {
    struct stat st;
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || image_count == MAX_IMAGES)
        give_up(from);
    struct image *im = &images[image_count++];
    im->name = name;
    im->size = (uint64_t)st.st_size;
    im->bytes = calloc(1, round_up(im->size, 8) + 8);
    if (!im->bytes || read(fd, im->bytes, im->size) != (ssize_t)im->size)
        give_up(from);
    close(fd);
    im->hot = malloc((im->size / 8 + 1) * sizeof *im->hot);
    for (uint64_t i = 0; i + 8 <= im->size; i += 8)
        if (memcmp(im->bytes + i, &(uint64_t){0}, 8) != 0)
            im->hot[im->hot_count++] = (uint32_t)i;
    file_copy(from, path);
    note_keys(im, path);
}

static void images_add(const char *dir) {
    struct dirent **entries;
    int n = scandir(dir, &entries, NULL, alphasort);
    if (n < 0)
        give_up(dir);
    /* Kept: the images have their names from here, and live as long as the process. */
    static struct dirent **kept;
    kept = entries;
    for (int i = 0; i < n; i++)
        if (strstr(kept[i]->d_name, ".shmkv")) {
            char from[4096];
            snprintf(from, sizeof from, "%s/%s", dir, kept[i]->d_name);
            image_add(kept[i]->d_name, from);
        }
}

/* Segments that no vector shows: many groups, long chains, slabs and runs in lists. */
static void image_make(const char *name, unsigned keys, unsigned stride, size_t value, bool chain) {
    const char *at = scratch_path(name);
    struct shmkv_options o = {.size = sizeof o, .owner_slots = 4, .reserve = 64u << 20};
    shmkv_t *kv;
    char key[KEY_TEXT_SIZE];
    uint8_t *val = calloc(1, value + 1);
    if (shmkv_open(at, &o, &kv) != SHMKV_OK)
        give_up(shmkv_error_detail());
    struct key_search s = search_like(kv, "one", 0, true, "c");
    for (unsigned i = 0; i < keys; i++) {
        if (chain)
            key_find(&s, key);
        else
            snprintf(key, sizeof key, "key-%u", i);
        if (shmkv_put(kv, key, strlen(key), val, value ? i * 37 % value : 0) != SHMKV_OK)
            give_up(shmkv_error_detail());
        if (stride && i % stride == 0)
            shmkv_delete(kv, key, strlen(key));
    }
    shmkv_close(kv);
    free(val);
    image_add(name, at);
    shmkv_unlink(at);
}

/* -------------------------------------------------------------------------- mutations */

struct mutation {
    uint64_t off, value;
    uint8_t width; /* 1, 4 or 8 bytes; 0: the file's size */
};

struct trial {
    const struct image *im;
    struct mutation m[MAX_MUTATIONS];
    unsigned n;
    bool seal, replace;
};

static struct random dice;
static uint64_t below(uint64_t n) { return random_below(&dice, n); }

static uint64_t old_word(const struct image *im, uint64_t off) {
    uint64_t w = 0;
    if (off + 8 <= im->size)
        memcpy(&w, im->bytes + off, 8);
    return w;
}

static const header_t *head(const struct image *im) {
    return (const header_t *)(const void *)im->bytes;
}

/* A word of one of the structures before the data. */
static uint64_t pick_field(const struct image *im) {
    const header_t *h = head(im);
    switch (below(8)) {
    case 0:
        return 8 + below(32) * 8; /* header */
    case 1:
        return h->owners_offset + below(2) * sizeof(owner_t) + below(4) * 8;
    case 2:
        return h->owners_offset + below(4) * sizeof(owner_t) + offsetof(owner_t, version) +
               below(8) * 8;
    case 3:
        return h->shards_offset + below(h->shard_count) * sizeof(shard_t) +
               (const uint16_t[]){0, 128, 256, 264, 272, 288}[below(6)];
    case 4:
        return h->arenas_offset + below(h->arena_count) * sizeof(arena_t) +
               (const uint16_t[]){0, 128, 384}[below(3)] + 8 * below(2) * below(40);
    case 5:
        return h->space_offset + (const uint16_t[]){0, 128, 1024, 1032, 1152}[below(5)];
    case 6:
        return h->space_offset + 1152 + 8 * below(SHMKV_SPACE_BINS);
    default: /* a run's header */
        return h->data_offset +
               below((im->size - h->data_offset) / SHMKV_PAGE_SIZE + 1) * SHMKV_PAGE_SIZE +
               8 * below(5);
    }
}

static uint64_t pick_target(const struct image *im) {
    switch (below(8)) {
    case 0:
        return below(im->size / 8) * 8;
    case 1:
    case 2:
        return pick_field(im);
    default: /* where something is; the data more often than the tables */
        return im->hot[below(2) ? below(im->hot_count)
                                : im->hot_count - 1 - below(im->hot_count / 2 + 1)];
    }
}

/* An offset, of things that are there and things that are not. */
static uint64_t pick_offset(const struct image *im) {
    const header_t *h = head(im);
    switch (below(10)) {
    case 0:
        return below(im->size);
    case 1:
        return round_up(below(im->size), 64);
    case 2:
        return round_up(below(im->size), 4096) + 64;
    case 3:
        return im->size - (const uint16_t[]){0, 1, 8, 16, 32, 64, 128, 4032, 4096}[below(9)];
    case 4:
        return h->data_offset - 16 + 16 * below(3);
    case 5:
        return pick_field(im);
    case 6:
        return 1ULL << below(42);
    case 7:
        return im->size + below(1 << 20);
    default:
        return round_up(below(im->size), 4096);
    }
}

static uint64_t pick_value(const struct image *im, uint64_t off) {
    static const uint64_t limits[] = {0,          1,          2,          0x7f,
                                      0xff,       0xffff,     0x7fffffff, 0xffffffff,
                                      1ULL << 32, 1ULL << 42, 1ULL << 63, ~0ULL};
    uint64_t old = old_word(im, off);
    switch (below(14)) {
    case 0:
    case 1:
        return old ^ 1ULL << below(64);
    case 2:
        return old + (const int64_t[]){1, -1, 16, -16, 64, -64, 4096, -4096}[below(8)];
    case 3:
        return limits[below(12)];
    case 4:
    case 5:
    case 6: /* what another word of the image says */
        return old_word(im, im->hot[below(im->hot_count)]);
    case 7: /* the same class, depth and tag, another place */
        return (old & ~OFFSET_IN_WORD) | (pick_offset(im) & OFFSET_IN_WORD);
    case 8: /* another class */
        return (old & ~CLASS_IN_WORD) | MAKE(CELL_CLASS, below(64));
    case 9: /* another depth */
        return (old & ~IN_PLACE(ROOT_DEPTH)) | MAKE(ROOT_DEPTH, below(64));
    case 10:
        return pick_offset(im);
    case 11: /* a cell around here */
        return (pick_offset(im) & ~63ULL) | MAKE(CELL_CLASS, below(35));
    case 12: /* lengths of a record; fill of a slab; pages of a run */
        return (old & ~0xffffffffULL << 16 * below(3)) | below(1ULL << 34) << below(30);
    default:
        return random_next(&dice);
    }
}

static void mutate(struct trial *t, uint64_t off, uint64_t value, unsigned width) {
    if (t->n < MAX_MUTATIONS)
        t->m[t->n++] = (struct mutation){off, value, (uint8_t)width};
}

/* An intent that looks whole, and stores anything anywhere. */
static void mutate_intent(struct trial *t) {
    const struct image *im = t->im;
    const header_t *h = head(im);
    uint64_t intent, entries;
    unsigned n = 1 + (unsigned)below(6);
    switch (below(3)) {
    case 0:
        intent =
            h->shards_offset + below(h->shard_count) * sizeof(shard_t) + offsetof(shard_t, intent);
        entries = intent - offsetof(shard_t, intent) + offsetof(shard_t, entries);
        break;
    case 1:
        intent = h->arenas_offset + below(2) * below(h->arena_count) * sizeof(arena_t) + 128;
        entries = intent + 16;
        break;
    default:
        intent = h->space_offset + 128;
        entries = intent + 16;
    }
    mutate(t, intent,
           MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_ALWAYS, below(4) != 0) | MAKE(INTENT_COUNT, n) |
               MAKE(INTENT_OWNER, below(6)) | MAKE(INTENT_OP, below(16)),
           8);
    for (unsigned i = 0; i < n; i++) {
        uint64_t to = below(3) ? pick_field(im) : pick_target(im);
        if (below(3) == 0) /* our own slot, most likely the first */
            to = h->owners_offset + below(2) * sizeof(owner_t) + below(24) * 8;
        mutate(t, entries + i * 16, to | (below(12) ? 0 : FILL_ENTRY), 8);
        mutate(t, entries + i * 16 + 8, pick_value(im, to), 8);
    }
    if (below(2)) /* somebody dead holds the lock */
        mutate(t, intent & ~127ULL, MAKE(LOCK_OWNER, below(6)) | below(2) << 31, 4);
}

/* A dead owner of the arena that we shall use has begun to give us a slab: whatever
 * it is, it arrives in our slot the moment we take the lock. */
static void mutate_own_slab(struct trial *t) {
    const header_t *h = head(t->im);
    uint64_t arena = h->arenas_offset;
    for (unsigned cls = 1; cls < SHMKV_CLASS_COUNT; cls++)
        mutate(t, arena + offsetof(arena_t, partial) + cls * 8, 0, 8);
    mutate(t, arena + offsetof(arena_t, intent),
           MAKE(INTENT_ACTIVE, 1) | MAKE(INTENT_ALWAYS, 1) | MAKE(INTENT_COUNT, 1) |
               MAKE(INTENT_OWNER, 1) | MAKE(INTENT_OP, SHMKV_OP_RETIRE),
           8);
    mutate(t, arena + offsetof(arena_t, entries), h->owners_offset + offsetof(owner_t, run), 8);
    mutate(t, arena + offsetof(arena_t, entries) + 8, pick_offset(t->im), 8);
}

/* A group of links, or of slots, that lead to one place: cycles and shared tails. */
static void mutate_links(struct trial *t) {
    const struct image *im = t->im;
    uint64_t page = round_up(below(im->size), 4096) - 4096 * below(2);
    uint64_t to = (pick_offset(im) & ~63ULL) | MAKE(CELL_CLASS, 1);
    for (unsigned i = 0, n = 1 + (unsigned)below(8); i < n; i++)
        mutate(t, page + 64 + below(63) * 64 + 56, to, 8);
    mutate(t, (to & OFFSET_IN_WORD) + 56, below(2) ? to : to + 64, 8);
}

static void trial_draw(struct trial *t, uint64_t seed, uint64_t number) {
    dice.state = seed + number * 0x9e3779b97f4a7c15u;
    random_next(&dice);
    *t = (struct trial){.im = &images[below(image_count)], .seal = below(32) != 0};
    t->replace = below(128) == 0;
    switch (below(6)) {
    case 0:
        mutate_intent(t);
        break;
    case 1:
        mutate_links(t);
        break;
    case 2:
        if (below(8) == 0)
            mutate_own_slab(t);
        break;
    default:
        break;
    }
    for (unsigned i = 0, n = 1 + (unsigned)below(5); i < n; i++) {
        uint64_t off = pick_target(t->im);
        if (below(12) == 0)
            mutate(t, below(t->im->size), random_next(&dice), 1);
        else if (below(40) == 0)
            mutate(t, 0, below(2) ? below(t->im->size) : t->im->size + below(9) * 1000, 0);
        else
            mutate(t, off, pick_value(t->im, off), below(8) ? 8 : 4);
    }
}

/* ------------------------------------------------------------------------- the segment */

static uint64_t trial_size(const struct trial *t, uint64_t mask) {
    uint64_t size = t->im->size;
    for (unsigned i = 0; i < t->n; i++)
        if (mask >> i & 1 && t->m[i].width == 0)
            size = t->m[i].value;
    return size;
}

/* Write the image with those mutations that the mask has. */
static void trial_lay(const struct trial *t, uint64_t mask) {
    uint64_t size = trial_size(t, mask);
    struct stat st, named;
    if (fstat(file_fd, &st) != 0 || lstat(path, &named) != 0 || st.st_ino != named.st_ino) {
        file_make();
        st.st_size = 0;
    }
    if ((uint64_t)st.st_size != size && ftruncate(file_fd, (off_t)size) != 0)
        give_up("ftruncate");
    memcpy(file, t->im->bytes, size < t->im->size ? size : t->im->size);
    if (size > t->im->size)
        memset(file + t->im->size, 0, size - t->im->size);
    for (unsigned i = 0; i < t->n; i++) {
        const struct mutation *m = &t->m[i];
        if (mask >> i & 1 && m->width && m->off + m->width <= size)
            memcpy(file + m->off, &m->value, m->width);
    }
    if (t->seal && size >= sizeof(header_t)) {
        uint64_t sum = hash_inline(file, offsetof(header_t, checksum), 0);
        memcpy(file + offsetof(header_t, checksum), &sum, 8);
    }
}

/* ------------------------------------------------------------------- all that one can do */

static uint8_t buffer[256 << 10];
static uint64_t opened, wrote, read_ok, clean;

static void nobody_listens(void *arg, uint64_t off, const char *text) {
    (void)off;
    *(size_t *)arg += strlen(text);
}

static void look(shmkv_t *kv, const struct image *im) {
    const void *key, *val;
    size_t key_len, val_len, sum = 0, n;
    for (unsigned i = 0; i < im->key_count; i++)
        read_ok += shmkv_get(kv, im->keys[i].bytes, im->keys[i].len, buffer, sizeof buffer, &n) ==
                   SHMKV_OK;
    for (char name[3] = "a0"; name[1] < '8'; name[1]++)
        shmkv_exists(kv, name, 2);
    shmkv_cursor_t *c;
    if (shmkv_cursor_open(kv, 0, &c) == SHMKV_OK) {
        for (int i = 0;
             i < 2000 && shmkv_cursor_next(c, &key, &key_len, &val, &val_len) == SHMKV_OK; i++)
            sum += *(const uint8_t *)key + (val_len ? ((const uint8_t *)val)[val_len - 1] : 0);
        shmkv_cursor_close(c);
    }
    shmkv_snapshot_t *s;
    if (shmkv_snapshot(kv, &s) == SHMKV_OK) {
        while (shmkv_snapshot_next(s, &key, &key_len, &val, &val_len) == SHMKV_OK)
            sum += key_len;
        shmkv_snapshot_free(s);
    }
    struct shmkv_info info = {.size = sizeof info};
    struct shmkv_stats stats = {.size = sizeof stats};
    shmkv_info(kv, &info);
    shmkv_stats(kv, &stats);
    static struct shmkv_lock locks[64];
    static struct shmkv_owner owners[8];
    shmkv_locks(kv, locks, 64, &n);
    shmkv_owners(kv, owners, 8, &n);
    uint64_t count;
    shmkv_count(kv, &count);
    *(volatile size_t *)&sum = sum;
}

static void change(shmkv_t *kv, const struct image *im) {
    static const size_t sizes[] = {0, 8, 40, 200, 900, 3000, 16000, 100000};
    int ok = 0;
    for (unsigned i = 0; i < im->key_count; i++)
        if (i % 3 == 2)
            shmkv_delete(kv, im->keys[i].bytes, im->keys[i].len);
        else
            ok +=
                shmkv_put(kv, im->keys[i].bytes, im->keys[i].len, buffer, sizes[i % 8]) == SHMKV_OK;
    char key[16];
    for (unsigned i = 0; i < 24; i++) {
        int len = snprintf(key, sizeof key, "new-%u", i);
        ok += shmkv_put(kv, key, (size_t)len, buffer, sizes[i % 8]) == SHMKV_OK;
        if (i % 4 == 3)
            shmkv_delete(kv, key, (size_t)len);
    }
    wrote += ok > 0;
}

/* What nobody but its creator, or a slot's owner, writes to. Spec 7.1, [CRASH-04]. */
static void check_untouched(const uint8_t *before, uint64_t size) {
    const header_t *h = (const header_t *)(const void *)before;
    if (memcmp(before, file, offsetof(header_t, state)) != 0) {
        fprintf(stderr, "the sealed header was changed\n");
        abort();
    }
    for (uint32_t i = 0; i < 8 && i < h->owner_count; i++) {
        uint64_t off = h->owners_offset + i * sizeof(owner_t);
        if (off + sizeof(owner_t) > size)
            return;
        const owner_t *now = (const owner_t *)(const void *)(file + off);
        /* Introduced: all of it is ours. */
        if (now->pid == (uint32_t)getpid())
            continue;
        if (memcmp(before + off + 8, file + off + 8, offsetof(owner_t, version) - 8) != 0) {
            fprintf(stderr, "the facts of owner slot %u were changed\n", i);
            abort();
        }
    }
}

static void exercise(const struct trial *t) {
    static uint8_t before[128 << 10];
    struct shmkv_options o = {
        .size = sizeof o, .mode = SHMKV_READONLY, .reserve = 4u << 20, .lock_timeout_ms = 1};
    shmkv_t *kv;
    uint64_t problems;
    size_t text = 0;
    struct stat st;
    if (shmkv_open(path, &o, &kv) == SHMKV_OK) {
        opened++;
        look(kv, t->im);
        clean += shmkv_verify(kv, nobody_listens, &text, &problems) == SHMKV_OK;
        shmkv_close(kv);
    }
    fstat(file_fd, &st);
    uint64_t size = (uint64_t)st.st_size < sizeof before ? (uint64_t)st.st_size : sizeof before;
    memcpy(before, file, size);
    o.mode = t->replace ? SHMKV_EXCLUSIVE : SHMKV_EXISTING;
    if (shmkv_open(path, &o, &kv) != SHMKV_OK)
        return;
    change(kv, t->im);
    look(kv, t->im);
    shmkv_close(kv);
    if (!t->replace)
        check_untouched(before, size);
}

/* ------------------------------------------------------------------------------- a case */

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void hung(int sig) {
    (void)sig;
    static const char text[] = "a case does not end\n";
    (void)!write(2, text, sizeof text - 1);
    _exit(3);
}

static uint64_t case_run(const struct trial *t, uint64_t mask) {
    struct itimerval limit = {.it_value = {.tv_sec = HANG_S}}, off = {0};
    trial_lay(t, mask);
    uint64_t from = cpu_ns();
    setitimer(ITIMER_PROF, &limit, NULL);
    exercise(t);
    setitimer(ITIMER_PROF, &off, NULL);
    return cpu_ns() - from;
}

/* In a child: does it crash, abort, or take long, three times out of three? */
static bool fails(const struct trial *t, uint64_t mask, int *status) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        file_make();
        uint64_t best = ~0ULL;
        for (int i = 0; i < 3 && best > CASE_LIMIT_NS; i++) {
            uint64_t ns = case_run(t, mask);
            best = ns < best ? ns : best;
        }
        if (best > CASE_LIMIT_NS)
            fprintf(stderr, "%.1f ms of CPU time\n", (double)best / 1e6);
        _exit(best > CASE_LIMIT_NS ? 4 : 0);
    }
    if (pid < 0 || waitpid(pid, status, 0) != pid)
        give_up("fork");
    return *status != 0;
}

static void tell_case(const struct trial *t, uint64_t mask) {
    fprintf(stderr, "image %s, %llu bytes, sealed %d, replace %d\n", t->im->name,
            (unsigned long long)t->im->size, t->seal, t->replace);
    for (unsigned i = 0; i < t->n; i++)
        if (mask >> i & 1)
            fprintf(stderr, "  0x%llx: %u bytes: 0x%llx becomes 0x%llx\n",
                    (unsigned long long)t->m[i].off, t->m[i].width,
                    (unsigned long long)old_word(t->im, t->m[i].off),
                    (unsigned long long)t->m[i].value);
}

/* Leave out mutations one by one while it still fails. */
static bool report(uint64_t seed, uint64_t number) {
    struct trial t;
    int status = 0;
    trial_draw(&t, seed, number);
    uint64_t mask = t.n == 64 ? ~0ULL : (1ULL << t.n) - 1;
    if (!fails(&t, mask, &status))
        return false;
    fprintf(stderr, "VIOLATION: SHMKV_TEST_SEED=%llu case %llu (repeat with --case %llu)\n",
            (unsigned long long)seed, (unsigned long long)number, (unsigned long long)number);
    for (unsigned i = 0; i < t.n; i++)
        if (fails(&t, mask & ~(1ULL << i), &status))
            mask &= ~(1ULL << i);
    fails(&t, mask, &status);
    if (WIFSIGNALED(status))
        fprintf(stderr, "signal %d, %s\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        fprintf(stderr, "exit status %d\n", WEXITSTATUS(status));
    tell_case(&t, mask);
    return true;
}

/* -------------------------------------------------------------------------------- main */

struct shared {
    uint64_t at, opened, wrote, read_ok, clean, longest, longest_case;
    bool done;
};

static void work(void *arg) {
    struct shared *sh = ((void **)arg)[0];
    const uint64_t *limits = ((void **)arg)[1]; /* seed, cases, CPU time, until when */
    file_make();
    for (; sh->at < limits[1] && (sh->at % 64 || (cpu_ns() < limits[2] && now_ms() < limits[3]));
         sh->at++) {
        struct trial t;
        trial_draw(&t, limits[0], sh->at);
        uint64_t ns = case_run(&t, ~0ULL);
        if (ns > CASE_LIMIT_NS)
            _exit(4);
        if (ns > sh->longest) {
            sh->longest = ns;
            sh->longest_case = sh->at;
        }
    }
    sh->opened += opened;
    sh->wrote += wrote;
    sh->read_ok += read_ok;
    sh->clean += clean;
    sh->done = true;
}

int main(int argc, char **argv) {
    uint64_t cases = ~0ULL, seconds = 60, only = ~0ULL;
    bool go_on = false;
    int at = 1;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--go-on") == 0)
            go_on = true;
        else if (at + 1 == argc)
            break;
        else if (strcmp(argv[at], "--cases") == 0)
            cases = strtoull(argv[++at], NULL, 10);
        else if (strcmp(argv[at], "--seconds") == 0)
            seconds = strtoull(argv[++at], NULL, 10);
        else if (strcmp(argv[at], "--seed") == 0)
            setenv("SHMKV_TEST_SEED", argv[++at], 1);
        else if (strcmp(argv[at], "--case") == 0)
            only = strtoull(argv[++at], NULL, 10);
        else
            break;
    }
    if (at >= argc || strncmp(argv[at], "--", 2) == 0) {
        fprintf(stderr, "usage: mutate [--seed N] [--cases N] [--seconds CPU] [--case N] [--go-on] "
                        "DIRECTORY...\n");
        return 2;
    }
    names_begin();
    path = scratch_path("segment");
    for (; at < argc; at++)
        images_add(argv[at]);
    making_images = true;
    image_make("made-many", 700, 0, 60, false);
    image_make("made-holes", 300, 2, 5000, false);
    image_make("made-chain", 60, 7, 20, true);
    image_make("made-large", 6, 3, 60000, false);
    making_images = false;

    struct random r = random_begin("mutate");
    uint64_t seed = r.state, limits[] = {seed, cases, 0, 0};
    signal(SIGPROF, hung);
    if (only != ~0ULL)
        return report(seed, only) ? 1 : 0;
    struct shared *sh = shared_memory(sizeof *sh);
    unsigned violations = 0;
    uint64_t begin = now_ms();
    limits[3] = begin + seconds * 2000; /* much of it is waiting for the dead */
    while (!sh->done) {
        limits[2] = seconds * 1000000000u;
        pid_t pid = child_start(work, (void *[]){sh, limits});
        int status = child_wait(pid);
        if (status == 0)
            continue;
        violations += report(seed, sh->at);
        if (violations && !go_on)
            break;
        sh->at++;
    }
    printf(
        "%llu mutated segments of %u images: %llu attached, %llu of them sound, %llu written to, "
        "%llu values read; longest %.1f ms of CPU time (case %llu); %u violations\n",
        (unsigned long long)sh->at, image_count, (unsigned long long)sh->opened,
        (unsigned long long)sh->clean, (unsigned long long)sh->wrote,
        (unsigned long long)sh->read_ok, (double)sh->longest / 1e6,
        (unsigned long long)sh->longest_case, violations);
    names_sweep(false);
    return violations ? 1 : 0;
}
