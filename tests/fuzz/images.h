/*
 * Images of segments, and mutations of them: what mutate.c and image_fuzzer.c share.
 *
 * images.c reads images and makes some; mutations.c draws what is changed in one;
 * exercise.c does to a segment everything the library has; guarded.c puts every
 * mapping of one between guards.
 */
#ifndef SHMKV_TESTS_FUZZ_IMAGES_H
#define SHMKV_TESTS_FUZZ_IMAGES_H

#include "tests/support/support.h"

#define MAX_IMAGES 128
#define MAX_MUTATIONS 48
#define MAX_KEYS 8
#define LONGEST_KEPT_KEY 64

/* ----------------------------------------------------------------------------- images */

/* Some keys of an image. */
struct keys {
    struct {
        uint8_t bytes[LONGEST_KEPT_KEY];
        size_t len;
    } key[MAX_KEYS];
    unsigned count;
};

struct image {
    const char *name;
    uint8_t *bytes; /* zeros behind them up to a multiple of 8, and 8 more */
    uint64_t size;
    uint32_t *hot; /* offsets of words that are not zero */
    unsigned hot_count;
    header_t where; /* the header's offsets and counts, all of them possible */
    struct keys keys;
};

extern struct image images[MAX_IMAGES];
extern unsigned image_count;

/* Read all vectors of a directory. Images are looked at with a copy at @p path. */
void images_add(const char *dir, const char *path);
/* Segments that no vector shows, the same in every run. */
void images_make(const char *path);
/* What follows from the bytes: hot words, and where things are. */
void image_prepare(struct image *im);
/* The first keys that a walk finds in the segment at @p path. */
void keys_note(struct keys *keys, const char *path);

/* -------------------------------------------------------------------------- mutations */

/* How a case goes about it. */
struct conduct {
    bool replace; /* opens it with EXCLUSIVE */
    bool late;    /* asks it about itself after the changes, not before */
};

struct mutation {
    uint64_t off, value;
    uint8_t width; /* 1, 4 or 8 bytes; 0: the file's size */
};

struct trial {
    const struct image *im;
    struct mutation m[MAX_MUTATIONS];
    unsigned n;
    bool seal;
    struct conduct conduct;
};

/* The trial of this number: image and mutations. */
void trial_draw(struct trial *t, uint64_t seed, uint64_t number);
/* Mutations of the image that @p t names already, from the dice as they are. */
void trial_draw_mutations(struct trial *t, struct random *dice);
/* The word at @p off, 0 behind the end. */
uint64_t image_word(const struct image *im, uint64_t off);
uint64_t trial_size(const struct trial *t, uint64_t mask);
/* Write the image with those mutations that the mask has, trial_size() bytes. */
void trial_write(const struct trial *t, uint64_t mask, uint8_t *to);
/* Make the checksum of the header fit. */
void seal_header(uint8_t *bytes, uint64_t size);

/* --------------------------------------------------------------------------- exercise */

/* The file of the segment that cases use, mapped. */
#define WINDOW (8u << 20) /* as far as we look at it */
struct exercise {
    const char *path;
    int fd;
    uint8_t *file;
    uint64_t opened, wrote, read_ok, clean; /* what came of it */
};
void exercise_begin(struct exercise *e, const char *path);
void exercise_end(struct exercise *e);
/* Let the file be @p size bytes, whatever the last case did to it; its content is anything. */
void exercise_lay(struct exercise *e, uint64_t size);
/* All that one can do, read-only and writable. Aborts when it changes what it may not. */
void exercise_run(struct exercise *e, const struct keys *keys, const struct conduct *how);

/* --------------------------------------------------------------------------- guarded */

/* As mmap() and munmap() of the C library, without guards. */
void *plain_mmap(size_t len, int prot, int flags, int fd);
void plain_munmap(void *at, size_t len);
/* From now on getrandom() gives a fixed sequence, or again what the kernel has. */
void randomness_fix(bool fixed);

#endif
