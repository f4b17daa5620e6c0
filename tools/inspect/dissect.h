/* An annotated walk through a segment: see dissect.c and runs.c. */
#ifndef SHMKV_TOOLS_INSPECT_DISSECT_H
#define SHMKV_TOOLS_INSPECT_DISSECT_H

#include "core/src/layout.gen.h"
#include "tools/inspect/annotate.h"
#include "tools/inspect/image.h"

/* What is walked through, and how far to believe it. */
struct dissection {
    const struct image *image;
    struct shmkv_header_layout header;
    struct shmkv_space_layout space;
    uint64_t limit;    /* end of the runs: the header's, within the file */
    uint64_t from, to; /* only things that overlap these bytes are shown */
    struct annotator annotator;
};

/* Does [offset, offset + len) overlap what is to be shown? */
bool is_wanted(const struct dissection *d, uint64_t offset, uint64_t len);

/* The parts whose names are in @p parts (NULL: all). An exit status. */
int dissect(struct dissection *d, const char *parts);

/* The runs, from the data offset to the limit. An exit status. */
int dissect_runs(struct dissection *d);

#endif
