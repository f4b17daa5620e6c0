/*
 * The classes Store and Cursor as SWIG is to wrap them: how an object of each
 * language leads to its C struct, how a step of a cursor comes out, and the methods.
 */
/* --------------------------------------------------- the way into each class */

#if defined(SWIGPYTHON)

/* A method descriptor has checked the type already. */
%typemap(in) struct Store *self  "$1 = (Store *)((SwigPyObject *)$input)->ptr;"
%typemap(in) struct Cursor *self "$1 = (Cursor *)((SwigPyObject *)$input)->ptr;"

%{
/* Keys and values are made before the pair: making that may run other code. */
static PyObject *step_object(step_t step)
{
    PyObject *key = NULL, *val = NULL, *pair = NULL;

    if (step.yield != YIELD_VALUES && !(key = bytes_new(step.key, step.key_len)))
        return NULL;
    if (step.yield == YIELD_KEYS)
        return key;
    val = value_new(PLACE(step.store, step.key, step.key_len), &step.item);
    if (step.yield == YIELD_VALUES)
        return val;
    if (val)
        pair = PyTuple_Pack(2, key, val);
    Py_XDECREF(key);
    Py_XDECREF(val);
    return pair;
}
%}

%typemap(out) step_t {
    if ($1.state < 0) SWIG_fail;
    $result = $1.state ? step_object($1) : nothing();
}

#elif defined(SWIGRUBY)

%typemap(in) struct Store *self  "$1 = (Store *)DATA_PTR($input);"
%typemap(in) struct Cursor *self "$1 = (Cursor *)DATA_PTR($input);"

%{
static VALUE step_object(step_t step)
{
    VALUE key, val;

    if (!step.state)
        return Qnil;
    key = step.yield == YIELD_VALUES ? Qnil : bytes_new(step.key, step.key_len);
    if (step.yield == YIELD_KEYS)
        return key;
    val = value_new(PLACE(step.store, step.key, step.key_len), &step.item);
    return step.yield == YIELD_VALUES ? val : rb_assoc_new(key, val);
}
%}

%typemap(out) step_t "$result = step_object($1);"

#elif defined(SWIGPERL)

/*
 * An object is a blessed scalar that carries its pointer as magic: a script
 * cannot forge it, a subclass costs nothing, and freeing the scalar is enough.
 *
 * Perl's stack does not keep what is on it, and code of the user that runs during a call
 * (overloading, tied scalars, a codec, a signal handler) may give up the last reference: so each
 * call keeps its object until the statement ends.
 */
%{
#define CLASS_MAGIC(type)                                                       \
    static int type##_freed(pTHX_ SV *sv, MAGIC *mg)                            \
    {                                                                           \
        (void)sv;                                                               \
        delete_##type((type *)mg->mg_ptr);                                      \
        mg->mg_ptr = NULL;                                                      \
        return 0;                                                               \
    }                                                                           \
                                                                                \
    /* In a new interpreter thread the object is a closed one. */               \
    static int type##_cloned(pTHX_ MAGIC *mg, CLONE_PARAMS *params)             \
    {                                                                           \
        (void)params;                                                           \
        mg->mg_ptr = NULL;                                                      \
        return 0;                                                               \
    }                                                                           \
                                                                                \
    static MGVTBL type##_magic = {.svt_free = type##_freed, .svt_dup = type##_cloned}

CLASS_MAGIC(Store);
CLASS_MAGIC(Cursor);

static SV *object_with(void *pointer, const MGVTBL *magic, const char *class)
{
    SV *object = newSV(0);
    MAGIC *mg = sv_magicext(object, NULL, PERL_MAGIC_ext, magic, (char *)pointer, 0);

    mg->mg_flags |= MGf_DUP;
    return sv_bless(newRV_noinc(object), gv_stashpv(class, GV_ADD));
}

/* The object's pointer; *found is NULL when it is none of ours. */
static inline void *pointer_in(SV *reference, const MGVTBL *magic, MAGIC **found)
{
    MAGIC *mg = NULL;

    if (SvROK(reference) && SvTYPE(SvRV(reference)) >= SVt_PVMG)
        for (mg = SvMAGIC(SvRV(reference)); mg && mg->mg_virtual != magic; mg = mg->mg_moremagic)
            continue;
    *found = mg;
    return mg ? mg->mg_ptr : NULL;
}
%}

%define OBJECT_TYPEMAPS(type, PACKAGE)
%typemap(in) type *self (MAGIC *found), struct type *self (MAGIC *found) {
    $1 = (type *)pointer_in($input, &type##_magic, &found);
    if (!found) {
        raise_error(refuse(SHMKV_EARGUMENT, "bad argument: no object of " PACKAGE));
        SWIG_fail;
    }
    sv_2mortal(SvREFCNT_inc_simple_NN(SvRV($input)));
}
%typemap(out) type *, struct type * {
    if (!$1) SWIG_fail;
    $result = sv_2mortal(object_with($1, &type##_magic, PACKAGE));
    argvi++;
}
%enddef

OBJECT_TYPEMAPS(Store, "ShmKV")
OBJECT_TYPEMAPS(Cursor, "ShmKV::Cursor")

/* An entry, or in a list nothing at all, so that while (my ($k, $v) = ...) ends. */
%typemap(out) step_t {
    if ($1.state < 0) SWIG_fail;
    EXTEND(SP, 2);
    if ($1.state && $1.yield != YIELD_VALUES)
        ST(argvi++) = sv_2mortal(from_outside(bytes_new($1.key, $1.key_len)));
    if ($1.state && $1.yield != YIELD_KEYS) {
        SV *value = value_new(PLACE($1.store, $1.key, $1.key_len), &$1.item);

        if (!value)
            SWIG_fail;
        ST(argvi++) = sv_2mortal(value);
    }
}

#endif

%apply (const void *MAYBE, size_t MAYBE_LEN) { (const void *POSITION, size_t POSITION_LEN) };

%typemap(in) native_t ENCODE, native_t DECODE, native_t FUNCTION, native_t GIVEN "$1 = $input;"

/* What the constructor and cursor() return in vain has been raised. */
%exception Store::Store { $action if (!result) SWIG_fail; }
%exception Store::cursor { $action if (!result) SWIG_fail; }
%newobject Store::cursor;
%nodefaultctor Cursor;

typedef struct Store {
    %extend {
        Store(const char *NAME, int mode, unsigned flags, uint64_t reserve, uint32_t lock_timeout_ms,
              uint32_t permissions, uint32_t owner_slots, uint64_t max_size,
              double default_ttl, uint64_t max_entries, uint64_t max_bytes, int evict);
        ~Store();

        done_t put(const void *KEY, size_t KEY_LEN, value_t *ITEM);
        reply_t get(const void *KEY, size_t KEY_LEN);
        reply_t get_bytes(const void *KEY, size_t KEY_LEN);
        answer_t delete(const void *KEY, size_t KEY_LEN);
        answer_t exists(const void *KEY, size_t KEY_LEN);

        native_t get_item(const void *KEY, size_t KEY_LEN);
        answer_t store_as(const void *KEY, size_t KEY_LEN, int how, value_t *ITEM, double TTL, int BOUND);
        reply_t swap(const void *KEY, size_t KEY_LEN, value_t *ITEM, double TTL, int BOUND);
        reply_t get_or_set(const void *KEY, size_t KEY_LEN, value_t *ITEM, double TTL, int BOUND);
        reply_t take(const void *KEY, size_t KEY_LEN);
        answer_t cas(const void *KEY, size_t KEY_LEN, uint64_t VERSION, value_t *ITEM, double TTL, int BOUND);
        answer_t store_modified(const void *KEY, size_t KEY_LEN, uint64_t VERSION, uint64_t EXPIRES_NS, value_t *ITEM,
                                double TTL, int BOUND);
        answer_t cas_value(const void *KEY, size_t KEY_LEN, value_t *EXPECTED, value_t *ITEM, double TTL,
                           int BOUND);
        answer_t delete_if(const void *KEY, size_t KEY_LEN, uint64_t VERSION);
        answer_t delete_value(const void *KEY, size_t KEY_LEN, value_t *EXPECTED);

        native_t count_with(const void *KEY, size_t KEY_LEN, int how, value_t *AMOUNT, value_t *INITIAL);
        native_t append(const void *KEY, size_t KEY_LEN, value_t *ITEM);

        answer_t touch(const void *KEY, size_t KEY_LEN, double TTL);
        native_t pop_pair();
        native_t clear();
        native_t sweep(uint64_t MAX_STEPS);

        native_t get_many(keys_t *KEYS);
        done_t put_many(entries_t *ENTRIES, double PERIOD, int BOUND);
        native_t delete_many(keys_t *KEYS);

        native_t get_size();
        native_t get_all();
        Cursor *cursor(int yield, const void *MAYBE, size_t MAYBE_LEN, const void *POSITION, size_t POSITION_LEN);

        native_t info();
        native_t stats();
        native_t verify();
        native_t locks();
        native_t owners();

        answer_t wait(const void *KEY, size_t KEY_LEN, int KNOWN, uint64_t VERSION, double TIMEOUT);
#if defined(SWIGRUBY)
        native_t hold(const void *KEY, size_t KEY_LEN, double TIMEOUT);
#elif defined(SWIGPERL)
        native_t hold(const void *KEY, size_t KEY_LEN, double TIMEOUT, native_t FUNCTION);
#endif
        native_t watch(uint64_t FROM, double PERIOD);

        native_t transaction(keys_t *KEYS, native_t FUNCTION);
#if defined(SWIGPYTHON)
        done_t missing(const void *KEY, size_t KEY_LEN, native_t GIVEN);
#endif

        done_t freeze();
        done_t sync();
        native_t dump_path(const char *PATH, unsigned flags);
        native_t dump_fd(int FD, unsigned flags);
        native_t load_path(const char *PATH, unsigned flags);
        native_t load_fd(int FD, unsigned flags);

        done_t use_codec(native_t ENCODE, native_t DECODE);
        done_t close();
        answer_t closed();
        native_t name();
    }
} Store;

typedef struct Cursor {
    %extend {
        ~Cursor();
        step_t step();
        done_t close();
        %immutable;
        native_t position;
        %mutable;
    }
} Cursor;

done_t unlink_segment(const char *NAME);
done_t refuse_argument(const char *of, const char *text);
done_t refuse_value(const char *text);
native_t library_version();
