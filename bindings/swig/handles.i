/*
 * Store, an open segment, and Cursor, a walk over it.
 *
 * The core wants cursors closed before their handle, and no call on a handle
 * after its close. Languages promise neither, so both are counted and linked
 * here: closing a Store first ends its cursors; a Cursor keeps its Store alive
 * but not open; whatever is used too late raises Closed.
 *
 * Most calls are made with the interpreter's lock held: they take less time than
 * giving it up. Opening, get_all, verify() and those of transfer.i may take long and do
 * give it up.
 * A close() by another thread meanwhile takes effect when they return.
 */
%{
#include <math.h>
#include <unistd.h>

typedef struct Cursor Cursor;

typedef struct Store {
    shmkv_t *kv;       /* NULL once closed */
    shmkv_t *doomed;   /* closed, but still in use */
    unsigned busy;     /* calls running without the interpreter's lock, */
    pid_t busy_in;     /* in this process: a child that was forked meanwhile has none of them */
    unsigned inside;   /* transactions whose function runs: one that is forked there is in them, too */
    unsigned refs;     /* the object of the language, and the cursors */
    Cursor *cursors;   /* those still open */
    Cursor *walk;      /* of each(), in Perl */
    struct codec codec;
    char name[];       /* as given to open */
} Store;

enum yield { YIELD_KEYS, YIELD_VALUES, YIELD_ITEMS };

struct Cursor {
    shmkv_cursor_t *cursor; /* NULL at the end, and when closed */
    Store *store;
    Cursor *next, **link;   /* list of the store's open cursors */
    enum yield yield;
    int closed;
    struct shmkv_position position; /* where it stood at the end, */
    int position_err;               /* or why that is not known */
};

/* One step of a cursor, on its way into the language. */
typedef struct step_t {
    int state; /* 1 an entry, 0 the end, -1 raised */
    enum yield yield;
    const void *key;
    size_t key_len;
    struct shmkv_item item;
    const Store *store;
} step_t;

static int raise_closed(const Store *store)
{
    raise_error(refuse(SHMKV_ECLOSED, "%s: %s", store ? store->name : "shmkv",
                       shmkv_strerror(SHMKV_ECLOSED)));
    return -1;
}

#define IS_OPEN(store) ((store) && (store)->kv)

/* ------------------------------------------------------------------- life */

struct opening {
    const char *name;
    struct shmkv_options options;
    shmkv_t *kv;
    int err;
};

static void open_segment(void *argument)
{
    struct opening *job = argument;

    job->err = shmkv_open(job->name, &job->options, &job->kv);
}

/* Seconds as nanoseconds; infinity is no end, hence 0. False: raised. */
static int lifetime_of(const char *name, double seconds, uint64_t *ns)
{
    if (!(seconds >= 0) || (!isinf(seconds) && seconds * 1e9 >= 18446744073709551616.0)) {
        raise_error(refuse_at(&(const struct place){.segment = name}, SHMKV_EARGUMENT,
                              "bad argument: a default time to live of %g seconds", seconds));
        return 0;
    }
    *ns = isinf(seconds) ? 0 : (uint64_t)ceil(seconds * 1e9);
    return 1;
}

static Store *new_Store(const char *NAME, int mode, unsigned flags, uint64_t reserve,
                        uint32_t lock_timeout_ms, uint32_t permissions, uint32_t owner_slots,
                        uint64_t max_size, double default_ttl, uint64_t max_entries,
                        uint64_t max_bytes, int evict)
{
    struct opening job = {
        .name = NAME,
        .options = {
            .size = sizeof job.options,
            .mode = mode,
            .flags = flags,
            .reserve = reserve,
            .lock_timeout_ms = lock_timeout_ms,
            .permissions = permissions,
            .owner_slots = owner_slots,
            .max_size = max_size,
            .max_entries = max_entries,
            .max_bytes = max_bytes,
            .evict = evict,
        },
    };
    int refused = !lifetime_of(NAME, default_ttl, &job.options.default_ttl_ns);
    size_t name_size = strlen(NAME) + 1;
    Store *self;

    if (refused)
        return NULL;
    without_lock(open_segment, &job); /* in Ruby, an interrupt may raise before it begins */
    self = job.err ? NULL : calloc(1, sizeof *self + name_size);
    if (!job.err && !self) {
        shmkv_close(job.kv);
        job.err = ENOMEM;
    }
    if (job.err) {
        raise_error(job.err);
        return NULL;
    }
    memcpy(self->name, NAME, name_size);
    self->kv = job.kv;
    self->refs = 1;
    return self;
}

static void end_cursor(Cursor *cursor)
{
    if (!cursor->cursor)
        return;
    shmkv_cursor_close(cursor->cursor);
    cursor->cursor = NULL;
    *cursor->link = cursor->next;
    if (cursor->next)
        cursor->next->link = cursor->link;
}

static int in_use(const Store *self)
{
    return self->inside || (self->busy && self->busy_in == getpid());
}

static int close_store(Store *self)
{
    shmkv_t *kv = self->kv ? self->kv : self->doomed;

    while (self->cursors) {
        self->cursors->closed = 1;
        end_cursor(self->cursors);
    }
    self->kv = NULL;
    self->doomed = in_use(self) ? kv : NULL;
    return self->doomed ? SHMKV_OK : shmkv_close(kv);
}

static void drop_store(Store *self)
{
    if (--self->refs)
        return;
    close_store(self);
    codec_drop(&self->codec);
    free(self);
}

static void delete_Cursor(Cursor *self)
{
    if (!self)
        return;
    end_cursor(self);
    drop_store(self->store);
    free(self);
}

static void delete_Store(Store *self)
{
    if (!self)
        return;
    if (self->walk) {
        delete_Cursor(self->walk);
        self->walk = NULL;
    }
    drop_store(self);
}

static done_t Store_close(Store *self)
{
    int err = self ? close_store(self) : SHMKV_OK;

    if (err)
        raise_error(err);
    return err;
}

static answer_t Store_closed(const Store *self)
{
    return !IS_OPEN(self);
}

static native_t Store_name(const Store *self)
{
    return bytes_new(self ? self->name : "", self ? strlen(self->name) : 0);
}

static done_t unlink_segment(const char *NAME)
{
    int err = shmkv_unlink(NAME);

    if (err)
        raise_error(err);
    return err;
}

/* Once, when it is opened. */
static done_t Store_use_codec(Store *self, native_t ENCODE, native_t DECODE)
{
    if (!IS_OPEN(self))
        return raise_closed(self);
    codec_set(&self->codec, ENCODE, DECODE);
    return SHMKV_OK;
}

/* For what the code in the language itself refuses. */
static done_t refuse_argument(const char *of, const char *text)
{
    raise_error(refuse_at(&(const struct place){.segment = of}, SHMKV_EARGUMENT, "bad argument: %s", text));
    return -1;
}

static done_t refuse_value(const char *text)
{
    raise_error(refuse(SHMKV_EVALUE, "bad value: %s", text));
    return -1;
}

#if defined(SWIGPYTHON)
/* For the code in Python, which has seen that the key is not there. */
static done_t Store_missing(const Store *self, const void *KEY, size_t KEY_LEN, PyObject *GIVEN)
{
    raise_not_found(PLACE(self, KEY, KEY_LEN), GIVEN);
    return -1;
}
#endif

static native_t library_version(void)
{
    return text_new(shmkv_version());
}

/* Brackets for calls that run without the interpreter's lock. */
static shmkv_t *begin_unlocked(Store *self)
{
    pid_t here = getpid();

    if (self->busy_in != here)
        self->busy = 0;
    self->busy_in = here;
    self->busy++;
    return self->kv;
}

/* Brackets for those that run code of the user, which may close the Store. */
static shmkv_t *begin_inside(Store *self)
{
    self->inside++;
    return self->kv;
}

static void close_doomed(Store *self)
{
    if (self->doomed && !in_use(self)) {
        shmkv_close(self->doomed);
        self->doomed = NULL;
    }
}

static void end_unlocked(Store *self)
{
    self->busy--;
    close_doomed(self);
}

static void end_inside(Store *self)
{
    self->inside--;
    close_doomed(self);
}

struct unlocked_call {
    Store *store;
    void (*work)(void *);
    void *argument;
};

#if defined(SWIGRUBY)
static VALUE do_call(VALUE data)
{
    const struct unlocked_call *call = (const struct unlocked_call *)data;

    without_lock(call->work, call->argument);
    return Qnil;
}

static VALUE end_call(VALUE data)
{
    end_unlocked(((const struct unlocked_call *)data)->store);
    return Qnil;
}
#endif

/* The work, without the interpreter's lock; the handle, which is put to *kv, stays meanwhile. In
 * Ruby an interrupt may raise before it begins: then, too, it must be let go of. */
static void call_unlocked(Store *self, shmkv_t **kv, void (*work)(void *), void *argument)
{
    struct unlocked_call call = {self, work, argument};

    *kv = begin_unlocked(self);
#if defined(SWIGRUBY)
    rb_ensure(do_call, (VALUE)&call, end_call, (VALUE)&call);
#else
    without_lock(call.work, call.argument);
    end_unlocked(call.store);
#endif
}

/* ------------------------------------------------------------ single keys */

static inline done_t Store_put(Store *self, const void *KEY, size_t KEY_LEN, value_t *ITEM)
{
    int err;

    if (!IS_OPEN(self))
        return raise_closed(self);
    if (ITEM->item.type == SHMKV_BYTES)
        err = shmkv_put(self->kv, KEY, KEY_LEN, ITEM->item.data, ITEM->item.len);
    else
        err = shmkv_put_item(self->kv, KEY, KEY_LEN, &ITEM->item);
    if (err)
        raise_error(err);
    return err;
}

/* In place of a code of the core: what there is to say has been raised. */
enum { RAISED = -9999 };

/*
 * A call of the core that gives an entry, through the stack when it is small. It
 * sets *err instead of raising what the core said, so that each caller decides about
 * absent keys. as_bytes: whatever its type.
 */
struct reading {
    Store *store;
    const void *key;
    size_t key_len;
    int as_bytes;
    value_t *value; /* to be stored, by those that store one */
};
typedef int reader_fn(const struct reading *how, void *buf, size_t buf_len, struct shmkv_item *item);

static int read_entry(const struct reading *how, void *buf, size_t buf_len, struct shmkv_item *item)
{
    return shmkv_get_item(how->store->kv, how->key, how->key_len, buf, buf_len, item);
}

static inline reply_t reply_for(const struct reading *how, struct shmkv_item *item, int *err)
{
    reply_t value;

    if (how->as_bytes)
        item->type = SHMKV_BYTES;
    value = value_reply(PLACE_IN(how->store, how->key, how->key_len), item);
    if (!value)
        *err = RAISED;
    return value;
}

/* A value that does not fit on the stack: into a string of the language. */
static reply_t read_large(const struct reading *how, reader_fn *read, struct shmkv_item *item, int *err)
{
    native_t room;
    reply_t value;

    do {
        size_t size = item->len;

        room = bytes_room(size);
        if (!room) {
            *err = RAISED;
            return NO_OBJECT;
        }
        *err = read(how, bytes_data(room), size, item);
        if (!*err && (how->as_bytes || item->type == SHMKV_BYTES))
            return reply_of(from_outside(item->len == size ? room : bytes_fit(room, item->len)));
        value = *err ? NO_OBJECT : reply_for(how, item, err);
        release(room); /* if it did not do, the entry has grown, or gone, meanwhile */
    } while (*err == SHMKV_ETOOSMALL);
    return value;
}

/* In line, and so the reader of each caller is. */
static inline __attribute__((always_inline)) reply_t read_through(const struct reading *how, reader_fn *read, int *err)
{
    char small[STACK_VALUE];
    struct shmkv_item item = {0};

    *err = read(how, small, sizeof small, &item);
    if (!*err)
        return reply_for(how, &item, err);
    return *err == SHMKV_ETOOSMALL ? read_large(how, read, &item, err) : NO_OBJECT;
}

static inline reply_t read_value(Store *self, const void *key, size_t key_len, int *err)
{
    struct reading how = {self, key, key_len, 0, NULL};

    return read_through(&how, read_entry, err);
}

/* The reply, or nothing for an absent key. */
static inline reply_t found(reply_t value, int err)
{
    if (err == SHMKV_ENOTFOUND)
        return reply_of(nothing());
    if (err && err != RAISED)
        raise_error(err);
    return value;
}

static inline reply_t Store_get(Store *self, const void *KEY, size_t KEY_LEN)
{
    reply_t value;
    int err;

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    value = read_value(self, KEY, KEY_LEN, &err);
    return found(value, err);
}

/* [VAL-05] The bytes, whatever the type says. */
static reply_t Store_get_bytes(Store *self, const void *KEY, size_t KEY_LEN)
{
    struct reading how = {self, KEY, KEY_LEN, 1, NULL};
    reply_t value;
    int err;

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    value = read_through(&how, read_entry, &err);
    return found(value, err);
}

/* Was it there? A "no" is not a failure. */
static answer_t answer(int err)
{
    if (err && err != SHMKV_ENOTFOUND) {
        raise_error(err);
        return -1;
    }
    return !err;
}

static answer_t Store_delete(Store *self, const void *KEY, size_t KEY_LEN)
{
    if (!IS_OPEN(self))
        return raise_closed(self);
    return answer(shmkv_delete(self->kv, KEY, KEY_LEN));
}

static inline answer_t Store_exists(Store *self, const void *KEY, size_t KEY_LEN)
{
    if (!IS_OPEN(self))
        return raise_closed(self);
    return answer(shmkv_exists(self->kv, KEY, KEY_LEN));
}

/* -------------------------------------------------------------- all of it */

static native_t Store_get_size(Store *self)
{
    uint64_t n;
    int err;

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    err = shmkv_count(self->kv, &n);
    if (err) {
        raise_error(err);
        return NO_OBJECT;
    }
    return number_new(n);
}

struct copying {
    Store *store;
    shmkv_t *kv;
    shmkv_snapshot_t *snapshot;
    int err;
};

static void copy_segment(void *argument)
{
    struct copying *job = argument;

    job->err = shmkv_snapshot(job->kv, &job->snapshot);
}

/* All of the snapshot into a map; NO_OBJECT: raised. */
static native_t map_of_snapshot(void *argument)
{
    struct copying *job = argument;
    const void *key;
    size_t key_len;
    struct shmkv_item item;
    native_t map = map_new();

    while (map && !shmkv_snapshot_next_item(job->snapshot, &key, &key_len, &item)) {
        if (map_put_key(map, key, key_len, value_new(PLACE(job->store, key, key_len), &item))) {
            release(map);
            map = NO_OBJECT;
        }
    }
    return map;
}

static void drop_snapshot(void *argument)
{
    shmkv_snapshot_free(((struct copying *)argument)->snapshot);
}

static native_t Store_get_all(Store *self)
{
    struct copying job = {.store = self};

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    call_unlocked(self, &job.kv, copy_segment, &job);
    if (job.err) {
        raise_error(job.err);
        return NO_OBJECT;
    }
    return build_and_drop(map_of_snapshot, drop_snapshot, &job);
}

/* ---------------------------------------------------------------- iterate */

/* Of the keys that begin with the prefix, and from the position on, if there are such. */
static int begin_walk(const struct place *of, shmkv_cursor_t *cursor, const void *prefix, size_t prefix_len, const void *position,
                      size_t position_len)
{
    struct shmkv_position at;
    int err = shmkv_cursor_prefix(cursor, prefix, prefix_len);

    if (err || !position)
        return err;
    if (position_len != sizeof at)
        return refuse_at(of, SHMKV_EARGUMENT, "bad argument: a position has %zu bytes, not %zu", sizeof at, position_len);
    memcpy(&at, position, sizeof at);
    return shmkv_cursor_seek(cursor, &at);
}

static Cursor *Store_cursor(Store *self, int yield, const void *MAYBE, size_t MAYBE_LEN, const void *POSITION,
                            size_t POSITION_LEN)
{
    Cursor *cursor;
    int err;

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NULL;
    }
    cursor = calloc(1, sizeof *cursor);
    err = cursor ? shmkv_cursor_open(self->kv, yield == YIELD_KEYS ? SHMKV_KEYS_ONLY : 0, &cursor->cursor)
                 : ENOMEM;
    if (!err) {
        err = begin_walk(PLACE(self, NULL, 0), cursor->cursor, MAYBE, MAYBE_LEN, POSITION, POSITION_LEN);
        if (err)
            shmkv_cursor_close(cursor->cursor);
    }
    if (err) {
        free(cursor);
        raise_error(err);
        return NULL;
    }
    cursor->yield = (enum yield)yield;
    cursor->store = self;
    self->refs++;
    cursor->link = &self->cursors;
    cursor->next = self->cursors;
    if (cursor->next)
        cursor->next->link = &cursor->next;
    self->cursors = cursor;
    return cursor;
}

/* At the end, or after a failure, a cursor stays at its end. */
static step_t Cursor_step(Cursor *self)
{
    step_t step = {.state = 0};
    int err;

    if (!self || self->closed || !IS_OPEN(self->store)) {
        step.state = raise_closed(self ? self->store : NULL);
        return step;
    }
    if (!self->cursor)
        return step;
    step.yield = self->yield;
    step.store = self->store;
    err = shmkv_cursor_next_item(self->cursor, &step.key, &step.key_len, &step.item);
    if (!err) {
        step.state = 1;
        return step;
    }
    self->position_err = shmkv_cursor_position(self->cursor, &self->position);
    if (err != SHMKV_ENOTFOUND)
        step.state = -1;
    end_cursor(self);
    if (step.state)
        raise_error(err);
    return step;
}

/* Also at the end, and after a failure. */
static native_t Cursor_position_get(Cursor *self)
{
    if (!self || self->closed || !IS_OPEN(self->store)) {
        raise_closed(self ? self->store : NULL);
        return NO_OBJECT;
    }
    if (self->cursor)
        self->position_err = shmkv_cursor_position(self->cursor, &self->position);
    if (self->position_err) {
        raise_error(self->position_err);
        return NO_OBJECT;
    }
    return bytes_new(self->position.bytes, sizeof self->position.bytes);
}

static done_t Cursor_close(Cursor *self)
{
    if (self) {
        end_cursor(self);
        self->closed = 1;
    }
    return SHMKV_OK;
}

/* --------------------------------------------------------------- maintain */

#define NUMBER(field) (failed = failed || map_put(map, #field, number_new(facts.field)))
#define TEXT(field)   (failed = failed || map_put(map, #field, text_new(facts.field)))

static native_t finished(native_t object, int failed)
{
    if (failed && object) {
        release(object);
        return NO_OBJECT;
    }
    return object;
}

static native_t Store_info(Store *self)
{
    struct shmkv_info facts = {.size = sizeof facts};
    char uuid[37];
    const uint8_t *u = facts.uuid;
    native_t map;
    int err, failed;

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    err = shmkv_info(self->kv, &facts);
    if (err) {
        raise_error(err);
        return NO_OBJECT;
    }
    snprintf(uuid, sizeof uuid, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
             u[13], u[14], u[15]);
    map = map_new();
    failed = !map || map_put(map, "uuid", text_new(uuid));
    NUMBER(revision), NUMBER(state), NUMBER(compat), NUMBER(ro_compat), NUMBER(incompat);
    NUMBER(incarnation), NUMBER(shard_count), NUMBER(arena_count), NUMBER(owner_count);
    NUMBER(max_key), NUMBER(max_value), NUMBER(max_size), NUMBER(default_ttl_ns);
    NUMBER(max_entries), NUMBER(max_bytes), NUMBER(evicts);
    NUMBER(created_ns);
    NUMBER(creator_uid), NUMBER(creator_pid), TEXT(creator_name), NUMBER(permissions);
    NUMBER(uid), NUMBER(file_size), NUMBER(file_allocated), NUMBER(huge_bytes);
    NUMBER(frozen);
    return finished(map, failed);
}

static native_t Store_stats(Store *self)
{
    struct shmkv_stats facts = {.size = sizeof facts};
    native_t map;
    int err, failed;

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    err = shmkv_stats(self->kv, &facts);
    if (err) {
        raise_error(err);
        return NO_OBJECT;
    }
    map = map_new();
    failed = !map;
    NUMBER(entries), NUMBER(limit), NUMBER(meta_bytes), NUMBER(free_bytes), NUMBER(group_bytes);
    NUMBER(slab_bytes), NUMBER(large_bytes), NUMBER(cells_used), NUMBER(cells_free);
    NUMBER(directory_words), NUMBER(owners_live), NUMBER(shards_used);
    NUMBER(entry_bytes), NUMBER(evictions);
    return finished(map, failed);
}

static native_t lock_map(const struct shmkv_lock *lock)
{
    static const char *const kinds[] = {"shard", "arena", "space"};
    struct shmkv_lock facts = *lock;
    native_t map = map_new();
    int failed = !map || map_put(map, "kind", text_new(kinds[facts.kind]))
        || map_put(map, "owner", facts.owner < 0 ? nothing() : number_new((uint32_t)facts.owner));

    NUMBER(index), NUMBER(word), NUMBER(waiters), NUMBER(intent);
    return finished(map, failed);
}

static native_t owner_map(const struct shmkv_owner *owner)
{
    static const char *const states[] = {"free", "alive", "dead"};
    struct shmkv_owner facts = *owner;
    native_t map = map_new();
    int failed = !map || map_put(map, "liveness", text_new(states[facts.liveness]));

    NUMBER(slot), NUMBER(stopped), NUMBER(generation), NUMBER(pid), NUMBER(uid), NUMBER(pid_ns);
    NUMBER(start_time), NUMBER(attached_ns), TEXT(name), NUMBER(locks_held);
    return finished(map, failed);
}

/* A report as a list of maps; there may be more to tell by the time there is room for it. */
#define REPORT(self, call, type, to_map)                                        \
    type *array = NULL;                                                         \
    size_t n = 0, capacity, i;                                                  \
    native_t list;                                                              \
    int err, failed;                                                            \
                                                                                \
    if (!IS_OPEN(self)) {                                                       \
        raise_closed(self);                                                     \
        return NO_OBJECT;                                                       \
    }                                                                           \
    do {                                                                        \
        capacity = n;                                                           \
        free(array);                                                            \
        array = capacity ? malloc(capacity * sizeof *array) : NULL;             \
        err = capacity && !array ? ENOMEM : call(self->kv, array, capacity, &n); \
    } while (!err && n > capacity);                                             \
    if (err) {                                                                  \
        free(array);                                                            \
        raise_error(err);                                                       \
        return NO_OBJECT;                                                       \
    }                                                                           \
    list = list_new();                                                          \
    failed = !list;                                                             \
    for (i = 0; i < n && !failed; i++)                                          \
        failed = list_push(list, to_map(&array[i]));                            \
    free(array);                                                                \
    return finished(list, failed)

static native_t Store_locks(Store *self)
{
    REPORT(self, shmkv_locks, struct shmkv_lock, lock_map);
}

static native_t Store_owners(Store *self)
{
    REPORT(self, shmkv_owners, struct shmkv_owner, owner_map);
}

struct problem {
    struct problem *next;
    uint64_t offset;
    char text[];
};

struct verifying {
    shmkv_t *kv;
    struct problem *first, **last;
    int err, no_memory;
};

/* Called without the interpreter's lock. */
static void note_problem(void *argument, uint64_t offset, const char *text)
{
    struct verifying *job = argument;
    struct problem *problem = malloc(sizeof *problem + strlen(text) + 1);

    if (!problem) {
        job->no_memory = 1;
        return;
    }
    problem->next = NULL;
    problem->offset = offset;
    strcpy(problem->text, text);
    *job->last = problem;
    job->last = &problem->next;
}

static void verify_segment(void *argument)
{
    struct verifying *job = argument;

    job->err = shmkv_verify(job->kv, note_problem, job, NULL);
}

static native_t Store_verify(Store *self)
{
    struct verifying job = {NULL, NULL, NULL, 0, 0};
    struct problem *problem, *next;
    native_t list;
    int failed;

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    job.last = &job.first;
    call_unlocked(self, &job.kv, verify_segment, &job);
    if (job.no_memory)
        job.err = ENOMEM;
    if (job.err == SHMKV_ECORRUPT && job.first)
        job.err = SHMKV_OK; /* the list tells */
    list = job.err ? NO_OBJECT : list_new();
    failed = !list;
    for (problem = job.first; problem; problem = next) {
        native_t map = failed ? NO_OBJECT : map_new();

        failed = failed || !map || map_put(map, "offset", number_new(problem->offset))
            || map_put(map, "text", text_new(problem->text)) || list_push(list, map);
        next = problem->next;
        free(problem);
    }
    if (job.err)
        raise_error(job.err);
    return finished(list, failed);
}
%}
