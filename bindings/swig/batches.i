/*
 * Many keys in one call of the core, which looks ahead: they wait for memory together.
 *
 *   keys_t *KEYS   a list of keys: a tuple or list in Python, a reference to an array in
 *                  Perl, an Array in Ruby
 *   map_put_given(map, keys, i, value)
 *                  as map_put_key(), with the key as it was given
 *
 * The keys are held, and cannot change, until keys_drop(): making a value of what was
 * read may run other code.
 */
%{
typedef struct keys_t {
    size_t n;
    struct shmkv_bytes *keys;
    native_t held;      /* a list of the language: what `keys` points into */
#if defined(SWIGPYTHON)
    Py_buffer **views;  /* of those that are neither bytes nor str */
#elif defined(SWIGRUBY)
    VALUE memory;       /* of `keys` */
#endif
} keys_t;
%}

#if defined(SWIGPYTHON)

%{
static void keys_drop(keys_t *keys)
{
    size_t i;

    for (i = 0; i < keys->n; i++)
        drop_view(keys->views[i]);
    PyMem_Free(keys->views);
    PyMem_Free(keys->keys);
    Py_XDECREF(keys->held);
}

/* Not 0: raised. Either way keys_drop() is due. */
static int keys_in(PyObject *object, keys_t *keys)
{
    size_t i, n;

    memset(keys, 0, sizeof *keys);
    keys->held = PySequence_Tuple(object);
    if (!keys->held)
        return -1;
    n = (size_t)PyTuple_GET_SIZE(keys->held);
    keys->keys = PyMem_Calloc(n, sizeof *keys->keys);
    keys->views = PyMem_Calloc(n, sizeof *keys->views);
    if (!keys->keys || !keys->views) {
        PyErr_NoMemory();
        return -1;
    }
    keys->n = n;
    for (i = 0; i < n; i++)
        if (bytes_of(PyTuple_GET_ITEM(keys->held, i), "key", &keys->keys[i].data, &keys->keys[i].len,
                     &keys->views[i]))
            return -1;
    return 0;
}

static int map_put_given(native_t map, const keys_t *keys, size_t i, native_t value)
{
    int failed = !value || PyDict_SetItem(map, PyTuple_GET_ITEM(keys->held, i), value);

    Py_XDECREF(value);
    return failed;
}
%}

%typemap(in) keys_t *KEYS (keys_t keys) {
    if (keys_in($input, &keys)) {
        keys_drop(&keys);
        SWIG_fail;
    }
    $1 = &keys;
}
%typemap(freearg) keys_t *KEYS "if ($1) keys_drop($1);"

#elif defined(SWIGRUBY)

%{
#define keys_drop(keys) RB_GC_GUARD((keys)->memory), RB_GC_GUARD((keys)->held)

/* All memory is the collector's, so that whatever raises here leaves nothing behind. */
static void keys_in(VALUE object, keys_t *keys)
{
    VALUE list = rb_convert_type(object, T_ARRAY, "Array", "to_ary");
    size_t i;

    keys->held = rb_ary_new();
    for (i = 0; i < (size_t)RARRAY_LEN(list); i++) {
        VALUE key = rb_ary_entry(list, (long)i);

        StringValue(key);
        rb_ary_push(keys->held, rb_str_new_frozen(key));
    }
    keys->n = (size_t)RARRAY_LEN(keys->held);
    keys->memory = rb_str_tmp_new((long)(keys->n * sizeof *keys->keys));
    keys->keys = (struct shmkv_bytes *)RSTRING_PTR(keys->memory);
    for (i = 0; i < keys->n; i++) {
        VALUE key = rb_ary_entry(keys->held, (long)i);

        keys->keys[i].data = RSTRING_PTR(key);
        keys->keys[i].len = (size_t)RSTRING_LEN(key);
    }
}

static int map_put_given(native_t map, const keys_t *keys, size_t i, native_t value)
{
    rb_hash_aset(map, rb_ary_entry(keys->held, (long)i), value);
    return 0;
}
%}

%typemap(in) keys_t *KEYS (keys_t keys) {
    keys_in($input, &keys);
    $1 = &keys;
}
%typemap(freearg) keys_t *KEYS "keys_drop($1);"

#elif defined(SWIGPERL)

%{
/*
 * What `keys` points into, and the array itself, are mortal: reading a tied or an
 * overloaded key may die.
 */
#define keys_drop(keys) ((void)(keys))

/* Not 0: refused. */
static int keys_in(SV *object, keys_t *keys)
{
    AV *list, *held = (AV *)sv_2mortal((SV *)newAV());
    size_t i;

    memset(keys, 0, sizeof *keys);
    if (!SvROK(object) || SvTYPE(SvRV(object)) != SVt_PVAV)
        return refuse(SHMKV_EARGUMENT, "bad argument: no reference to an array of keys");
    list = (AV *)SvRV(object);
    keys->n = (size_t)(av_len(list) + 1);
    keys->held = (SV *)held;
    keys->keys = (struct shmkv_bytes *)SvPVX(sv_2mortal(newSV(keys->n * sizeof *keys->keys + 1)));
    for (i = 0; i < keys->n; i++) {
        SV **element = av_fetch(list, (SSize_t)i, 0);
        SV *key = newSVsv(element ? *element : &PL_sv_undef);
        int refused;

        av_push(held, key);
        refused = bytes_of(key, SHMKV_EKEY, "key", &keys->keys[i].data, &keys->keys[i].len);
        if (refused)
            return refused;
    }
    return 0;
}

static int map_put_given(native_t map, const keys_t *keys, size_t i, native_t value)
{
    /* A hash of Perl takes the two forms of a string for one key. */
    return map_put_key(map, keys->keys[i].data, keys->keys[i].len, value);
}
%}

%typemap(in) keys_t *KEYS (keys_t keys, int refused) {
    refused = keys_in($input, &keys);
    if (refused) {
        raise_error(refused);
        SWIG_fail;
    }
    $1 = &keys;
}

#endif

%{
/* -------------------------------------------------------------------- read */

enum { TOGETHER = 256 }; /* keys for one call of the core */

struct batch {
    Store *store;
    const keys_t *keys;
    size_t from; /* the first key that is not done */
    char *buf;
    size_t room;
    struct shmkv_item items[TOGETHER];
};

static int put_found(native_t map, struct batch *job, size_t n)
{
    size_t i;
    int failed = 0;

    for (i = 0; i < n && !failed; i++)
        if (job->items[i].result == SHMKV_OK)
            failed = map_put_given(map, job->keys, job->from + i, value_new(&job->store->codec, &job->items[i]));
    job->from += n;
    return failed;
}

static int more_room(struct batch *job, size_t wanted)
{
    char *larger = realloc(job->buf, wanted);

    if (!larger)
        return ENOMEM;
    job->buf = larger;
    job->room = wanted;
    return SHMKV_OK;
}

/* The next keys, as many as the buffer has room for. Not 0: raised. */
static int read_some(native_t map, struct batch *job)
{
    size_t done = 0, left = job->keys->n - job->from;
    int err;

    if (!IS_OPEN(job->store)) /* by what a value's making has run */
        return raise_closed(job->store);
    err = shmkv_get_many(job->store->kv, left < TOGETHER ? left : TOGETHER, job->keys->keys + job->from,
                         job->items, job->buf, job->room, &done);
    if (err == SHMKV_ETOOSMALL)
        err = done ? SHMKV_OK : more_room(job, job->items[0].len);
    if (!err)
        return put_found(map, job, done);
    raise_error(err);
    return -1;
}

static native_t read_all(void *argument)
{
    struct batch *job = argument;
    native_t map = map_new();
    int failed = !map;

    while (!failed && job->from < job->keys->n)
        failed = read_some(map, job);
    return finished(map, failed);
}

static void drop_batch(void *argument)
{
    free(((struct batch *)argument)->buf);
}

static native_t Store_get_many(Store *self, const keys_t *KEYS)
{
    enum { FIRST_ROOM = 64 * 1024 };
    struct batch job = {.store = self, .keys = KEYS};
    int err;

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    err = more_room(&job, FIRST_ROOM);
    if (err) {
        raise_error(err);
        return NO_OBJECT;
    }
    return build_and_drop(read_all, drop_batch, &job);
}
%}
