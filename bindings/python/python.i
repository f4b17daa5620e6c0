/*
 * The Python root: module _shmkv, whose Store is the base of shmkv.Store. The
 * mapping operations are type slots, and get, put, delete and exists are called
 * without an argument tuple; these are the calls whose cost people notice.
 */
%module shmkv

%begin %{
#define PY_SSIZE_T_CLEAN
%}

/* For shmkv/__init__.py only. */
%rename(_pop_pair) pop_pair;
%rename(_cursor) Store::cursor;
%rename(_step) Cursor::step;
%rename(_missing) missing;
%rename(_put_many) put_many;
%rename(_use_codec) use_codec;
%rename(_count_with) count_with;
%rename(_store_modified) store_modified;
%rename(_store_as) store_as;
%rename(_dump_path) dump_path;
%rename(_dump_fd) dump_fd;
%rename(_load_path) load_path;
%rename(_load_fd) load_fd;

%feature("python:mp_subscript") Store "store_subscript";
%feature("python:mp_ass_subscript") Store "store_ass_subscript";
%feature("python:mp_length") Store "store_length";
%feature("python:sq_contains") Store "store_contains";
%feature("python:tp_iter") Store "store_iter";
%feature("python:tp_traverse") Store "store_traverse";
%feature("python:tp_clear") Store "store_clear";
%feature("python:tp_iter") Cursor "PyObject_SelfIter";
%feature("python:tp_repr") Cursor "cursor_repr";
%feature("python:tp_iternext") Cursor "cursor_iternext";

%feature("docstring") Store::delete
"delete(key)

Remove key; tells whether it was there. Waits as put() does.
Raises ReadOnly and what else put() does.";
%feature("docstring") Store::get_bytes
"get_bytes(key)

The bytes of the value, whatever its type; None when there is none. Never blocks.";
%feature("docstring") Store::append
"append(key, value)

Append bytes or str to bytes or text; the new length in bytes. When there is none, value is
stored. Raises BadType for other values, BadValue for bytes behind text that would make it
none, and what put() does. When the entry ends stays as it was.";
%feature("docstring") Store::clear
"clear()

Remove all pairs, one after the other: what others store meanwhile may stay. Returns how many
there were. Waits and raises as put() does; other Python threads run meanwhile.";
%feature("docstring") Store::get_many
"get_many(keys)

A dict of the keys that are there, as given, and their values, each as of a moment of its own.
Takes much less time than one get() after the other when there is more in the segment than
the processor's caches hold. Never blocks.";
%feature("docstring") Store::get_item
"get_item(key)

A dict of the value and what goes with it: value, type ('text', 'int64', ...), version (for
cas()), expires_ns (nanoseconds since 1970, or None), bound. None when there is none.
Never blocks.";
%feature("docstring") Store::delete_if
"delete_if(key, version)

Remove key if its value still has this version, from get_item(); tells whether it did.";
%feature("docstring") Store::delete_value
"delete_value(key, expected)

Remove key if its value is `expected`, of the same type; tells whether it did.";
%feature("docstring") Store::get_size
"get_size()

The number of pairs, as len() gives it. Never blocks.";
%feature("docstring") Store::get_all
"get_all()

A dict of all pairs as they were at one moment. Holds up writers while it copies;
a read-only store repeats the copy until nobody wrote meanwhile, and raises Busy
when that does not happen. Other Python threads run meanwhile.";
%feature("docstring") Store::delete_many
"delete_many(keys)

Remove those keys that are there, one after the other; how many that were. If one of them is
wrong, none is removed. Takes less time than one delete() after the other. Other Python threads run meanwhile. Waits and raises as put() does.";
%feature("autodoc", "Where it stands, as 32 bytes, which Store.cursor() goes on from.") Cursor::position;
%feature("docstring") Cursor::close
"close()

End the walk. May be repeated.";
%feature("docstring") Store::info
"info()

A dict of facts about the segment. Never blocks.";
%feature("docstring") Store::stats
"stats()

A dict of counters of the segment. Never blocks.";
%feature("docstring") Store::verify
"verify()

Check every invariant of the segment; a list of problems, each a dict of offset and
text, empty when all is well. Takes no lock, but time; other Python threads run
meanwhile. Raises Busy when the segment changes too fast to be sure.";
%feature("docstring") Store::locks
"locks()

All locks, each as a dict. Never blocks.";
%feature("docstring") Store::owners
"owners()

All owner slots in use, each as a dict. Never blocks.";
%feature("docstring") Store::freeze
"freeze()

Make the segment read-only for ever and for everybody: what would change it raises Frozen.
Entries whose time comes still go, and open() with 'n' still replaces the segment. Waits for
writers, up to the lock timeout (TimedOut); other Python threads run meanwhile.";
%feature("docstring") Store::sync
"sync()

Wait until a segment that is a regular file is on disk, as it was at the call. For power
failures; processes that are killed lose nothing without it. Other Python threads run
meanwhile.";
%feature("docstring") Store::close
"close()

Detach; the segment stays. May be repeated. A get_all() or verify() that another thread
is in still finishes. Afterwards, whatever else is called raises Closed, but for name,
closed and unlink().";

%include "../swig/shmkv.i"

%{
/* ------------------------------------------------------------------- slots */

static inline Store *store_in(PyObject *object)
{
    return (Store *)((SwigPyObject *)object)->ptr;
}

static inline int key_of(const Store *store, PyObject *key, const void **data, size_t *size, Py_buffer **view)
{
    int refused = bytes_of(key, "key", data, size, view);

    if (refused)
        add_place(PLACE(store, NULL, 0));
    return refused;
}

/* A key that was looked for. */
static void raise_missing(const Store *store, PyObject *key)
{
    Py_buffer *view = NULL;
    const void *data;
    size_t size;

    if (key_of(store, key, &data, &size, &view))
        return;
    raise_not_found(PLACE(store, data, size), key);
    drop_view(view);
}

/* The value, or NULL: raised, or with ENOTFOUND in *err, absent. */
static inline PyObject *look_up(PyObject *self, PyObject *key, int *err)
{
    Store *store = store_in(self);
    Py_buffer *view = NULL;
    PyObject *value = NULL;
    const void *data;
    size_t size;

    *err = RAISED;
    if (key_of(store_in(self), key, &data, &size, &view))
        return NULL;
    if (IS_OPEN(store))
        value = read_value(store, data, size, err);
    else
        raise_closed(store);
    drop_view(view);
    if (*err && *err != RAISED && *err != SHMKV_ENOTFOUND)
        raise_error(*err);
    return value;
}

static PyObject *store_subscript(PyObject *self, PyObject *key)
{
    int err;
    PyObject *value = look_up(self, key, &err);

    if (err == SHMKV_ENOTFOUND)
        raise_missing(store_in(self), key);
    return value;
}

static int store_delete(Store *store, PyObject *key)
{
    Py_buffer *view = NULL;
    const void *data;
    size_t size;
    int err;

    if (key_of(store, key, &data, &size, &view))
        return -1;
    err = IS_OPEN(store) ? shmkv_delete(store->kv, data, size) : RAISED;
    drop_view(view);
    if (err == RAISED)
        raise_closed(store);
    else if (err == SHMKV_ENOTFOUND)
        raise_missing(store, key);
    else if (err)
        raise_error(err);
    return err ? -1 : 0;
}

/* Stores, or deletes when there is no value. */
static int store_ass_subscript(PyObject *self, PyObject *key, PyObject *object)
{
    Store *store = store_in(self);
    Py_buffer *view = NULL;
    value_t value;
    const void *data;
    size_t size;
    int failed;

    if (!object)
        return store_delete(store, key);
    if (key_of(store_in(self), key, &data, &size, &view))
        return -1;
    failed = value_in(PLACE(store, data, size), object, &value) || Store_put(store, data, size, &value);
    value_drop(&value);
    drop_view(view);
    return failed ? -1 : 0;
}

static int look_for(PyObject *self, PyObject *key)
{
    Store *store = store_in(self);
    Py_buffer *view = NULL;
    const void *data;
    size_t size;
    int found;

    if (key_of(store_in(self), key, &data, &size, &view))
        return -1;
    found = Store_exists(store, data, size);
    drop_view(view);
    return found;
}

/*
 * As with a dict: what cannot be a key is not there, and what a dict refuses, too, since it cannot be hashed, is an
 * error.
 */
static int absent_if_no_key(const Store *store, PyObject *key)
{
    PyObject *type, *error, *trace;
    int hashable;

    if (PyErr_ExceptionMatches(error_class_of(SHMKV_EKEY)->object) || PyErr_ExceptionMatches(PyExc_UnicodeError)) {
        PyErr_Clear();
        return IS_OPEN(store) ? 0 : raise_closed(store);
    }
    if (!PyErr_ExceptionMatches(PyExc_TypeError))
        return -1;
    PyErr_Fetch(&type, &error, &trace);
    hashable = PyObject_Hash(key) != -1;
    PyErr_Clear();
    if (!hashable) {
        PyErr_Restore(type, error, trace);
        return -1;
    }
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    return IS_OPEN(store) ? 0 : raise_closed(store);
}

static int store_contains(PyObject *self, PyObject *key)
{
    int found = look_for(self, key);

    return found < 0 ? absent_if_no_key(store_in(self), key) : found;
}

static Py_ssize_t store_length(PyObject *self)
{
    Store *store = store_in(self);
    uint64_t n;
    int err;

    if (!IS_OPEN(store))
        return raise_closed(store);
    err = shmkv_count(store->kv, &n);
    if (err)
        raise_error(err);
    return err ? -1 : (Py_ssize_t)n;
}

static PyObject *store_iter(PyObject *self)
{
    Cursor *cursor = Store_cursor(store_in(self), YIELD_KEYS, NULL, 0, NULL, 0);

    return cursor ? SWIG_InternalNewPointerObj(cursor, SWIGTYPE_p_Cursor, SWIG_POINTER_OWN) : NULL;
}

static PyObject *cursor_repr(PyObject *self)
{
    const Cursor *cursor = (Cursor *)((SwigPyObject *)self)->ptr;
    const char *state = !cursor || cursor->closed ? "closed" : cursor->cursor ? "open" : "at its end";
    PyObject *name = text_new(cursor ? cursor->store->name : "");
    PyObject *shown = name ? PyUnicode_FromFormat("<shmkv.Cursor of %R (%s)>", name, state) : NULL;

    Py_XDECREF(name);
    return shown;
}

static PyObject *cursor_iternext(PyObject *self)
{
    step_t step = Cursor_step((Cursor *)((SwigPyObject *)self)->ptr);

    return step.state > 0 ? step_object(step) : NULL;
}

/*
 * For the collector, which knows the objects of the class in Python: a codec, and whatever is in the attributes,
 * may lead back to the Store. With cursors, which keep the Store open, the codec is theirs as well, and they are
 * not asked. (SWIG has the attributes in its own struct, so the class in Python leaves them to us. How it
 * calls them depends on SWIG's version; the type says where they are.)
 */
static PyObject **attributes_of(PyObject *self)
{
    return (PyObject **)(void *)((char *)self + Py_TYPE(self)->tp_dictoffset);
}

static int store_traverse(PyObject *self, visitproc visit, void *arg)
{
    const Store *store = store_in(self);

    Py_VISIT(*attributes_of(self));
    if (store && store->refs == 1) {
        Py_VISIT(store->codec.encode);
        Py_VISIT(store->codec.decode);
    }
    return 0;
}

static int store_clear(PyObject *self)
{
    Store *store = store_in(self);

    if (store && store->refs == 1)
        codec_drop(&store->codec);
    Py_CLEAR(*attributes_of(self));
    return 0;
}

/* ------------------------------------------------------------ fast methods */

static int expect(const char *method, Py_ssize_t given, Py_ssize_t least, Py_ssize_t most)
{
    if (given >= least && given <= most)
        return 0;
    if (least == most)
        PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments (%zd given)", method, most, given);
    else
        PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments (%zd given)", method, least,
                     most, given);
    return -1;
}

enum { MOST_ARGUMENTS = 2 };

/* Where the name is among those of the arguments; -1: nowhere, or given already, and raised. */
static int place_of_name(const char *method, const char *const *names, PyObject *name, PyObject *const *all)
{
    int i;

    for (i = 0; i < MOST_ARGUMENTS; i++) {
        if (PyUnicode_CompareWithASCIIString(name, names[i]))
            continue;
        if (!all[i])
            return i;
        PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", method, name);
        return -1;
    }
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'%s", method, name,
                 strcmp(method, "put") ? "" : "; set() takes ttl and bound");
    return -1;
}

/* Arguments by name, which are rare: all of them by place, and how many there are. NULL: raised. */
static PyObject *const *by_place(const char *method, const char *const *names, PyObject *const *args, Py_ssize_t *count,
                                 PyObject *given, PyObject **all)
{
    Py_ssize_t i;

    memset(all, 0, MOST_ARGUMENTS * sizeof *all);
    if (*count > MOST_ARGUMENTS)
        return args; /* which expect() refuses */
    memcpy(all, args, (size_t)*count * sizeof *all);
    for (i = 0; i < PyTuple_GET_SIZE(given); i++) {
        int place = place_of_name(method, names, PyTuple_GET_ITEM(given, i), all);

        if (place < 0)
            return NULL;
        all[place] = args[*count + i];
    }
    if (!all[0]) {
        PyErr_Format(PyExc_TypeError, "%s() missing argument '%s'", method, names[0]);
        return NULL;
    }
    *count = all[1] ? 2 : 1;
    return all;
}

static const char *const key_and_default[MOST_ARGUMENTS] = {"key", "default"};
static const char *const key_and_value[MOST_ARGUMENTS] = {"key", "value"};

static PyObject *store_get(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *given)
{
    PyObject *value, *all[MOST_ARGUMENTS];
    int err;

    if (given && !(args = by_place("get", key_and_default, args, &count, given, all)))
        return NULL;
    if (expect("get", count, 1, 2))
        return NULL;
    value = look_up(self, args[0], &err);
    if (err != SHMKV_ENOTFOUND)
        return value;
    value = count == 2 ? args[1] : Py_None;
    Py_INCREF(value);
    return value;
}

/* As get(), for what take() found: None may be a value. */
static PyObject *store_take(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *given)
{
    struct reading how = {store_in(self), NULL, 0, 0, NULL};
    Py_buffer *view = NULL;
    PyObject *value = NULL, *all[MOST_ARGUMENTS];
    int err = RAISED;

    if (given && !(args = by_place("take", key_and_default, args, &count, given, all)))
        return NULL;
    if (expect("take", count, 1, 2) || key_of(how.store, args[0], &how.key, &how.key_len, &view))
        return NULL;
    if (IS_OPEN(how.store))
        value = read_through(&how, take_entry, &err);
    else
        raise_closed(how.store);
    drop_view(view);
    if (err == SHMKV_ENOTFOUND) {
        value = count == 2 ? args[1] : Py_None;
        Py_INCREF(value);
    } else if (err && err != RAISED) {
        raise_error(err);
    }
    return value;
}

static PyObject *store_put(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *given)
{
    PyObject *all[MOST_ARGUMENTS];

    if (given && !(args = by_place("put", key_and_value, args, &count, given, all)))
        return NULL;
    if (expect("put", count, 2, 2) || store_ass_subscript(self, args[0], args[1]))
        return NULL;
    return nothing();
}

static PyObject *store_exists(PyObject *self, PyObject *key)
{
    int found = look_for(self, key);

    return found < 0 ? NULL : PyBool_FromLong(found);
}

static PyMethodDef fast_methods[] = {
    {"get", (PyCFunction)(void (*)(void))store_get, METH_FASTCALL | METH_KEYWORDS,
     "get($self, key, default=None)\n--\n\nThe value of key, or default when there is none.\n"
     "Never blocks. Raises BadKey, Closed and, if the segment is at fault, other errors."},
    {"put", (PyCFunction)(void (*)(void))store_put, METH_FASTCALL | METH_KEYWORDS,
     "put($self, key, value)\n--\n\nStore value under key, in place of any earlier value.\n"
     "Waits for another process that writes nearby, up to the lock timeout.\n"
     "Raises BadKey, BadValue, ReadOnly, NoSpace, TimedOut, Closed and others;\n"
     "then nothing has changed."},
    {"take", (PyCFunction)(void (*)(void))store_take, METH_FASTCALL | METH_KEYWORDS,
     "take($self, key, default=None)\n--\n\nRemove key and return its value, or default when there was none.\n"
     "Waits and raises as put() does."},
    {"exists", store_exists, METH_O,
     "exists($self, key, /)\n--\n\nWhether key is present. Never blocks. Raises as get() does."},
    {NULL, NULL, 0, NULL},
};

/* ------------------------------------------------------------ the with statement of a lock */

/* A lock that shmkv._Lock is about. */
struct named_lock {
    PyObject *store_object, *name, *timeout;
    Store *store;
    Py_buffer *view;
    const void *key;
    size_t key_len;
};

static void drop_named_lock(struct named_lock *lock)
{
    drop_view(lock->view);
    Py_XDECREF(lock->store_object);
    Py_XDECREF(lock->name);
    Py_XDECREF(lock->timeout);
}

/* Not 0: raised. drop_named_lock() either way. */
static int named_lock_of(PyObject *object, struct named_lock *lock)
{
    void *store;

    memset(lock, 0, sizeof *lock);
    lock->store_object = PyObject_GetAttrString(object, "_store");
    lock->name = lock->store_object ? PyObject_GetAttrString(object, "_name") : NULL;
    lock->timeout = lock->name ? PyObject_GetAttrString(object, "_timeout") : NULL;
    if (!lock->timeout)
        return -1;
    if (!SWIG_IsOK(SWIG_ConvertPtr(lock->store_object, &store, SWIGTYPE_p_Store, 0))) {
        PyErr_SetString(PyExc_TypeError, "not a lock of a Store");
        return -1;
    }
    lock->store = store;
    return key_of(lock->store, lock->name, &lock->key, &lock->key_len, &lock->view);
}

/* The token, which is noted in the object as long as nothing can come between. */
static PyObject *lock_enter(PyObject *module, PyObject *object)
{
    struct named_lock lock;
    PyObject *token = NULL;
    uint64_t number;
    double timeout;

    (void)module;
    if (!named_lock_of(object, &lock) && !seconds_in(PLACE(lock.store, lock.key, lock.key_len), "timeout", lock.timeout, &timeout)
        && !take_lock(lock.store, lock.key, lock.key_len, timeout, &number)) {
        token = number_new(number);
        if (!token || PyObject_SetAttrString(object, "_token", token)) {
            (void)let_go(lock.store, lock.key, lock.key_len, number);
            forget_refusal();
            Py_CLEAR(token);
        }
    }
    drop_named_lock(&lock);
    return token;
}

/* Let go of what is noted, if there is something. Not 0: raised, or a refusal that is to be. */
static int let_go_of_noted(PyObject *object)
{
    PyObject *token = PyObject_GetAttrString(object, "_token");
    struct named_lock lock;
    uint64_t number = 0;
    int err;

    if (token && token != Py_None)
        number = PyLong_AsUnsignedLongLong(token);
    Py_XDECREF(token);
    if (PyErr_Occurred())
        return RAISED;
    if (!number)
        return SHMKV_OK;
    err = named_lock_of(object, &lock) ? RAISED : let_go(lock.store, lock.key, lock.key_len, number);
    drop_named_lock(&lock);
    return PyObject_SetAttrString(object, "_token", Py_None) ? RAISED : err;
}

static PyObject *lock_exit(PyObject *module, PyObject *arguments)
{
    PyObject *object, *type, *error, *trace;
    int err;

    (void)module;
    if (!PyArg_UnpackTuple(arguments, "__exit__", 4, 4, &object, &type, &error, &trace))
        return NULL;
    err = let_go_of_noted(object);
    if (err && err != RAISED && type != Py_None) {
        forget_refusal(); /* what was raised inside says more */
        err = SHMKV_OK;
    }
    if (err && err != RAISED)
        raise_error(err);
    return err ? NULL : nothing();
}

/* From Python 3.14 on an interrupt may come between __enter__() and the block, as after any call, and then nobody
 * calls __exit__(). */
static PyObject *lock_del(PyObject *module, PyObject *object)
{
    int err = let_go_of_noted(object);

    (void)module;
    if (err == RAISED)
        return NULL;
    if (err)
        forget_refusal(); /* closed, lost, or the parent's: it is not ours any more */
    return nothing();
}

static PyMethodDef lock_methods[] = {
    {"__enter__", lock_enter, METH_O, "Take the lock; the token."},
    {"__exit__", lock_exit, METH_VARARGS, "Let it go."},
    {"__del__", lock_del, METH_O, "Let it go, if that has not been done."},
    {NULL, NULL, 0, NULL},
};

/* As the dict `lock_methods`, for the class body of shmkv._Lock. */
static int make_lock_methods(PyObject *module_dict)
{
    PyObject *all = PyDict_New();
    PyMethodDef *method;
    int failed = !all;

    for (method = lock_methods; method->ml_name && !failed; method++) {
        PyObject *function = PyCFunction_New(method, NULL);

        failed = !function || map_put(all, method->ml_name, PyInstanceMethod_New(function));
        Py_XDECREF(function);
    }
    failed = failed || PyDict_SetItemString(module_dict, "lock_methods", all);
    Py_XDECREF(all);
    return failed;
}

/* As the dict `fast_methods`, for the class body of shmkv.Store. */
static int make_fast_methods(PyObject *module_dict)
{
    PyObject *type = PyDict_GetItemString(module_dict, "Store");
    PyObject *all = PyDict_New();
    PyMethodDef *method;
    int failed = !type || !all;

    for (method = fast_methods; method->ml_name && !failed; method++)
        failed = map_put(all, method->ml_name, PyDescr_NewMethod((PyTypeObject *)type, method));
    failed = failed || PyDict_SetItemString(module_dict, "fast_methods", all);
    Py_XDECREF(all);
    return failed;
}
%}

%{
/* SWIG's check of the number of arguments, "Store_append expected 2 arguments, got 1", in Python's words. */
static Py_ssize_t unpack_arguments(PyObject *arguments, const char *function, Py_ssize_t least, Py_ssize_t most, PyObject **unpacked)
{
    const char *method = strchr(function, '_');

    if (arguments && PyTuple_Check(arguments) && expect(method ? method + 1 : function, PyTuple_GET_SIZE(arguments), least, most))
        return 0;
    return SWIG_Python_UnpackTuple(arguments, function, least, most, unpacked);
}
#define SWIG_Python_UnpackTuple unpack_arguments
%}

%init %{
    if (make_fast_methods(md) || make_lock_methods(md))
        RETURN_FAILED_INIT;
%}
