/* The images that are mutated: vectors, and segments made here. See images.h. */
#include "tests/fuzz/images.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct image images[MAX_IMAGES];
unsigned image_count;

static _Noreturn void give_up(const char *what) {
    fprintf(stderr, "images: %s: %s\n", what, strerror(errno));
    exit(2);
}

void keys_note(struct keys *keys, const char *path) {
    shmkv_t *kv;
    shmkv_cursor_t *c;
    struct shmkv_options o = {.size = sizeof o, .mode = SHMKV_READONLY, .reserve = 64u << 20};
    keys->count = 0;
    if (shmkv_open(path, &o, &kv) != SHMKV_OK)
        return;
    const void *key;
    size_t len;
    if (shmkv_cursor_open(kv, SHMKV_KEYS_ONLY, &c) == SHMKV_OK) {
        while (keys->count < MAX_KEYS && shmkv_cursor_next(c, &key, &len, NULL, NULL) == SHMKV_OK)
            if (len <= LONGEST_KEPT_KEY) {
                memcpy(keys->key[keys->count].bytes, key, len);
                keys->key[keys->count++].len = len;
            }
        shmkv_cursor_close(c);
    }
    shmkv_close(kv);
}

/* An offset or a count of the header, or, when it cannot be, something that can. */
static uint64_t possible(uint64_t value, uint64_t most, uint64_t instead) {
    return value && value <= most ? value : instead;
}

void image_prepare(struct image *im) {
    im->hot_count = 0;
    for (uint64_t i = 0; i + 8 <= im->size; i += 8)
        if (image_word(im, i))
            im->hot[im->hot_count++] = (uint32_t)i;
    if (!im->hot_count) /* all of it zeros */
        im->hot[im->hot_count++] = 0;
    header_t h = {0};
    memcpy(&h, im->bytes, im->size < sizeof h ? im->size : sizeof h);
    im->where = (header_t){
        .owners_offset = possible(h.owners_offset, im->size, SHMKV_PAGE_SIZE),
        .shards_offset = possible(h.shards_offset, im->size, SHMKV_PAGE_SIZE),
        .arenas_offset = possible(h.arenas_offset, im->size, SHMKV_PAGE_SIZE),
        .space_offset = possible(h.space_offset, im->size, SHMKV_PAGE_SIZE),
        .data_offset = possible(h.data_offset, im->size, im->size / 2),
        .shard_count = (uint32_t)possible(h.shard_count, SHMKV_MAX_SHARDS, 1),
        .arena_count = (uint32_t)possible(h.arena_count, SHMKV_MAX_ARENAS, 1),
    };
}

static void image_add(const char *name, const char *from, const char *path) {
    struct stat st;
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || image_count == MAX_IMAGES)
        give_up(from);
    struct image *im = &images[image_count++];
    im->name = name;
    im->size = (uint64_t)st.st_size;
    im->bytes = calloc(1, round_up(im->size, 8) + 8);
    im->hot = malloc((im->size / 8 + 1) * sizeof *im->hot);
    if (!im->bytes || !im->hot || read(fd, im->bytes, im->size) != (ssize_t)im->size)
        give_up(from);
    close(fd);
    image_prepare(im);
    file_copy(from, path);
    keys_note(&im->keys, path);
}

void images_add(const char *dir, const char *path) {
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
            image_add(kept[i]->d_name, from, path);
        }
}

/* @p bound: of entries; 0: it is no cache. */
static void image_make(const char *name, unsigned keys, unsigned stride, size_t value, bool chain,
                       unsigned bound, const char *path) {
    const char *at = scratch_path(name);
    struct shmkv_options o = {.size = sizeof o,
                              .owner_slots = 4,
                              .reserve = 64u << 20,
                              .max_entries = bound,
                              .max_bytes = bound * value};
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
        else if (i % 2) /* in a cache, it marks */
            shmkv_exists(kv, key, strlen(key));
    }
    shmkv_close(kv);
    free(val);
    image_add(name, at, path);
    shmkv_unlink(at);
}

/* Many groups, long chains, slabs with holes and runs in lists; a cache that has evicted and split.
 */
void images_make(const char *path) {
    randomness_fix(true);
    image_make("made-many", 700, 0, 60, false, 0, path);
    image_make("made-holes", 300, 2, 5000, false, 0, path);
    image_make("made-chain", 60, 7, 20, true, 0, path);
    image_make("made-large", 6, 3, 60000, false, 0, path);
    image_make("made-cache", 900, 9, 300, false, 300, path);
    randomness_fix(false);
}
