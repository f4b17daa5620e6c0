/*
 * shmkv: a named, persistent key-value store in POSIX shared memory.
 *
 *     shmkv_t *kv;
 *     int err = shmkv_open("sessions", NULL, &kv);       // create or attach
 *     if (err) { fprintf(stderr, "%s\n", shmkv_error_detail()); exit(1); }
 *
 *     shmkv_put(kv, "user:7", 6, "Ada", 3);              // any bytes, any size
 *
 *     char name[64];
 *     size_t len;
 *     if (shmkv_get(kv, "user:7", 6, name, sizeof name, &len) == SHMKV_OK)
 *         printf("%.*s\n", (int)len, name);
 *
 *     shmkv_close(kv);                                   // the segment stays
 *     shmkv_unlink("sessions");                          // now it goes
 *
 * Caveats, before anything else:
 *
 *  - The segment outlives every process. It goes with shmkv_unlink(), or, in
 *    /dev/shm, with the next boot. Opening a path instead of a name makes it a
 *    regular file, which stays. It does not work over NFS.
 *  - fork: a handle opened before a fork works in parent and child alike; the
 *    child takes an owner slot of its own on its first write. A child made by
 *    a bare clone system call must exec or not use the handle's locks until its
 *    parent is gone. A child that gives up its right to open the file (setuid)
 *    can read on, but its first write fails.
 *  - descriptors: a writable handle has two of its own, above 2. A program that
 *    closes descriptors it did not open (closefrom) ends its right to its locks.
 *  - threads: any number of threads may use one handle at once. Only
 *    shmkv_close() needs the handle to itself.
 *  - signals: shmkv_get() may be called in a signal handler, on a handle that
 *    this thread has used before and that was opened with SHMKV_STAY (following
 *    to another segment allocates memory). A call in a handler that would have to
 *    wait for the very call it interrupted returns SHMKV_EDEADLK.
 *  - a killed process leaves each key old or new, never torn. What it held is
 *    repaired by the next writer that needs it. A stopped process (SIGSTOP) is
 *    never robbed: writers that need what it holds time out; readers do not
 *    notice.
 *  - a process that may write to the segment may destroy its contents. What it
 *    cannot do is make others read out of bounds, loop or crash, except by
 *    truncating the file. docs/security.md has the details.
 *
 * Results: SHMKV_OK (0), a negative SHMKV_E… code (errors.h), or a positive
 * errno. shmkv_strerror() gives the general text, shmkv_error_detail() the
 * story of the last failure in the calling thread.
 */
#ifndef SHMKV_SHMKV_H
#define SHMKV_SHMKV_H

#include <stddef.h>
#include <stdint.h>

#include <shmkv/errors.h>
#include <shmkv/version.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct shmkv shmkv_t;
typedef struct shmkv_cursor shmkv_cursor_t;
typedef struct shmkv_snapshot shmkv_snapshot_t;

/* ---------------------------------------------------------------------- values */
/* In docs/examples: values.c */

/* What the bytes of a value mean to a language that has types. Spec 3.7. */
enum shmkv_type {
    SHMKV_BYTES = 0,   /* any bytes; what shmkv_put() stores */
    SHMKV_TEXT = 1,    /* UTF-8 */
    SHMKV_INT64 = 2,   /* 8 bytes, little-endian, signed */
    SHMKV_FLOAT64 = 3, /* 8 bytes, little-endian, IEEE 754 */
    SHMKV_BOOLEAN = 4, /* one byte, 0 or 1 */
    SHMKV_NULL = 5,    /* no bytes */
    SHMKV_JSON = 6,    /* UTF-8; what it says is up to those who read it */
    SHMKV_CODED = 7    /* any bytes, made by a codec of the application */
};

enum shmkv_item_flags {
    SHMKV_BOUND = 1,            /* the entry goes when the writer's handle is closed or its
                                 * process ends, however that ends */
    SHMKV_NO_DEFAULT_EXPIRY = 2 /* expires_ns 0 is never, also where the segment has a default
                                 * time to live */
};

/* A key, or any bytes. */
struct shmkv_bytes {
    const void *data;
    size_t len;
};

/*
 * A value with what goes with it. Zero-initialise. In: data (may be NULL when len
 * is 0), len, type, flags, expires_ns; the rest is ignored. Out: all of it; data
 * is the caller's buffer.
 */
struct shmkv_item {
    const void *data;
    size_t len;
    int type;            /* enum shmkv_type */
    unsigned flags;      /* enum shmkv_item_flags */
    uint64_t expires_ns; /* nanoseconds since 1970 UTC; in: 0 is the segment's default
                          * time to live, or never; out: 0 is never */
    uint64_t version;    /* out: the modification number, which no other value of the
                          * segment ever has; never 0 */
    int result;          /* out, where a call says so: SHMKV_OK or an error of this item */
};

/* ------------------------------------------------------------------ lifecycle */
/* In docs/examples: open.c, cache.c */

enum shmkv_mode {
    SHMKV_SHARED = 0,    /* create or attach */
    SHMKV_EXCLUSIVE = 1, /* a fresh, empty segment takes the name, atomically */
    SHMKV_EXISTING = 2,  /* attach only: SHMKV_ENOSEGMENT if there is none */
    SHMKV_READONLY = 3   /* attach only, on a read-only mapping */
};

enum shmkv_flags {
    SHMKV_STAY = 1,      /* when replaced, return SHMKV_ESTALE and do not follow */
    SHMKV_ANY_OWNER = 2, /* accept a segment of a user other than us and root */
    SHMKV_HUGE_PAGES = 4 /* map by huge pages (2 MiB) what the system gives them for. Worth
                          * it from some 100,000 entries on, which a lookup then finds in a
                          * third less time. What is there at the opening is done at once,
                          * about a millisecond for 2 MiB, and what this process adds is
                          * added by 2 MiB at a time. Needs Linux 6.1 and, elsewhere than
                          * in /dev/shm, a file system that knows them. Refused, the pages
                          * stay small: see shmkv_info() */
};

/*
 * Zero-initialise, set `size`, then what matters. Zero means the default.
 * The second group describes a new segment and is ignored on attaching.
 */
struct shmkv_options {
    size_t size;              /* sizeof(struct shmkv_options) */
    int mode;                 /* enum shmkv_mode */
    unsigned flags;           /* enum shmkv_flags */
    uint64_t reserve;         /* address space for the mapping, bytes; default 32 GiB
                               * or twice the machine's memory, whichever is more;
                               * halved until it fits when the system refuses it */
    uint32_t lock_timeout_ms; /* wait for a lock of a live process; default 5000 */

    uint32_t permissions;     /* mode bits of the new object; default 0600 */
    uint32_t owner_slots;     /* concurrent writers; default 512, at most 16384 */
    uint64_t max_size;        /* bytes the segment will not outgrow, cut to whole pages;
                               * default none */
    uint64_t default_ttl_ns;  /* time to live of entries that are stored without an end;
                               * default none */
    /* A cache: a new entry puts out others, such as have not been used for a while, and
     * first those that have expired. Those bound to a process stay. */
    uint64_t max_entries;     /* the most entries there ever are; default any number. The bound
                               * is kept shard by shard, so of more than 2000, which have several,
                               * the first may go a few percent too early */
    uint64_t max_bytes;       /* the most bytes of memory that the entries take; default any
                               * number. The index, and what is free between them, come on top. An
                               * entry can have a shard's part: all of it up to 8 MiB, half up
                               * to 16, and so on; 4 MiB and more of a larger one */
    int evict;                /* not 0: also when there is no more room; on its own best for
                               * entries of one size. The two bounds imply it */
};

/**
 * Open the segment @p name.
 *
 * @param name  "name": the POSIX shared memory object /name, 1 to 254 bytes
 *              without a slash. "/dir/file", "./file" or "../file": a file.
 * @param opts  NULL: create or attach with defaults
 * @param out   the handle, or NULL on failure; close it with shmkv_close()
 * @return SHMKV_OK; ENAME; EARGUMENT; ENOSEGMENT (EXISTING, READONLY); EFOREIGN;
 *         EFORMAT; ECORRUPT (also: the first open for writing after a reboot found it
 *         damaged); EOWNER; ENOSHM; ENOSPC; ENOSLOTS; ERESERVE;
 *         ETIMEDOUT (EXCLUSIVE); EBUSY (EXCLUSIVE: something else took the name meanwhile; after
 *         a reboot: the file changed while it was verified); an errno such as EACCES or EMFILE
 * Threads: any.   Fork: the handle works in both processes.
 * Blocks: EXCLUSIVE waits for the locks of the segment it replaces. Others may
 * wait 50 ms for each dead writer whose traces lie behind a stopped one. The first
 * to open a file for writing after a reboot verifies it, see shmkv_sync().
 * Spec 5.2 (create), 5.3 (attach), 5.5 (replace).
 */
int shmkv_open(const char *name, const struct shmkv_options *opts, shmkv_t **out);

/**
 * Detach. The segment stays. NULL is allowed.
 *
 * @return SHMKV_OK; what the handle held is given back even if another result
 *         tells that a lock could not be had in time (the next opener finishes)
 * Threads: no other thread may use the handle during or after this call.
 * Blocks: up to the lock timeout.   Spec 5.6.
 */
int shmkv_close(shmkv_t *kv);

/**
 * Remove the name. Attached processes keep the segment until they close it.
 *
 * @return SHMKV_OK; ENAME; ENOSEGMENT; EFOREIGN (left alone); EOWNER; ENOSHM; an errno
 * Threads: any.   Blocks: no; 50 ms for each segment that a dead EXCLUSIVE of this name has left
 * and whose locks somebody holds.   Spec 5.7.
 */
int shmkv_unlink(const char *name);

/* ----------------------------------------------------------------------- read */
/* In docs/examples: open.c, many.c */

/**
 * Copy the value of @p key into @p buf.
 *
 * @param buf_len  capacity of @p buf, bytes; 0 with a NULL @p buf asks for the size
 * @param val_len  out, may be NULL: full size of the value, bytes, on SHMKV_OK and
 *                 SHMKV_ETOOSMALL; otherwise without meaning
 * @return SHMKV_OK; ENOTFOUND; ETOOSMALL (@p buf without meaning); EKEY; EARGUMENT (@p buf is NULL,
 *         and buf_len not 0); ECLOSED; EBUSY; ESTALE; ERESERVE; ECORRUPT; ENOMEM by the first call
 *         of a thread other than the opening one
 * Owner: the caller keeps @p key and @p buf.   Threads: any.   Fork: any.
 * Blocks: never: takes no lock and writes nothing shared (in a cache, a mark where
 * there is none); returns the old or the new value while a writer is stopped or dead.
 * Bounded retries, then EBUSY. The first call after the segment was replaced attaches
 * to the new one, as shmkv_open() does, and may fail as that does.
 * Cost: no system call, but for an entry bound to a writer (SHMKV_BOUND) of another handle:
 * then the kernel is asked whether that process lives, about ten microseconds. If that cannot
 * be told, the entry is there until somebody cleans up.
 * Order: acquire; sees all of one put.   Spec 6.2.
 */
int shmkv_get(shmkv_t *kv, const void *key, size_t key_len,
              void *buf, size_t buf_len, size_t *val_len);

/**
 * As shmkv_get(), with all that goes with the value.
 *
 * @param buf,buf_len  where the value goes; NULL, 0 to ask for the rest alone
 *                     (SHMKV_ETOOSMALL then, unless the value is empty)
 * @param item  out, on SHMKV_OK and SHMKV_ETOOSMALL: data (@p buf), len, type, flags
 *              (SHMKV_BOUND or 0), expires_ns, version. A value whose length does
 *              not fit its type is given as SHMKV_BYTES.
 * @return as shmkv_get(); EARGUMENT (no item)
 * Owner, threads, fork, blocking, order: as shmkv_get().   Spec 6.2, 3.7.
 */
int shmkv_get_item(shmkv_t *kv, const void *key, size_t key_len,
                   void *buf, size_t buf_len, struct shmkv_item *item);

/**
 * Get a value of this type.
 *
 * @param value  out: as the type has it; of a boolean 0 or 1
 * @return as shmkv_get(), without ETOOSMALL; ETYPE: it is of another type; EARGUMENT
 * Owner, threads, fork, blocking, order: as shmkv_get().   Spec 6.2, 3.7.
 */
int shmkv_get_i64(shmkv_t *kv, const void *key, size_t key_len, int64_t *value);
int shmkv_get_f64(shmkv_t *kv, const void *key, size_t key_len, double *value);
int shmkv_get_bool(shmkv_t *kv, const void *key, size_t key_len, int *value);

/**
 * Get the values of @p n keys, each as by shmkv_get(), but in much less time than one
 * after the other when they are more than the processor's caches hold: it looks ahead,
 * so that the keys wait for memory together. Each key is looked up at a moment of its own.
 *
 * @param items  out: of each key what shmkv_get_item() tells, and in `result` SHMKV_OK or
 *               SHMKV_ENOTFOUND; `data` lies in @p buf, without regard to alignment
 * @param buf,buf_len  where the values go, one behind the other
 * @param done   out, may be NULL: how many keys are finished, from the first on
 * @return SHMKV_OK: all are finished; ETOOSMALL: @p buf is full, and the next key's item has
 *         the `len` that its value needs: go on from there; EARGUMENT; otherwise as
 *         shmkv_get(), and the next key's `result` says the same if it is the key's fault
 * Owner: the caller keeps all of it.   Threads, fork, blocking, order: as shmkv_get().
 * Spec 6.2.
 */
int shmkv_get_many(shmkv_t *kv, size_t n, const struct shmkv_bytes *keys,
                   struct shmkv_item *items, void *buf, size_t buf_len, size_t *done);

/**
 * Tell whether @p key is present.
 *
 * @return SHMKV_OK if it is; ENOTFOUND if not; otherwise as shmkv_get()
 * Threads, fork, blocking: as shmkv_get().   Spec 6.2.
 */
int shmkv_exists(shmkv_t *kv, const void *key, size_t key_len);

/**
 * Number of entries: the sum of the shards' counters, each read at its own moment.
 *
 * @param n  out: entries
 * @return SHMKV_OK; ECLOSED; EARGUMENT; ESTALE
 * Threads: any.   Blocks: never.   Spec 6.6.
 */
int shmkv_count(shmkv_t *kv, uint64_t *n);

/* ---------------------------------------------------------------------- write */
/* In docs/examples: conditional.c, numbers.c, expiry.c, many.c */

/**
 * Store @p val under @p key, in place of any earlier value. In a cache (struct
 * shmkv_options) others may go for it; even if it fails in the end.
 *
 * @param val  may be NULL when @p val_len is 0
 * @return SHMKV_OK: stored, and it survives this process; otherwise nothing has
 *         changed: EKEY; EVALUE (in a cache also: more than a shard's part of max_bytes);
 *         EARGUMENT (@p val is NULL, and val_len not 0); EREADONLY; EFROZEN; ECLOSED; ENOSPC
 *         (in a cache also: what is in its way is bound to processes, or no longer to be found
 *         in one piece); EBUSY (in a cache: others take the room that is made as fast;
 *         otherwise: more threads write than the handle could get slots for, and none came free
 *         within the lock timeout); ENOSLOTS; ERESERVE; ETIMEDOUT; EDEADLK; ESTALE; ECORRUPT;
 *         an errno
 * Owner: the bytes are copied.   Threads: any.   Fork: the child's first write
 * takes an owner slot.   Signals: not in a handler that interrupted a write.
 * Blocks: while another process holds a lock that it needs, up to the lock timeout;
 * when stopped processes hold several, as often. After the segment was replaced, it
 * attaches to the new one, as shmkv_get() does.
 * Order: release; a later get sees all of it.   Spec 6.3.
 */
int shmkv_put(shmkv_t *kv, const void *key, size_t key_len, const void *val, size_t val_len);

/**
 * Remove @p key.
 *
 * @return SHMKV_OK; ENOTFOUND; otherwise as shmkv_put()
 * Threads, fork, signals, blocking: as shmkv_put().   Spec 6.4.
 */
int shmkv_delete(shmkv_t *kv, const void *key, size_t key_len);

/**
 * Store a value with its type, and with an end if it is to have one.
 *
 * @param item  in: data, len, type, flags, expires_ns. A moment in the past makes an
 *              entry that counts as absent at once.
 * @return as shmkv_put(); EVALUE also when the bytes are not of the type; EARGUMENT
 *         (no item, an unknown type or flag)
 * Owner, threads, fork, signals, blocking, order: as shmkv_put().   Spec 6.3, 3.7.
 */
int shmkv_put_item(shmkv_t *kv, const void *key, size_t key_len, const struct shmkv_item *item);

/**
 * Store a value of this type: shmkv_put_item() in short.
 *
 * @param value  of a boolean: 0 is false, everything else true
 * @return as shmkv_put_item()
 * Owner, threads, fork, signals, blocking, order: as shmkv_put().   Spec 6.3, 3.7.
 */
int shmkv_put_i64(shmkv_t *kv, const void *key, size_t key_len, int64_t value);
int shmkv_put_f64(shmkv_t *kv, const void *key, size_t key_len, double value);
int shmkv_put_bool(shmkv_t *kv, const void *key, size_t key_len, int value);
int shmkv_put_null(shmkv_t *kv, const void *key, size_t key_len);
int shmkv_put_text(shmkv_t *kv, const void *key, size_t key_len, const char *text, size_t len);
int shmkv_put_json(shmkv_t *kv, const void *key, size_t key_len, const char *json, size_t len);

/**
 * Store @p n items, each as by shmkv_put_item(), one after the other in the order given; of a
 * key that is given twice, the last one stays. Takes less time than so many puts: it looks
 * ahead, so that the keys wait for memory together.
 *
 * Each key is old or new, as with a put; not all of them together (shmkv_transaction() does
 * that). Others see the changes one by one, and a process that is killed in the middle has
 * made so many of them, from the first on.
 *
 * All keys and items are looked at first. If one of them is wrong, nothing is changed.
 * Whatever fails later ends the call: what was stored before stays.
 *
 * @param items  in: as for shmkv_put_item(). out: of each that is stored, `version`, and `result`
 *               SHMKV_OK; `result` of the one that failed or was wrong; the others are untouched
 * @param done   out, may be NULL: how many are stored, from the first on
 * @return SHMKV_OK: all are stored; otherwise as shmkv_put_item(), and the detail tells the key
 *         and how many are done
 * Owner: the caller keeps all of it.   Threads, fork, signals, order: as shmkv_put().
 * Blocks: as shmkv_put(), for each key.   Spec 6.3.
 */
int shmkv_put_many(shmkv_t *kv, size_t n, const struct shmkv_bytes *keys,
                   struct shmkv_item *items, size_t *done);

/**
 * Remove @p n keys, each as by shmkv_delete(). One that is not there is no failure.
 * Otherwise as shmkv_put_many().
 *
 * @param results  out, may be NULL: of each key SHMKV_OK or SHMKV_ENOTFOUND, or why it failed
 * @param done     out, may be NULL: how many are gone, or were never there, from the first on
 * @param removed  out, may be NULL: how many of them were there
 * @return SHMKV_OK; otherwise as shmkv_delete(), without ENOTFOUND
 * Owner, threads, fork, signals, blocking, order: as shmkv_put_many().   Spec 6.4.
 */
int shmkv_delete_many(shmkv_t *kv, size_t n, const struct shmkv_bytes *keys, int *results,
                      size_t *done, size_t *removed);

/*
 * The calls below decide by what is there at the moment of the change: nobody comes
 * between. An entry that has expired, or whose owner is gone, is absent. If the answer
 * is no, nothing has changed. Unless they say otherwise: owner of the bytes, threads, fork, signals,
 * blocking and order are those of shmkv_put(), and so are the errors that they share with
 * it and with shmkv_put_item().
 */

/**
 * Store @p item if @p key is absent (add), or if it is present (replace).
 *
 * An entry bound to a writer who has died is absent, as for a get. Whoever meets one here, or
 * with any change of one key but a plain put, cleans up after the dead: what they had begun is
 * finished before the caller takes their place. EBUSY if others bind it anew each time.
 *
 * @param version  out, may be NULL: the new value's modification number
 * @return SHMKV_OK; add: EEXISTS; replace: ENOTFOUND; otherwise as shmkv_put_item()
 * Spec 6.11.
 */
int shmkv_add(shmkv_t *kv, const void *key, size_t key_len,
              const struct shmkv_item *item, uint64_t *version);
int shmkv_replace(shmkv_t *kv, const void *key, size_t key_len,
                  const struct shmkv_item *item, uint64_t *version);

/**
 * Store @p item and get what was there.
 *
 * @param buf,buf_len  where the old value goes
 * @param old  out: the old value, as from shmkv_get_item(); if the key was absent, its
 *             `result` is SHMKV_ENOTFOUND and @p item is stored all the same
 * @return SHMKV_OK: stored; ETOOSMALL: @p old->len tells how long the old value is, and
 *         nothing has changed; EARGUMENT (no place for the old value); otherwise as
 *         shmkv_put_item()
 * Owner: the caller keeps @p buf.   Spec 6.11.
 */
int shmkv_swap(shmkv_t *kv, const void *key, size_t key_len, const struct shmkv_item *item,
               void *buf, size_t buf_len, struct shmkv_item *old);

/**
 * Remove @p key and get what was there.
 *
 * @param item  out, on SHMKV_OK and SHMKV_ETOOSMALL: as from shmkv_get_item()
 * @return SHMKV_OK: removed; ENOTFOUND; ETOOSMALL: nothing has changed; EARGUMENT (no
 *         place for the value); otherwise as shmkv_delete()
 * Owner: the caller keeps @p buf.   Spec 6.11.
 */
int shmkv_take(shmkv_t *kv, const void *key, size_t key_len,
               void *buf, size_t buf_len, struct shmkv_item *item);

/**
 * Store @p item if the value is still the one with this modification number.
 *
 * @param version  of the value, from shmkv_get_item() and others; 0: @p key must be absent
 * @return SHMKV_OK; ECHANGED; otherwise as shmkv_put_item()
 * Spec 6.11.
 */
int shmkv_cas(shmkv_t *kv, const void *key, size_t key_len,
              uint64_t version, const struct shmkv_item *item);

/**
 * Store @p item if the value has the type and the bytes of @p expected.
 *
 * @return SHMKV_OK; ECHANGED, also when @p key is absent; EBUSY: long values changed too
 *         fast to compare; otherwise as shmkv_put_item()
 * Blocks: as shmkv_put(); values above 1 KiB are compared without the lock.   Spec 6.11.
 */
int shmkv_cas_value(shmkv_t *kv, const void *key, size_t key_len,
                    const struct shmkv_item *expected, const struct shmkv_item *item);

/**
 * Remove @p key if its value still is the one with this modification number, or the
 * one with the type and the bytes of @p expected.
 *
 * @return SHMKV_OK; ENOTFOUND; ECHANGED; delete_value: EBUSY as shmkv_cas_value();
 *         otherwise as shmkv_delete()
 * Spec 6.11.
 */
int shmkv_delete_if(shmkv_t *kv, const void *key, size_t key_len, uint64_t version);
int shmkv_delete_value(shmkv_t *kv, const void *key, size_t key_len,
                       const struct shmkv_item *expected);

/**
 * Add @p delta to a number, or, if @p key is absent, to @p initial. No addition is
 * lost, whoever else adds at the same time. When the entry expires, and with whom it
 * goes, stays as it was.
 *
 * @param result  out, may be NULL: the sum
 * @return SHMKV_OK; ETYPE: the value is no number of this kind; EOVERFLOW: the sum does
 *         not fit (an integer), or is not finite (a float), and the number stays what it
 *         was; EARGUMENT: @p delta or @p initial is not finite; otherwise as shmkv_put()
 * Spec 6.11.
 */
int shmkv_incr_i64(shmkv_t *kv, const void *key, size_t key_len,
                   int64_t delta, int64_t initial, int64_t *result);
int shmkv_incr_f64(shmkv_t *kv, const void *key, size_t key_len,
                   double delta, double initial, double *result);

/**
 * Make a number the larger, or the smaller, of itself and @p value; if @p key is
 * absent, @p value. A float that is not a number gives way.
 *
 * @param result  out, may be NULL: the number now
 * @return SHMKV_OK, also if it stays what it was (and then nothing is written); EARGUMENT:
 *         @p value is not finite; otherwise as shmkv_incr_i64()
 * Spec 6.11.
 */
int shmkv_max_i64(shmkv_t *kv, const void *key, size_t key_len, int64_t value, int64_t *result);
int shmkv_min_i64(shmkv_t *kv, const void *key, size_t key_len, int64_t value, int64_t *result);
int shmkv_max_f64(shmkv_t *kv, const void *key, size_t key_len, double value, double *result);
int shmkv_min_f64(shmkv_t *kv, const void *key, size_t key_len, double value, double *result);

/**
 * Append to a value of bytes or text; if @p key is absent, store @p data as bytes, or
 * @p text as text. When the entry expires, and with whom it goes, stays as it was.
 *
 * @param new_len  out, may be NULL: length of the value now
 * @return SHMKV_OK; ETYPE: it is neither bytes nor text; EVALUE: too long, or @p data is
 *         not text and the value is, or @p text is none; EBUSY: others change the value
 *         too fast; otherwise as shmkv_put()
 * Cost: the whole value is copied.   Spec 6.11.
 */
int shmkv_append(shmkv_t *kv, const void *key, size_t key_len,
                 const void *data, size_t len, size_t *new_len);
int shmkv_append_text(shmkv_t *kv, const void *key, size_t key_len,
                      const char *text, size_t len, size_t *new_len);

/**
 * Get the value, or store @p initial if there is none.
 *
 * @param buf,buf_len  where the value goes, also the stored one
 * @param out  out: as from shmkv_get_item(); `result` is SHMKV_OK if the key was present,
 *             SHMKV_ENOTFOUND if @p initial was stored
 * @return SHMKV_OK; ETOOSMALL: nothing has changed, @p out->len tells the length; EBUSY: the
 *         key comes and goes too fast; otherwise as shmkv_get() and shmkv_put_item()
 * Spec 6.11.
 */
int shmkv_get_or_set(shmkv_t *kv, const void *key, size_t key_len,
                     const struct shmkv_item *initial, void *buf, size_t buf_len,
                     struct shmkv_item *out);

/*
 * Makes a new value of an old one.
 *
 * old   what is there; NULL: nothing
 * new   to be filled. Type and expiry are the old one's already; flags are not, and data
 *       must stay valid until the next call or until shmkv_update() returns.
 *
 * SHMKV_OK: store it. SHMKV_ENOTFOUND: remove the key. Anything else: leave all as it is,
 * and shmkv_update() returns it.
 */
typedef int (*shmkv_update_fn)(void *arg, const struct shmkv_item *old, struct shmkv_item *new_);

/**
 * Change a value by a function. Whoever changes the value meanwhile makes the function
 * be called again with what is there then.
 *
 * @param fn,arg  the function; it holds no lock, may use the handle, and must not mind being
 *                called several times
 * @return SHMKV_OK: stored or removed; what @p fn returned; EBUSY: others changed the value
 *         all the time, for as long as the lock timeout; EARGUMENT (no function); ENOMEM;
 *         otherwise as shmkv_get() and shmkv_put_item()
 * Blocks: as shmkv_put(), and as long as @p fn takes.   Spec 6.11.
 */
int shmkv_update(shmkv_t *kv, const void *key, size_t key_len, shmkv_update_fn fn, void *arg);

/**
 * Let the entry end at another moment, or, with 0, never. The value stays; its
 * modification number changes.
 *
 * @param expires_ns  nanoseconds since 1970 UTC
 * @return SHMKV_OK; ENOTFOUND; EBUSY: others change the value too fast; otherwise as shmkv_put()
 * Cost: the value is copied.   Spec 6.11.
 */
int shmkv_touch(shmkv_t *kv, const void *key, size_t key_len, uint64_t expires_ns);

/**
 * Reclaim the memory of entries that have expired, or whose writer is gone, after
 * cleaning up after dead writers. What has expired is absent without this, but takes
 * room, and is in shmkv_count(), until it is swept, deleted or overwritten, or a put needs its
 * room: no part of the index grows before what is gone from it was taken out. So a store whose
 * entries end keeps its size without sweeps; they make it smaller inside, and keep the count
 * true.
 *
 * @param max_steps  buckets to look at, one lock for each, from where this handle's last
 *                   sweep ended; 0: all of them, once
 * @param removed    out, may be NULL: entries reclaimed
 * @return SHMKV_OK; otherwise as shmkv_delete(), without ENOTFOUND
 * Threads, fork, signals, blocking: as shmkv_put(), for each step.   Spec 6.13.
 */
int shmkv_sweep(shmkv_t *kv, uint64_t max_steps, uint64_t *removed);

/**
 * Remove all entries, one after the other: what others store meanwhile may stay.
 *
 * @param removed  out, may be NULL: entries that were present
 * @return SHMKV_OK; otherwise as shmkv_delete(), without ENOTFOUND; some may be gone then
 * Threads, fork, signals, blocking: as shmkv_put(), for each entry.   Spec 6.13.
 */
int shmkv_clear(shmkv_t *kv, uint64_t *removed);

/**
 * Remove some entry and get it. No two callers get the same.
 *
 * @param key_buf,key_buf_len  where the key goes
 * @param key_len  out, on SHMKV_OK and SHMKV_ETOOSMALL: its length
 * @param buf,buf_len  where the value goes
 * @param item  out, likewise: as from shmkv_get_item()
 * @return SHMKV_OK; ENOTFOUND: no entry was there all the time; ETOOSMALL: key or value does
 *         not fit, and nothing has changed (the next call may meet another entry);
 *         EARGUMENT; otherwise as shmkv_delete()
 * Owner: the caller keeps the buffers.   Threads, fork, signals, blocking: as shmkv_put(),
 * for each bucket looked at; in a nearly empty segment these are many.   Spec 6.13.
 */
int shmkv_pop(shmkv_t *kv, void *key_buf, size_t key_buf_len, size_t *key_len,
              void *buf, size_t buf_len, struct shmkv_item *item);

/* ----------------------------------------------------------------------- wait */
/* In docs/examples: wait.c */

/**
 * Wait until the value of @p key is another than the one with this modification number.
 *
 * Woken by whoever changes it: no polling, and no cost to writers when nobody waits. An
 * entry also counts as changed when it expires, and when the process that it is bound to
 * has died, which is noticed within 50 ms.
 *
 * @param version     of the value that the caller knows, from shmkv_get_item() and others;
 *                    0: the key was absent
 * @param timeout_ms  0: look, and do not wait; negative: for ever
 * @return SHMKV_OK: it is another, or gone, or there; ETIMEDOUT: it is not, or (see the
 *         detail) a stopped process kept us from waiting; EINTR: a signal handler ran, call
 *         again; EKEY; EFROZEN: nothing will change any more; EREADONLY: a read-only handle
 *         can look, but not wait; otherwise as shmkv_get() and ENOSLOTS, EDEADLK
 * Threads: any. Each one that begins to wait needs an owner slot for that moment.
 * Fork: any.   Signals: not in a handler that interrupted a write.
 * Blocks: that is what it is for; and no longer than the lock timeout while a stopped
 * process holds the lock that it needs. When the segment is replaced it looks at the new
 * one (with SHMKV_STAY: ESTALE). The clock is CLOCK_MONOTONIC.
 * Order: acquire; a get after it finds what was changed.   Spec 6.12.
 */
int shmkv_wait(shmkv_t *kv, const void *key, size_t key_len, uint64_t version, int timeout_ms);

/**
 * Wait until anything changes in the store.
 *
 * @param position    in: where the caller stands, from the last call; 0: now. out: where it
 *                    stands now, also with ETIMEDOUT and EINTR; opaque
 * @param timeout_ms  as shmkv_wait()
 * @return SHMKV_OK: something has changed since @p position, perhaps something that does
 *         not show, such as a named lock; what expires or dies with its process is not told;
 *         otherwise as shmkv_wait(), and EARGUMENT
 * Threads, fork, signals, blocking, order: as shmkv_wait(). Takes every shard's lock in turn
 * before it waits: for many waiters of single keys shmkv_wait() is cheaper.   Spec 6.12.
 */
int shmkv_watch(shmkv_t *kv, uint64_t *position, int timeout_ms);

/* ------------------------------------------------------------------- transact */
/* In docs/examples: transaction.c */

/* A transaction, while its function runs. */
typedef struct shmkv_txn shmkv_txn_t;

/* Decides what becomes of the keys of a transaction. No lock is held meanwhile; it may
 * take its time, and call whatever it likes, even begin another transaction. It must
 * return. SHMKV_OK: make the changes; anything else: make none. */
typedef int (*shmkv_txn_fn)(void *arg, shmkv_txn_t *txn);

/**
 * Change several keys together: all of the changes are made, or none, also when the process
 * is killed in the middle.
 *
 * @p fn is given the values of @p keys as they were at one moment, and says by
 * shmkv_txn_put() and shmkv_txn_delete() what is to become of them. If one of the
 * keys has changed by the time that is done, also one that @p fn only looked at, @p fn is
 * called again with fresh values; what an earlier call wished is forgotten. So transactions
 * have an effect as if one came after the other.
 *
 * A snapshot and other transactions see all of the changes or none. A get sees one key,
 * and gets of several keys may meet with a transaction between them. If the process is
 * killed while it stores them, they may meet with it for longer: until somebody
 * writes to the shards concerned, which finishes it.
 *
 * @param n,keys  1 to 1024 different keys
 * @param fn,arg  see above
 * @return SHMKV_OK: the changes are made, or none were wished; what @p fn returned, if it was
 *         not SHMKV_OK: nothing has changed; otherwise nothing has changed either: EKEY;
 *         EVALUE; EARGUMENT (no or too many keys, one named twice, no function); EBUSY: the
 *         keys changed too often, for as long as the lock timeout; EREADONLY; EFROZEN;
 *         ECLOSED; ENOSPC; ENOSLOTS; ERESERVE; ETIMEDOUT; EDEADLK; ESTALE; ECORRUPT;
 *         ENOMEM; an errno
 * Owner: the caller keeps @p keys.   Threads: any.   Fork, signals, blocking, order: as
 * shmkv_put(); the locks of all shards that the keys are in are held at once.   Cost: an
 * index look-up for each key without a lock and two more with it; @p keys' values are
 * copied.   Spec 6.15.
 */
int shmkv_transaction(shmkv_t *kv, size_t n, const struct shmkv_bytes *keys, shmkv_txn_fn fn,
                      void *arg);

/**
 * The value of key number @p i, counted from 0: what this call of the function has put
 * there, or what was there.
 *
 * @param item  out: as from shmkv_get_item(); its data are valid until the function
 *              returns, or puts another value for the key. The version of what was put is 0.
 * @return SHMKV_OK; ENOTFOUND; EARGUMENT (no such key, or not inside the function)
 * Threads: that of the function.   Blocks: never.
 */
int shmkv_txn_get(shmkv_txn_t *txn, size_t i, struct shmkv_item *item);

/**
 * Let key number @p i have this value, or none.
 *
 * @param item  in: as for shmkv_put_item(); its data are copied
 * @return SHMKV_OK; delete: ENOTFOUND; EVALUE; EARGUMENT (no such key, no item, an unknown
 *         type or flag, or not inside the function); ENOMEM
 * Threads: that of the function.   Blocks: never.
 */
int shmkv_txn_put(shmkv_txn_t *txn, size_t i, const struct shmkv_item *item);
int shmkv_txn_delete(shmkv_txn_t *txn, size_t i);

/* ---------------------------------------------------------------- named locks */
/* In docs/examples: locks.c */

/**
 * Hold the lock @p name, which nobody else holds meanwhile. Names of locks are apart from
 * keys: no read, count or walk of the store sees them.
 *
 * The lock goes when it is unlocked, when the handle is closed, and when the process
 * ends: whoever waits then gets it, within 50 ms. A stopped holder keeps it. It also
 * goes with the segment when that is replaced. There is no queue: of those who wait
 * anyone may be next.
 *
 * @param name,name_len  1 to 65536 bytes
 * @param timeout_ms  0: try; negative: wait for ever
 * @param token       out, on SHMKV_OK: for shmkv_unlock(); never given again in this
 *                    segment. Tokens have no order: an earlier holder, also by this handle,
 *                    may have had a larger one
 * @return SHMKV_OK; ETIMEDOUT (the detail names the holder); EDEADLK: this thread holds it,
 *         by this handle (by another handle it waits for itself); EINTR: a signal handler
 *         ran, call again; EARGUMENT; otherwise as shmkv_put()
 * Threads: any; another thread may unlock.   Fork: the child does not hold it.
 * Blocks: up to the timeout.   Spec 6.14.
 */
int shmkv_lock(shmkv_t *kv, const void *name, size_t name_len, int timeout_ms, uint64_t *token);

/**
 * Let the lock go.
 *
 * @param token  from shmkv_lock()
 * @return SHMKV_OK; ECHANGED: it was not ours (unlocked already, or the segment was replaced, or
 *         it was taken by another handle or before a fork); otherwise as shmkv_delete()
 * Threads: any.   Fork: the child does not let its parent's lock go.
 * Blocks: as shmkv_delete().   Spec 6.14.
 */
int shmkv_unlock(shmkv_t *kv, const void *name, size_t name_len, uint64_t token);

/* A named lock that is held. */
struct shmkv_held {
    const void *name; /* valid until the function returns */
    size_t name_len;
    uint64_t token;  /* the holder's, as shmkv_lock() gave it */
    uint64_t thread; /* its number, in the holder's PID namespace */
    int32_t owner;   /* owner slot of the holder; see shmkv_owners() */
};
typedef void (*shmkv_held_fn)(void *arg, const struct shmkv_held *lock);

/**
 * Tell @p fn of each named lock that is held, in no particular order, also of those whose
 * holder is dead and which nobody has asked for since.
 *
 * A lock that is held by one holder throughout is told once. Since when is not recorded.
 *
 * @return SHMKV_OK; EARGUMENT; ECLOSED; EBUSY; ESTALE; ECORRUPT; ENOMEM; an errno
 * Threads: any; also read-only handles.   Blocks: takes no lock.   Cost: a walk over all entries.
 * Inside @p fn any call is allowed.   Spec 6.14.
 */
int shmkv_held(shmkv_t *kv, shmkv_held_fn fn, void *arg);

/*
 * Makes a value. Zeroed, @p new_ is to be filled as for shmkv_put_item(), with data that stay
 * valid until shmkv_get_or_compute() returns. Anything but SHMKV_OK: nothing is stored,
 * and shmkv_get_or_compute() returns it.
 */
typedef int (*shmkv_compute_fn)(void *arg, struct shmkv_item *new_);

/**
 * Get the value, or compute and store it if there is none. Of all who ask at once
 * one computes, and the others wait for its result. If it dies, or if its function
 * fails, another one computes.
 *
 * @param fn,arg      the function: it holds the lock named @p key (see shmkv_lock()) and none of
 *                    the store's, and may use the handle
 * @param timeout_ms  for the wait, not for the function; 0: do not wait; negative: for ever
 * @param buf,buf_len where the value goes
 * @param item        out: as from shmkv_get_item(); `result` is SHMKV_OK if the key was
 *                    present, SHMKV_ENOTFOUND if the function made the value
 * @return SHMKV_OK; what @p fn returned; ETOOSMALL: the value is there, and @p item->len tells
 *         its length; ETIMEDOUT, EINTR: somebody else still computes it; EDEADLK: this thread
 *         does; otherwise as shmkv_get() and shmkv_put_item()
 * Threads: any.   Blocks: as long as it waits, and as long as @p fn takes.   Spec 6.14.
 */
int shmkv_get_or_compute(shmkv_t *kv, const void *key, size_t key_len, shmkv_compute_fn fn,
                         void *arg, int timeout_ms, void *buf, size_t buf_len,
                         struct shmkv_item *item);

/* -------------------------------------------------------------------- iterate */
/* In docs/examples: walk.c */

enum shmkv_cursor_flags {
    SHMKV_KEYS_ONLY = 1 /* leave the values alone; val is NULL, val_len 0 */
};

/**
 * Begin to walk all entries. A key that is present from the first step to the
 * last is given exactly once; one that comes or goes meanwhile may be given or
 * not, and one removed and stored again may be given twice.
 *
 * @param flags  enum shmkv_cursor_flags
 * @param out    the cursor; close it with shmkv_cursor_close(), before the handle
 * @return SHMKV_OK; EARGUMENT; ECLOSED; ESTALE; ENOMEM
 * Threads: one thread at a time per cursor.   Blocks: never.   Spec 6.5.
 */
int shmkv_cursor_open(shmkv_t *kv, unsigned flags, shmkv_cursor_t **out);

/**
 * Step to the next entry.
 *
 * @param key,val  out: valid until the next call on this cursor
 * @return SHMKV_OK; ENOTFOUND at the end; ESTALE when the segment was replaced
 *         under the cursor; EBUSY; ERESERVE; ECORRUPT: the next call goes on behind what cannot
 *         be read; ENOMEM: the next call tries the same entry again
 * Threads: one at a time per cursor.   Blocks: never: no lock.   Spec 6.5.
 */
int shmkv_cursor_next(shmkv_cursor_t *cursor, const void **key, size_t *key_len,
                      const void **val, size_t *val_len);

/**
 * As shmkv_cursor_next(), with all that goes with the value.
 *
 * @param item  out: as from shmkv_get_item(); all zero with SHMKV_KEYS_ONLY
 * @return as shmkv_cursor_next(); EARGUMENT (no item)
 * Owner, threads, blocking: as shmkv_cursor_next().   Spec 6.5.
 */
int shmkv_cursor_next_item(shmkv_cursor_t *cursor, const void **key, size_t *key_len,
                           struct shmkv_item *item);

/**
 * Give only the keys that begin with @p prefix. Of the others no value is copied; but keys lie
 * in no order, so the walk looks at all of them all the same.
 *
 * @param prefix,len  any bytes; none: all keys
 * @return SHMKV_OK; EKEY (longer than any key); EARGUMENT (no cursor, or one that is under way:
 *         call it before the first step); ENOMEM
 * Owner: the bytes are copied.   Threads: one at a time per cursor.   Blocks: never.   Spec 6.5.
 */
int shmkv_cursor_prefix(shmkv_cursor_t *cursor, const void *prefix, size_t len);

/* Where a cursor stands. Opaque; to be kept wherever its owner likes. */
#define SHMKV_POSITION_SIZE 32
struct shmkv_position {
    uint8_t bytes[SHMKV_POSITION_SIZE];
};

/**
 * Tell where the cursor stands: behind the key that it gave last, before the first, or
 * at the end.
 *
 * A position is good for as long as the segment is: another cursor, in this process or in another,
 * goes on from it when this one is gone. Nothing has to be kept or given up for it. The two
 * together give each key that is present from the first step of the one to the last of
 * the other exactly once, however the segment has grown in between.
 *
 * @param position  out
 * @return SHMKV_OK; EARGUMENT; ESTALE when the segment was replaced
 * Threads: one at a time per cursor.   Blocks: never.   Spec 6.5.
 */
int shmkv_cursor_position(shmkv_cursor_t *cursor, struct shmkv_position *position);

/**
 * Go on from a position. Flags and prefix stay this cursor's.
 *
 * @param position  from shmkv_cursor_position(), of any cursor over this segment. It may come from
 *                  anywhere: nothing that it contains does any harm.
 * @return SHMKV_OK; EARGUMENT: that is no position, and the cursor stands where it stood; ESTALE:
 *         it is one of another segment (also of one that had the name before), or the segment
 *         was replaced under the cursor
 * Threads: one at a time per cursor.   Blocks: never.   Spec 6.5.
 */
int shmkv_cursor_seek(shmkv_cursor_t *cursor, const struct shmkv_position *position);

/** End the walk. NULL is allowed. Threads: one at a time per cursor. */
void shmkv_cursor_close(shmkv_cursor_t *cursor);

/**
 * Copy all entries as they were at one moment into private memory.
 *
 * @param out  the snapshot; free it with shmkv_snapshot_free(). It does not need
 *             the handle any more.
 * @return SHMKV_OK; EARGUMENT; ECLOSED; ETIMEDOUT; EDEADLK; ENOSLOTS; EBUSY (read-only handle,
 *         and the segment never held still); ERESERVE; ECORRUPT; ESTALE; ENOMEM
 * Threads: any.   Blocks: a writable handle takes every shard lock, in order, and
 * so holds up writers for as long as the copy takes; a read-only one repeats an
 * unlocked copy until no shard changed meanwhile.   Spec 6.7.
 */
int shmkv_snapshot(shmkv_t *kv, shmkv_snapshot_t **out);

/** Number of entries in the snapshot. */
uint64_t shmkv_snapshot_count(const shmkv_snapshot_t *snapshot);

/**
 * Step through the snapshot, from its beginning.
 *
 * @param key,val  out: valid until the snapshot is freed
 * @return SHMKV_OK; ENOTFOUND at the end
 * Threads: one at a time per snapshot.   Blocks: never.
 */
int shmkv_snapshot_next(shmkv_snapshot_t *snapshot, const void **key, size_t *key_len,
                        const void **val, size_t *val_len);

/**
 * As shmkv_snapshot_next(), with all that went with the value at that moment.
 *
 * @param item  out: as from shmkv_get_item(); data is valid until the snapshot is freed
 * @return SHMKV_OK; ENOTFOUND at the end
 * Threads: one at a time per snapshot.   Blocks: never.
 */
int shmkv_snapshot_next_item(shmkv_snapshot_t *snapshot, const void **key, size_t *key_len,
                             struct shmkv_item *item);

/** Free the snapshot. NULL is allowed. */
void shmkv_snapshot_free(shmkv_snapshot_t *snapshot);

/* --------------------------------------------------------------- dump and load */
/* In docs/examples: dump.c */

enum shmkv_dump_flags {
    SHMKV_DUMP_SNAPSHOT = 1 /* the entries as they were at one moment, see shmkv_snapshot() */
};

/**
 * Write all entries to @p fd as a stream: types and expiry too, checksums throughout.
 * It may go through a pipe, to another machine, and into any segment. Entries that are bound
 * to a process, and expired ones, are not part of it.
 *
 * @param fd       a file, pipe or socket; written to from where it stands
 * @param flags    enum shmkv_dump_flags; without SHMKV_DUMP_SNAPSHOT each entry is of a
 *                 moment of its own, as with a cursor
 * @param entries  out, may be NULL: entries written, also when it fails; another thread may
 *                 look at it meanwhile
 * @return SHMKV_OK; EARGUMENT; ECLOSED; ESTALE when the segment was replaced meanwhile; EBUSY;
 *         ERESERVE; ECORRUPT; SNAPSHOT: also ETIMEDOUT, ENOSLOTS; ENOSPC: where @p fd leads; an
 *         errno: of write(2), or ENOMEM. What was written then has no end, and a load refuses it.
 * Threads: any.   Signals: SIGPIPE as with write(2).   Blocks: as long as @p fd does; no lock is held
 * while it writes. A snapshot holds up writers while it copies, and takes memory for all of it.
 * Order: a dump that has returned is not on disk until fsync(2).   Spec 9.2.
 */
int shmkv_dump(shmkv_t *kv, int fd, unsigned flags, uint64_t *entries);

enum shmkv_load_flags {
    SHMKV_LOAD_KEEP = 1,   /* store only what is absent */
    SHMKV_LOAD_REPLACE = 2 /* what the dump does not have goes: all at once, and only if the
                            * dump is whole */
};

/**
 * Store the entries of a dump.
 *
 * With SHMKV_LOAD_REPLACE they go into a fresh segment, which takes the name when the
 * dump was read to its end and found right, as an exclusive open does (so it also
 * replaces a frozen one). Needs room for both. Handles follow; one opened with
 * SHMKV_STAY, this one included, is SHMKV_ESTALE afterwards. Otherwise each entry is one
 * shmkv_put_item(), or shmkv_add().
 *
 * @param fd       read to the end of the dump; if it can be positioned, it stands right behind
 *                 that afterwards, else what follows may have been read and lost
 * @param flags    enum shmkv_load_flags, at most one; 0: the dump's entries replace those
 *                 of the same keys
 * @param entries  out, may be NULL: entries stored, also when it fails; another thread may
 *                 look at it meanwhile. Expired ones are not stored.
 * @return SHMKV_OK; EDUMP: damaged or cut off, the detail names the byte; REPLACE: nothing
 *         has changed then; EFORMAT: of a newer version; EARGUMENT; EREADONLY; otherwise as
 *         shmkv_put_item(), or with REPLACE as shmkv_open() EXCLUSIVE; an errno: of read(2), or
 *         ENOMEM
 * Threads: any.   Blocks: as long as @p fd does, without a lock.
 * A dump is untrusted input: whatever the bytes are, they make nothing worse than
 * entries.   Spec 9.3.
 */
int shmkv_load(shmkv_t *kv, int fd, unsigned flags, uint64_t *entries);

/* ------------------------------------------------------------------- maintain */
/* In docs/examples: maintain.c */

/* What a segment is; fixed at its creation, but for `state`, `frozen` and the sizes of the file. */
struct shmkv_info {
    size_t size;              /* set to sizeof(struct shmkv_info) before the call */
    uint32_t revision;        /* format revision */
    uint32_t state;           /* 1 live, 2 being replaced, 3 replaced */
    uint64_t compat, ro_compat, incompat; /* feature words */
    uint8_t uuid[16];
    uint64_t incarnation;     /* counts the segments that had this name */
    uint32_t shard_count, arena_count, owner_count;
    uint64_t max_key, max_value, max_size; /* bytes; max_size 0 is no limit of its own */
    uint64_t default_ttl_ns;  /* time to live of entries stored without an end; 0: none */
    uint64_t max_entries;     /* the most entries of a cache; 0: any number */
    uint64_t max_bytes;       /* the most bytes that its entries take; 0: any number */
    uint32_t evicts;          /* 1: it is a cache, see struct shmkv_options */
    uint64_t created_ns;      /* nanoseconds since 1970 UTC */
    uint32_t creator_uid, creator_pid;
    char creator_name[33];
    uint32_t permissions;     /* mode bits of the object */
    uint32_t uid;             /* owner of the object */
    uint64_t file_size;       /* bytes, holes included */
    uint64_t file_allocated;  /* bytes, as the file system counts them */
    uint32_t frozen;          /* 1: read-only for ever, see shmkv_freeze() */
    uint64_t huge_bytes;      /* of it, mapped by huge pages in this process, as /proc says;
                               * counted with SHMKV_HUGE_PAGES only, else 0 */
};

/* How full it is; counted at the time of the call. */
struct shmkv_stats {
    size_t size;              /* set to sizeof(struct shmkv_stats) before the call */
    uint64_t entries;
    uint64_t limit;           /* end of the allocated part of the segment, bytes */
    uint64_t meta_bytes;      /* header, owners, shards, arenas, space block */
    uint64_t free_bytes;      /* whole free runs */
    uint64_t group_bytes;     /* index groups */
    uint64_t slab_bytes;      /* slabs, used or not */
    uint64_t large_bytes;     /* runs of single records */
    uint64_t cells_used;      /* cells handed out: records, directories, overflow buckets */
    uint64_t cells_free;      /* cells that could be handed out without growing */
    uint64_t directory_words; /* over all shards */
    uint32_t owners_live;     /* owner slots marked live */
    uint32_t shards_used;     /* shards with a directory */
    uint64_t entry_bytes;     /* what max_bytes bounds; 0 without that bound */
    uint64_t evictions;       /* entries evicted so far, expired ones not counted */
};

/**
 * Facts and counters of the segment.
 *
 * @return SHMKV_OK; EARGUMENT (size not set); ECLOSED; ESTALE; ECORRUPT; an errno
 * Threads: any.   Blocks: never: no lock; counters may be some operations apart.
 * Spec 3.2 (info), 3.5 (stats).
 */
int shmkv_info(shmkv_t *kv, struct shmkv_info *info);
int shmkv_stats(shmkv_t *kv, struct shmkv_stats *stats);

/**
 * Make the segment read-only for ever: no entry is stored, changed or removed any
 * more, by anybody. Entries whose time comes, or whose process ends, still go.
 * An exclusive open still replaces the segment, and shmkv_unlink() removes it.
 *
 * @return SHMKV_OK: it is frozen, by us or before; ETIMEDOUT: it is not; EREADONLY;
 *         ECLOSED; ENOSLOTS; EDEADLK; ESTALE; ECORRUPT
 * Threads: any.   Blocks: takes every shard lock, and so waits for changes under
 * way, up to the lock timeout for each stopped process that holds one.
 * Order: a change that was acknowledged before the call is there, one that begins
 * after it is SHMKV_EFROZEN.   Cost to readers: none.   Spec 5.8.
 */
int shmkv_freeze(shmkv_t *kv);

/**
 * Wait until the segment is on disk, if it is in a regular file: all that was
 * acknowledged before the call, and its name. Killed processes lose nothing without
 * it; it is for power failures. What others change during and after the call may
 * reach the disk in part: then the first open for writing after the machine's
 * next start verifies the segment, which costs time in proportion to its size,
 * and refuses one that contradicts itself (ECORRUPT). It cannot tell that a value is
 * an older one, or a mixture. In /dev/shm there is no disk; the call does no harm.
 *
 * @return SHMKV_OK; ECLOSED; ESTALE; ENOSPC; an errno, EIO among them: what is on disk is
 *         not known then
 * Threads: any; also read-only handles.   Blocks: for as long as the disk takes; nobody
 * else waits meanwhile.   Spec 5.9.
 */
int shmkv_sync(shmkv_t *kv);

/* One problem found by shmkv_verify(): where, and what is wrong there. */
typedef void (*shmkv_problem_fn)(void *arg, uint64_t offset, const char *text);

/**
 * Check every invariant of the format over the whole segment, on a private view
 * to which the intents of dead or stopped writers have been applied.
 *
 * @param fn        called for each problem; may be NULL. Outside any lock.
 * @param problems  out, may be NULL: their number
 * @return SHMKV_OK: none; ECORRUPT: some; EBUSY: the segment changed too fast to
 *         be sure; ECLOSED; ESTALE; ENOMEM; an errno
 * Threads: any.   Blocks: never: no lock, and nothing shared is written.
 * Takes memory and time in proportion to the segment.   Spec 7.5.
 */
int shmkv_verify(shmkv_t *kv, shmkv_problem_fn fn, void *arg, uint64_t *problems);

enum shmkv_lock_kind { SHMKV_LOCK_SHARD = 0, SHMKV_LOCK_ARENA = 1, SHMKV_LOCK_SPACE = 2 };

/* One lock. */
struct shmkv_lock {
    int kind;          /* enum shmkv_lock_kind */
    uint32_t index;    /* which shard or arena */
    uint32_t word;     /* the raw word; 0 is free */
    int32_t owner;     /* owner slot, -1 if free */
    int waiters;       /* somebody sleeps on it */
    uint64_t intent;   /* the raw intent word; 0 is idle */
};

enum shmkv_liveness { SHMKV_FREE = 0, SHMKV_ALIVE = 1, SHMKV_DEAD = 2 };

/* One owner slot. */
struct shmkv_owner {
    uint32_t slot;
    int liveness;          /* enum shmkv_liveness; DEAD: awaits clean-up */
    int stopped;           /* the process is stopped (SIGSTOP, debugger); needs /proc */
    uint32_t generation;
    uint32_t pid, uid;     /* pid as seen in its own PID namespace */
    uint64_t pid_ns;       /* inode of that namespace */
    uint64_t start_time;   /* clock ticks since boot */
    uint64_t attached_ns;  /* nanoseconds since 1970 UTC */
    char name[33];         /* program */
    uint32_t locks_held;   /* locks that name this slot */
};

/**
 * Report on all locks, or on all owner slots that are not free.
 *
 * @param array,capacity  where to put the first @p capacity; NULL, 0 to count
 * @param n               out: how many there are, which may be more than @p capacity
 * @return SHMKV_OK; EARGUMENT; ECLOSED; ESTALE; an errno
 * Threads: any.   Blocks: never.   Spec 4.2 (locks), 4.4 (owners).
 */
int shmkv_locks(shmkv_t *kv, struct shmkv_lock *array, size_t capacity, size_t *n);
int shmkv_owners(shmkv_t *kv, struct shmkv_owner *array, size_t capacity, size_t *n);

/* --------------------------------------------------------------------- errors */
/* In docs/examples: open.c */

/** The general text of a result of this library, never NULL. Threads: any. */
const char *shmkv_strerror(int err);

/** The constant's name ("SHMKV_ENOTFOUND"), or NULL for an errno. Threads: any. */
const char *shmkv_error_name(int err);

/**
 * What failed last in the calling thread, with the segment's name and, where one
 * is to blame, the process. Valid until the thread's next failing call; empty
 * before the first. Answers such as ENOTFOUND leave it as it was.
 */
const char *shmkv_error_detail(void);

/** The library's version, "0.1.0". Threads: any. */
const char *shmkv_version(void);

#ifdef __cplusplus
}
#endif

#endif
