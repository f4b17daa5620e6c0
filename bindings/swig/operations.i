/*
 * What a Store can do with one key beyond put, get and delete: the conditional
 * writes, the counters, and the facts that go with a value. Each is one atomic call
 * of the core.
 *
 *   double TTL   seconds from now after which the entry is absent; negative: the
 *                segment's default; infinite: never
 *   int BOUND    the entry goes when this process, or its Store, does
 *
 * "The answer is no" (the key is there already, the value is another one by now) is
 * an answer_t of 0 and not an error.
 */
%{
#include <math.h>
#include <time.h>

static int expiry_of(const struct place *at, double ttl, uint64_t *expires_ns, unsigned *flags)
{
    struct timespec now;
    double end;

    *expires_ns = 0;
    if (isnan(ttl))
        return refuse_at(at, SHMKV_EARGUMENT, "bad argument: a time to live that is no number");
    if (ttl < 0)
        return SHMKV_OK;
    if (isinf(ttl)) {
        *flags |= SHMKV_NO_DEFAULT_EXPIRY;
        return SHMKV_OK;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    end = (double)now.tv_sec + (double)now.tv_nsec / 1e9 + ttl;
    if (end >= 18446744073.0)
        return refuse_at(at, SHMKV_EARGUMENT, "bad argument: a time to live of %g seconds; for ever is infinity", ttl);
    *expires_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + (uint64_t)(ttl * 1e9);
    return SHMKV_OK;
}

/* The value as it is to be stored. Not 0: raised. */
static int value_for(const struct place *at, value_t *value, double ttl, int bound)
{
    int err;

    value->item.flags = bound ? SHMKV_BOUND : 0;
    err = expiry_of(at, ttl, &value->item.expires_ns, &value->item.flags);
    if (err)
        raise_error(err);
    return err;
}

/* What err answers when `no` is an answer. */
static answer_t answer_or(int err, int no)
{
    if (err && err != no) {
        raise_error(err);
        return -1;
    }
    return !err;
}

enum storing { STORE_ALWAYS, STORE_IF_ABSENT, STORE_IF_PRESENT };

static answer_t Store_store_as(Store *self, const void *KEY, size_t KEY_LEN, int how, value_t *ITEM,
                               double TTL, int BOUND)
{
    if (!IS_OPEN(self))
        return raise_closed(self);
    if (value_for(PLACE(self, KEY, KEY_LEN), ITEM, TTL, BOUND))
        return -1;
    switch (how) {
    case STORE_IF_ABSENT:
        return answer_or(shmkv_add(self->kv, KEY, KEY_LEN, &ITEM->item, NULL), SHMKV_EEXISTS);
    case STORE_IF_PRESENT:
        return answer_or(shmkv_replace(self->kv, KEY, KEY_LEN, &ITEM->item, NULL), SHMKV_ENOTFOUND);
    default:
        return answer_or(shmkv_put_item(self->kv, KEY, KEY_LEN, &ITEM->item), SHMKV_OK);
    }
}

/* --------------------------------------------------- those that give a value */

static int swap_entry(const struct reading *how, void *buf, size_t buf_len, struct shmkv_item *item)
{
    int err = shmkv_swap(how->store->kv, how->key, how->key_len, &how->value->item, buf, buf_len, item);

    return err ? err : item->result; /* ENOTFOUND: there was none */
}

static int take_entry(const struct reading *how, void *buf, size_t buf_len, struct shmkv_item *item)
{
    return shmkv_take(how->store->kv, how->key, how->key_len, buf, buf_len, item);
}

static int get_or_set_entry(const struct reading *how, void *buf, size_t buf_len, struct shmkv_item *item)
{
    return shmkv_get_or_set(how->store->kv, how->key, how->key_len, &how->value->item, buf, buf_len, item);
}

static reply_t read_with(reader_fn *read, Store *self, const void *key, size_t key_len, value_t *value)
{
    struct reading how = {self, key, key_len, 0, value};
    reply_t old;
    int err;

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    old = read_through(&how, read, &err);
    return found(old, err);
}

static reply_t Store_swap(Store *self, const void *KEY, size_t KEY_LEN, value_t *ITEM, double TTL, int BOUND)
{
    if (value_for(PLACE(self, KEY, KEY_LEN), ITEM, TTL, BOUND))
        return NO_OBJECT;
    return read_with(swap_entry, self, KEY, KEY_LEN, ITEM);
}

static reply_t Store_take(Store *self, const void *KEY, size_t KEY_LEN)
{
    return read_with(take_entry, self, KEY, KEY_LEN, NULL);
}

static reply_t Store_get_or_set(Store *self, const void *KEY, size_t KEY_LEN, value_t *ITEM, double TTL,
                                int BOUND)
{
    if (value_for(PLACE(self, KEY, KEY_LEN), ITEM, TTL, BOUND))
        return NO_OBJECT;
    return read_with(get_or_set_entry, self, KEY, KEY_LEN, ITEM);
}

/* A value with its facts, as a map. */
static native_t item_map(const struct place *at, const struct shmkv_item *item)
{
    static const char *const types[] = {"bytes", "text", "int64", "float64", "boolean", "null", "json", "coded"};
    native_t map = map_new();
    int failed = !map || map_put(map, "value", value_new(at, item))
        || map_put(map, "type", text_new(types[item->type]))
        || map_put(map, "version", number_new(item->version))
        || map_put(map, "expires_ns", item->expires_ns ? number_new(item->expires_ns) : nothing())
        || map_put(map, "bound", truth_new(item->flags & SHMKV_BOUND));

    return finished(map, failed);
}

struct looking {
    struct reading how;
    struct shmkv_item item;
    void *buf;
    size_t room;
    int err;
};

static native_t look_closely(void *argument)
{
    struct looking *job = argument;
    void *larger;

    while ((job->err = read_entry(&job->how, job->buf, job->room, &job->item)) == SHMKV_ETOOSMALL) {
        larger = realloc(job->buf, job->item.len);
        if (!larger) {
            job->err = ENOMEM;
            break;
        }
        job->buf = larger;
        job->room = job->item.len;
    }
    if (job->err == SHMKV_ENOTFOUND)
        return nothing();
    if (job->err) {
        raise_error(job->err);
        return NO_OBJECT;
    }
    return item_map(PLACE(job->how.store, job->how.key, job->how.key_len), &job->item);
}

static void drop_look(void *argument)
{
    free(((struct looking *)argument)->buf);
}

static native_t Store_get_item(Store *self, const void *KEY, size_t KEY_LEN)
{
    struct looking job = {.how = {self, KEY, KEY_LEN, 0, NULL}};

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    return build_and_drop(look_closely, drop_look, &job);
}

/* ------------------------------------------------------- those that compare */

static answer_t Store_cas(Store *self, const void *KEY, size_t KEY_LEN, uint64_t version, value_t *ITEM,
                          double TTL, int BOUND)
{
    if (!IS_OPEN(self))
        return raise_closed(self);
    if (value_for(PLACE(self, KEY, KEY_LEN), ITEM, TTL, BOUND))
        return -1;
    return answer_or(shmkv_cas(self->kv, KEY, KEY_LEN, version, &ITEM->item), SHMKV_ECHANGED);
}

/* What modify made of the value of that version. Without a time to live the entry ends when it did, EXPIRES_NS,
 * and 0 is never; a new one, of version 0, when the segment says. As shmkv_update() does. */
static answer_t Store_store_modified(Store *self, const void *KEY, size_t KEY_LEN, uint64_t version,
                                     uint64_t expires_ns, value_t *ITEM, double TTL, int BOUND)
{
    if (!IS_OPEN(self))
        return raise_closed(self);
    if (value_for(PLACE(self, KEY, KEY_LEN), ITEM, TTL, BOUND))
        return -1;
    if (TTL < 0 && version) {
        ITEM->item.expires_ns = expires_ns;
        ITEM->item.flags |= expires_ns ? 0 : SHMKV_NO_DEFAULT_EXPIRY;
    }
    return answer_or(shmkv_cas(self->kv, KEY, KEY_LEN, version, &ITEM->item), SHMKV_ECHANGED);
}

static answer_t Store_cas_value(Store *self, const void *KEY, size_t KEY_LEN, value_t *EXPECTED,
                                value_t *ITEM, double TTL, int BOUND)
{
    if (!IS_OPEN(self))
        return raise_closed(self);
    if (value_for(PLACE(self, KEY, KEY_LEN), ITEM, TTL, BOUND))
        return -1;
    return answer_or(shmkv_cas_value(self->kv, KEY, KEY_LEN, &EXPECTED->item, &ITEM->item), SHMKV_ECHANGED);
}

/* Gone already is as much a "no" as changed. */
static answer_t answer_unless_changed(int err)
{
    return answer_or(err == SHMKV_ENOTFOUND ? SHMKV_ECHANGED : err, SHMKV_ECHANGED);
}

static answer_t Store_delete_if(Store *self, const void *KEY, size_t KEY_LEN, uint64_t version)
{
    if (!IS_OPEN(self))
        return raise_closed(self);
    return answer_unless_changed(shmkv_delete_if(self->kv, KEY, KEY_LEN, version));
}

static answer_t Store_delete_value(Store *self, const void *KEY, size_t KEY_LEN, value_t *EXPECTED)
{
    if (!IS_OPEN(self))
        return raise_closed(self);
    return answer_unless_changed(shmkv_delete_value(self->kv, KEY, KEY_LEN, &EXPECTED->item));
}
/* -------------------------------------------------------------- arithmetic */

enum counting { COUNT_ADD, COUNT_SUBTRACT, COUNT_MAX, COUNT_MIN };

static int is_number(const value_t *value)
{
    return value->item.type == SHMKV_INT64 || value->item.type == SHMKV_FLOAT64;
}

static double as_float(const value_t *value)
{
    return value->item.type == SHMKV_INT64 ? (double)value->scalar.integer : value->scalar.number;
}

static int count_integer(Store *self, int how, const void *key, size_t key_len, int64_t amount,
                         int64_t initial, int64_t *result)
{
    switch (how) {
    case COUNT_MAX:
        return shmkv_max_i64(self->kv, key, key_len, amount, result);
    case COUNT_MIN:
        return shmkv_min_i64(self->kv, key, key_len, amount, result);
    case COUNT_SUBTRACT:
        if (amount == INT64_MIN)
            return refuse_at(PLACE(self, key, key_len), SHMKV_EOVERFLOW, "a decrement of -2^63: %s",
                             shmkv_strerror(SHMKV_EOVERFLOW));
        amount = -amount;
        /* fall through */
    default:
        return shmkv_incr_i64(self->kv, key, key_len, amount, initial, result);
    }
}

static int count_float(Store *self, int how, const void *key, size_t key_len, double amount, double initial,
                       double *result)
{
    switch (how) {
    case COUNT_MAX:
        return shmkv_max_f64(self->kv, key, key_len, amount, result);
    case COUNT_MIN:
        return shmkv_min_f64(self->kv, key, key_len, amount, result);
    default:
        return shmkv_incr_f64(self->kv, key, key_len, how == COUNT_SUBTRACT ? -amount : amount, initial, result);
    }
}

/* Integers stay integers: only a float makes it the float operation. */
static native_t Store_count_with(Store *self, const void *KEY, size_t KEY_LEN, int how, value_t *AMOUNT,
                                 value_t *INITIAL)
{
    int64_t integer;
    double number;
    int err, whole;

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    if (!is_number(AMOUNT) || !is_number(INITIAL)) {
        raise_wrong_type(PLACE(self, KEY, KEY_LEN), "a counter takes an integer or a float");
        return NO_OBJECT;
    }
    whole = AMOUNT->item.type == SHMKV_INT64 && INITIAL->item.type == SHMKV_INT64;
    err = whole ? count_integer(self, how, KEY, KEY_LEN, AMOUNT->scalar.integer, INITIAL->scalar.integer, &integer)
                : count_float(self, how, KEY, KEY_LEN, as_float(AMOUNT), as_float(INITIAL), &number);
    if (err) {
        raise_error(err);
        return NO_OBJECT;
    }
    return whole ? integer_new(integer) : float_new(number);
}

/* ------------------------------------------------------------------ appending */

static int append_item(Store *self, const void *key, size_t key_len, const struct shmkv_item *tail, size_t *len)
{
    switch (tail->type) {
    case SHMKV_BYTES:
        return shmkv_append(self->kv, key, key_len, tail->data, tail->len, len);
    case SHMKV_TEXT:
        return shmkv_append_text(self->kv, key, key_len, tail->data, tail->len, len);
    default:
        raise_wrong_type(PLACE(self, key, key_len), "only bytes and text can be appended");
        return RAISED;
    }
}

/* Gives the new length. */
static native_t Store_append(Store *self, const void *KEY, size_t KEY_LEN, value_t *ITEM)
{
    size_t len;
    int err;

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    err = append_item(self, KEY, KEY_LEN, &ITEM->item, &len);
    if (err) {
        if (err != RAISED)
            raise_error(err);
        return NO_OBJECT;
    }
    return number_new(len);
}
/* ------------------------------------------------------ expiry and emptying */

/* No time to live of its own is never, here. */
static answer_t Store_touch(Store *self, const void *KEY, size_t KEY_LEN, double TTL)
{
    uint64_t expires_ns;
    unsigned flags = 0;
    int err;

    if (!IS_OPEN(self))
        return raise_closed(self);
    err = expiry_of(PLACE(self, KEY, KEY_LEN), TTL, &expires_ns, &flags);
    if (err) {
        raise_error(err);
        return -1;
    }
    return answer_or(shmkv_touch(self->kv, KEY, KEY_LEN, expires_ns), SHMKV_ENOTFOUND);
}

struct clearing {
    shmkv_t *kv;
    uint64_t steps, removed;
    int err;
};

static void clear_segment(void *argument)
{
    struct clearing *job = argument;

    job->err = shmkv_clear(job->kv, &job->removed);
}

static void sweep_segment(void *argument)
{
    struct clearing *job = argument;

    job->err = shmkv_sweep(job->kv, job->steps, &job->removed);
}

/* How many went. These may take long. */
static native_t run_clearing(Store *self, void (*work)(void *), struct clearing *job)
{
    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    call_unlocked(self, &job->kv, work, job);
    if (job->err) {
        raise_error(job->err);
        return NO_OBJECT;
    }
    return number_new(job->removed);
}

static native_t Store_clear(Store *self)
{
    struct clearing job = {.steps = 0};

    return run_clearing(self, clear_segment, &job);
}

static native_t Store_sweep(Store *self, uint64_t max_steps)
{
    struct clearing job = {.steps = max_steps};

    return run_clearing(self, sweep_segment, &job);
}

struct popping {
    Store *store;
    char *key, *buf;
    size_t room, key_len;
    struct shmkv_item item;
};

enum { LONGEST_KEY = 65536 };

static int pop_some(struct popping *job)
{
    int err;

    do {
        char *larger = job->item.len > job->room || !job->buf ? realloc(job->buf, job->item.len + 1) : job->buf;

        if (!larger || !job->key)
            return ENOMEM;
        if (job->item.len > job->room)
            job->room = job->item.len;
        job->buf = larger;
        err = shmkv_pop(job->store->kv, job->key, LONGEST_KEY, &job->key_len, job->buf, job->room, &job->item);
    } while (err == SHMKV_ETOOSMALL);
    return err;
}

/* Key and value in a list, or nothing. */
static native_t pop_into_list(void *argument)
{
    struct popping *job = argument;
    native_t list;
    int err = pop_some(job);

    if (err == SHMKV_ENOTFOUND)
        return nothing();
    if (err) {
        raise_error(err);
        return NO_OBJECT;
    }
    list = list_new();
    return finished(list, !list || list_push(list, from_outside(bytes_new(job->key, job->key_len))) || list_push(list, value_new(PLACE(job->store, job->key, job->key_len), &job->item)));
}

static void drop_popping(void *argument)
{
    struct popping *job = argument;

    free(job->key);
    free(job->buf);
}

static native_t Store_pop_pair(Store *self)
{
    struct popping job = {.store = self, .item = {.len = STACK_VALUE}};

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    job.key = malloc(LONGEST_KEY);
    return build_and_drop(pop_into_list, drop_popping, &job);
}
%}
