/*
 * Many keys in one call of the core, which looks ahead: they wait for memory together.
 *
 *   keys_t *KEYS   a list of keys: a tuple or list in Python, a reference to an array in
 *                  Perl, an Array in Ruby
 *   map_put_given(map, keys, i, value)
 *                  as map_put_key(), with the key as it was given
 *
 *   entries_t *ENTRIES   keys with values: pairs in Python, a list of keys and values by turns
 *                  in Perl and Ruby
 *
 * The keys are held, and cannot change, until keys_drop(): making a value of what was
 * read may run other code. So are the values that are to be stored: they are copied, or
 * the language's own objects that nobody can change, so that the core can store them
 * while the interpreter's lock is given up. (Only a value that Python gives by its buffer may
 * change: then some of what was there in between is stored. It is read once, so no more than that.)
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
    VALUE pins;
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

/* What an iterable itself raises is left as it is. */
static int no_iterable(const struct place *of, PyObject *object, const char *wanted)
{
    if (Py_TYPE(object)->tp_iter || PySequence_Check(object))
        return 0;
    PyErr_Format(PyExc_TypeError, "%s, not %.80s", wanted, Py_TYPE(object)->tp_name);
    add_place(of);
    return -1;
}

/* Not 0: raised. Either way keys_drop() is due. */
static int keys_in(const struct place *of, PyObject *object, keys_t *keys)
{
    size_t i, n;

    memset(keys, 0, sizeof *keys);
    if (PyUnicode_Check(object) || PyBytes_Check(object) || PyByteArray_Check(object)) {
        PyErr_Format(PyExc_TypeError, "keys are several, not one %.80s", Py_TYPE(object)->tp_name);
        add_place(of);
        return -1;
    }
    if (no_iterable(of, object, "keys are a list or another iterable"))
        return -1;
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
                     &keys->views[i])) {
            add_place(of);
            return -1;
        }
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
    if (keys_in(PLACE(arg1, NULL, 0), $input, &keys)) {
        keys_drop(&keys);
        SWIG_fail;
    }
    $1 = &keys;
}
%typemap(freearg) keys_t *KEYS "if ($1) keys_drop($1);"

%{
typedef struct entries_t {
    keys_t keys;
    struct shmkv_item *items;
    value_t *values; /* what the items point into; as many as there are keys */
    PyObject *held;
} entries_t;

static void entries_drop(entries_t *entries)
{
    size_t i;

    for (i = 0; entries->values && i < entries->keys.n; i++)
        value_drop(&entries->values[i]);
    PyMem_Free(entries->values);
    PyMem_Free(entries->items);
    keys_drop(&entries->keys);
    Py_XDECREF(entries->held);
}

/* The pairs as two tuples. */
static int unzip(const struct place *of, PyObject *pairs, PyObject *keys, PyObject *values)
{
    Py_ssize_t i, n = PyTuple_GET_SIZE(pairs);

    for (i = 0; i < n; i++) {
        PyObject *pair = PySequence_Fast(PyTuple_GET_ITEM(pairs, i), "put_many() takes pairs of a key and a value");

        if (!pair) {
            add_place(of);
            return -1;
        }
        if (PySequence_Fast_GET_SIZE(pair) != 2) {
            Py_DECREF(pair);
            PyErr_SetString(PyExc_ValueError, "put_many() takes pairs of a key and a value");
            add_place(of);
            return -1;
        }
        PyTuple_SET_ITEM(keys, i, Py_NewRef(PySequence_Fast_GET_ITEM(pair, 0)));
        PyTuple_SET_ITEM(values, i, Py_NewRef(PySequence_Fast_GET_ITEM(pair, 1)));
        Py_DECREF(pair);
    }
    return 0;
}

/* Of the tuples in entries->held. */
static int entries_of(const struct place *of, PyObject *keys, PyObject *values, entries_t *entries)
{
    size_t i, n = (size_t)PyTuple_GET_SIZE(keys);

    if (keys_in(of, keys, &entries->keys))
        return -1;
    entries->items = PyMem_Calloc(n, sizeof *entries->items);
    entries->values = PyMem_Calloc(n, sizeof *entries->values);
    if (!entries->items || !entries->values) {
        PyErr_NoMemory();
        return -1;
    }
    for (i = 0; i < n; i++) {
        struct place at = {of->segment, of->codec, entries->keys.keys[i].data, entries->keys.keys[i].len};

        if (value_in(&at, PyTuple_GET_ITEM(values, i), &entries->values[i]))
            return -1;
        entries->items[i] = entries->values[i].item;
    }
    return 0;
}

/* Not 0: raised. Either way entries_drop() is due. */
static int entries_in(const struct place *of, PyObject *object, entries_t *entries)
{
    PyObject *pairs, *keys, *values;
    int failed;

    memset(entries, 0, sizeof *entries);
    if (no_iterable(of, object, "put_many() takes a mapping or pairs of a key and a value"))
        return -1;
    pairs = PySequence_Tuple(object);
    if (!pairs)
        return -1;
    keys = PyTuple_New(PyTuple_GET_SIZE(pairs));
    values = PyTuple_New(PyTuple_GET_SIZE(pairs));
    entries->held = PyTuple_New(2);
    failed = !keys || !values || !entries->held || unzip(of, pairs, keys, values);
    if (entries->held) {
        PyTuple_SET_ITEM(entries->held, 0, keys);
        PyTuple_SET_ITEM(entries->held, 1, values);
    } else {
        Py_XDECREF(keys);
        Py_XDECREF(values);
    }
    Py_DECREF(pairs);
    return failed ? -1 : entries_of(of, keys, values, entries);
}
%}

%typemap(in) entries_t *ENTRIES (entries_t entries) {
    if (entries_in(PLACE(arg1, NULL, 0), $input, &entries)) {
        entries_drop(&entries);
        SWIG_fail;
    }
    $1 = &entries;
}
%typemap(freearg) entries_t *ENTRIES "if ($1) entries_drop($1);"

#elif defined(SWIGRUBY)

%{
#define keys_drop(keys) RB_GC_GUARD((keys)->memory), RB_GC_GUARD((keys)->pins), RB_GC_GUARD((keys)->held)

/*
 * Memory is the collector's, so that whatever raises here leaves nothing behind, and it is marked as the C stack
 * is: what it names stays where it is. A collection that compacts moves what only other objects name, such as
 * the elements of an Array, and with a short String its bytes.
 */
static void *memory_of(size_t size, volatile VALUE *owner)
{
    size += sizeof(VALUE); /* whole words, and never none */
    return memset(rb_alloc_tmp_buffer(owner, (long)size), 0, size);
}

static void keys_in(const struct place *of, VALUE object, keys_t *keys)
{
    VALUE list = rb_check_array_type(object), *pins;
    size_t i;

    if (NIL_P(list))
        raise_type_error(of, "keys are an Array, not %s", rb_obj_classname(object));
    keys->held = rb_ary_new();
    for (i = 0; i < (size_t)RARRAY_LEN(list); i++) {
        VALUE key = rb_ary_entry(list, (long)i);

        key = string_of(of, key, "key");
        rb_ary_push(keys->held, rb_str_new_frozen(key));
    }
    keys->n = (size_t)RARRAY_LEN(keys->held);
    keys->keys = memory_of(keys->n * sizeof *keys->keys, &keys->memory);
    pins = memory_of(keys->n * sizeof *pins, &keys->pins);
    for (i = 0; i < keys->n; i++) {
        VALUE key = pins[i] = rb_ary_entry(keys->held, (long)i);

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
    keys_in(PLACE(arg1, NULL, 0), $input, &keys);
    $1 = &keys;
}
%typemap(freearg) keys_t *KEYS "keys_drop($1);"

%{
typedef struct entries_t {
    keys_t keys;
    struct shmkv_item *items;
    VALUE memory;  /* of `items` */
    VALUE values;  /* what they point into */
} entries_t;

#define entries_drop(entries) \
    RB_GC_GUARD((entries)->memory), RB_GC_GUARD((entries)->values), keys_drop(&(entries)->keys)

/* Other threads may change theirs. */
static VALUE held_string(VALUE string)
{
    return OBJ_FROZEN(string) ? string : rb_str_new_frozen(string);
}

static void key_in(const struct place *of, VALUE key, struct shmkv_bytes *bytes, VALUE *pin)
{
    key = *pin = held_string(string_of(of, key, "key"));
    bytes->data = RSTRING_PTR(key);
    bytes->len = (size_t)RSTRING_LEN(key);
}

/* The item points into `value`, or into what that names. */
static struct shmkv_item held_item(const struct place *at, VALUE object, value_t *value)
{
    if (RB_TYPE_P(object, T_STRING))
        object = held_string(object);
    value_in(at, object, value);
    value_hold(value);
    return value->item;
}

/* A list of keys and values by turns, which is nobody else's. */
static void entries_in(const struct place *of, VALUE list, entries_t *entries)
{
    size_t i, n;
    VALUE *pins;
    value_t *values;

    Check_Type(list, T_ARRAY);
    n = (size_t)RARRAY_LEN(list) / 2;
    values = memory_of(n * sizeof *values, &entries->values);
    pins = memory_of(n * sizeof *pins, &entries->keys.pins);
    entries->keys.held = Qnil;
    entries->keys.keys = memory_of(n * sizeof *entries->keys.keys, &entries->keys.memory);
    entries->keys.n = n;
    entries->items = memory_of(n * sizeof *entries->items, &entries->memory);
    for (i = 0; i < n; i++) {
        struct place at = *of;

        key_in(of, rb_ary_entry(list, (long)(2 * i)), &entries->keys.keys[i], &pins[i]);
        at.key = entries->keys.keys[i].data;
        at.key_len = entries->keys.keys[i].len;
        entries->items[i] = held_item(&at, rb_ary_entry(list, (long)(2 * i + 1)), &values[i]);
    }
    RB_GC_GUARD(list);
}
%}

%typemap(in) entries_t *ENTRIES (entries_t entries) {
    entries_in(PLACE(arg1, NULL, 0), $input, &entries);
    $1 = &entries;
}
%typemap(freearg) entries_t *ENTRIES "entries_drop($1);"

#elif defined(SWIGPERL)

%{
/*
 * What `keys` points into, and the array itself, are mortal: reading a tied or an
 * overloaded key may die.
 */
#define keys_drop(keys) ((void)(keys))

/* Not 0: refused. */
static int keys_in(const struct place *of, SV *object, keys_t *keys)
{
    AV *list, *held = (AV *)sv_2mortal((SV *)newAV());
    size_t i;

    memset(keys, 0, sizeof *keys);
    if (!SvROK(object) || SvTYPE(SvRV(object)) != SVt_PVAV)
        return refuse_at(of, SHMKV_EARGUMENT, "bad argument: no reference to an array of keys");
    list = (AV *)SvRV(object);
    keys->n = (size_t)(av_len(list) + 1);
    keys->held = (SV *)held;
    keys->keys = (struct shmkv_bytes *)SvPVX(sv_2mortal(newSV(keys->n * sizeof *keys->keys + 1)));
    for (i = 0; i < keys->n; i++) {
        SV **element = av_fetch(list, (SSize_t)i, 0);
        SV *key = newSVsv(element ? *element : &PL_sv_undef);
        int refused;

        av_push(held, key);
        refused = bytes_of(of, key, SHMKV_EKEY, "key", &keys->keys[i].data, &keys->keys[i].len);
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
    refused = keys_in(PLACE(arg1, NULL, 0), $input, &keys);
    if (refused) {
        raise_error(refused);
        SWIG_fail;
    }
    $1 = &keys;
}

%{
typedef struct entries_t {
    keys_t keys;
    struct shmkv_item *items;
} entries_t;

/* As those of keys_in(). */
#define entries_drop(entries) ((void)(entries))

static void *mortal_memory(size_t size)
{
    SV *memory = sv_2mortal(newSV(size + 1));

    return memset(SvPVX(memory), 0, size);
}

/* Scalars of which nothing that is done here runs other code: they can stay where they are. */
static int all_plain(const struct codec *codec, AV *list)
{
    SSize_t i, n = av_len(list) + 1;

    if (SvMAGICAL((SV *)list) || (codec && codec->encode))
        return 0;
    for (i = 0; i < n; i++) {
        SV *sv = AvARRAY(list)[i];

        if (!sv || SvGMAGICAL(sv) || SvROK(sv) || isGV_with_GP(sv))
            return 0;
    }
    return 1;
}

static AV *copies_of(AV *list)
{
    AV *copies = (AV *)sv_2mortal((SV *)newAV());
    SSize_t i, n = av_len(list) + 1;

    for (i = 0; i < n; i++) {
        SV **sv = av_fetch(list, i, 0);

        av_push(copies, newSVsv(sv ? *sv : &PL_sv_undef));
    }
    return copies;
}

static int entry_in(const struct place *of, SV *key, SV *value, value_t *made, entries_t *entries, size_t i)
{
    struct shmkv_bytes *bytes = &entries->keys.keys[i];
    struct place at = *of;
    int refused = bytes_of(of, key, SHMKV_EKEY, "key", &bytes->data, &bytes->len);

    if (refused) {
        raise_error(refused);
        return refused;
    }
    at.key = bytes->data;
    at.key_len = bytes->len;
    refused = value_in(&at, value, made);
    entries->items[i] = made->item;
    return refused;
}

/* A list of keys and values by turns; hold: what comes behind may run other code. Not 0: raised. */
static int entries_in(const struct place *of, SV *reference, int hold, entries_t *entries)
{
    AV *given = (AV *)SvRV(reference), *list = !hold && all_plain(of->codec, given) ? given : copies_of(given);
    size_t i, n = (size_t)(av_len(list) + 1) / 2;
    value_t *values = mortal_memory(n * sizeof *values);
    int refused = 0;

    memset(entries, 0, sizeof *entries);
    entries->keys.n = n;
    entries->keys.keys = mortal_memory(n * sizeof *entries->keys.keys);
    entries->items = mortal_memory(n * sizeof *entries->items);
    for (i = 0; i < n && !refused; i++)
        refused = entry_in(of, AvARRAY(list)[2 * i], AvARRAY(list)[2 * i + 1], &values[i], entries, i);
    return refused;
}
%}

%typemap(in) entries_t *ENTRIES (entries_t entries) {
    if (entries_in(PLACE(arg1, NULL, 0), $input, may_run_code(&$input + 1, &ST(0) + items), &entries))
        SWIG_fail;
    $1 = &entries;
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
            failed = map_put_given(map, job->keys, job->from + i,
                                   value_new(PLACE(job->store, job->keys->keys[job->from + i].data,
                                                   job->keys->keys[job->from + i].len), &job->items[i]));
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

/* ------------------------------------------------------------------- write */

struct writing {
    shmkv_t *kv;
    const keys_t *keys;
    struct shmkv_item *items;
    size_t done, removed;
    int err;
};

static void put_keys(void *argument)
{
    struct writing *job = argument;

    job->err = shmkv_put_many(job->kv, job->keys->n, job->keys->keys, job->items, &job->done);
}

static void delete_keys(void *argument)
{
    struct writing *job = argument;

    job->err = shmkv_delete_many(job->kv, job->keys->n, job->keys->keys, NULL, &job->done,
                                 &job->removed);
}

/* Not 0: raised. The core looks at all of them first, so it gets them all in one call. */
static int run_writing(Store *self, void (*work)(void *), struct writing *job)
{
    if (!IS_OPEN(self)) /* perhaps by what the values' making has run */
        return raise_closed(self);
    call_unlocked(self, &job->kv, work, job);
    if (job->err)
        raise_error_after(job->err, job->done);
    return job->err;
}

static done_t Store_put_many(Store *self, entries_t *ENTRIES, double TTL, int BOUND)
{
    struct writing job = {.keys = &ENTRIES->keys, .items = ENTRIES->items};
    uint64_t expires_ns;
    unsigned flags = BOUND ? SHMKV_BOUND : 0;
    size_t i;
    int err = expiry_of(PLACE(self, NULL, 0), TTL, &expires_ns, &flags);

    if (err) {
        raise_error(err);
        return err;
    }
    for (i = 0; i < job.keys->n; i++) {
        job.items[i].expires_ns = expires_ns;
        job.items[i].flags = flags;
    }
    return run_writing(self, put_keys, &job);
}

/* How many were there. */
static native_t Store_delete_many(Store *self, const keys_t *KEYS)
{
    struct writing job = {.keys = KEYS};

    return run_writing(self, delete_keys, &job) ? NO_OBJECT : number_new(job.removed);
}
%}
