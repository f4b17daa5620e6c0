/* A segment as a file: see image.c. */
#ifndef SHMKV_TOOLS_INSPECT_IMAGE_H
#define SHMKV_TOOLS_INSPECT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image {
    const char *name; /* as the user wrote it */
    int fd;
    uint64_t size;
};

/* Open what @p segment names. An exit status; a message has been printed if it is
 * not STATUS_OK. Close it with image_close() in either case. */
int image_open(const char *segment, struct image *image);
void image_close(struct image *image);

/* Read all of [offset, offset + len); false if not all of it is there. */
bool image_read(const struct image *image, uint64_t offset, void *buf, size_t len);

/* First byte at or after @p offset that is not in a hole of the file; the size if
 * there is none. */
uint64_t image_data(const struct image *image, uint64_t offset);

#endif
