/*
 * Every error of shmkv, once. The enum, shmkv_strerror(), the exception classes
 * of the bindings and the table in docs/errors.md all come from this list.
 *
 * Numbers are pinned: a code is never renumbered and a retired one leaves a gap.
 * Positive results are errno values passed through from the system.
 *
 * X(name, number, class, text)
 *   name    the constant is SHMKV_<name>
 *   class   name of the exception class in Perl, Python and Ruby
 *   text    what it means and, where there is something to do, what to do
 */
#ifndef SHMKV_ERRORS_H
#define SHMKV_ERRORS_H

/* clang-format off */
#define SHMKV_ERROR_MAP(X) \
    /* The answer is no. */ \
    X(ENOTFOUND,   -1, NotFound,        "no such key") \
    X(ETOOSMALL,   -2, BufferTooSmall,  "the value does not fit into the buffer") \
    X(ENOSEGMENT,  -3, NoSegment,       "no segment of this name exists") \
    X(EEXISTS,     -4, Exists,          "the key is present already") \
    X(ECHANGED,    -5, Changed,         "the value is not the expected one") \
    /* The call is wrong. */ \
    X(ENAME,      -10, BadName,         "bad segment name: write 'name' (1 to 254 bytes, no slash) for shared memory, or '/dir/file', './file', '../file' for a file") \
    X(EKEY,       -11, BadKey,          "bad key: keys are 1 to 65536 bytes") \
    X(EVALUE,     -12, BadValue,        "bad value: values are at most 4294967295 bytes, and as their type wants them") \
    X(EARGUMENT,  -13, BadArgument,     "bad argument") \
    X(EREADONLY,  -14, ReadOnly,        "the handle is read-only") \
    X(ECLOSED,    -15, Closed,          "the handle is closed") \
    X(EDEADLK,    -16, Deadlock,        "this thread is already inside an operation on this part of the segment (a signal handler?)") \
    X(ETYPE,      -17, BadType,         "the value has another type") \
    X(EOVERFLOW,  -18, Overflow,        "the result does not fit") \
    X(EFROZEN,    -19, Frozen,          "the segment is frozen: it can only be read; to change it, copy its entries to another segment, or replace it by an exclusive open") \
    /* Try again, or give it more. */ \
    X(ETIMEDOUT,  -20, TimedOut,        "the time is over: a live process held a lock for too long (let it run: kill -CONT, or end it), or what was waited for did not come") \
    X(EBUSY,      -21, Busy,            "the segment kept changing; try again") \
    X(ENOSPC,     -22, NoSpace,         "no space left for the segment: delete entries or free some memory, or make room (for /dev/shm: mount -o remount,size=SIZE /dev/shm)") \
    X(ENOSLOTS,   -23, NoSlots,         "every owner slot of the segment is taken by a live writer: close some handles, or create the segment with more slots") \
    X(ERESERVE,   -24, ReserveTooSmall, "the segment has grown beyond this handle's address space: reopen it with a larger reserve, or raise RLIMIT_AS") \
    X(ESTALE,     -25, Stale,           "the segment was replaced by an exclusive open") \
    /* Not ours, or not whole. */ \
    X(EFOREIGN,   -30, Foreign,         "an object of this name exists and is not a shmkv segment; it was left alone") \
    X(EFORMAT,    -31, Format,          "the segment or dump needs a newer version of shmkv") \
    X(ECORRUPT,   -32, Corrupt,         "the segment is damaged: look at it with shmkv-inspect check and hexdump; unlink it to start afresh") \
    X(EOWNER,     -33, WrongOwner,      "the segment belongs to another user: to open it all the same, pass any_owner (in C SHMKV_ANY_OWNER)") \
    X(ENOSHM,     -34, NoSharedMemory,  "no shared memory: /dev/shm is missing or not a tmpfs (mount -t tmpfs tmpfs /dev/shm)") \
    X(EDUMP,      -35, BadDump,         "the dump is damaged, cut off, or none at all: take another copy, or make it again")
/* clang-format on */

enum shmkv_error {
    SHMKV_OK = 0,
#define SHMKV_ERROR_ENUM(name, number, class_, text) SHMKV_##name = number,
    SHMKV_ERROR_MAP(SHMKV_ERROR_ENUM)
#undef SHMKV_ERROR_ENUM
};

#endif
