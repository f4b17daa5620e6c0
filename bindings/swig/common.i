/*
 * What the wrapped functions return, and the small layer through which one C
 * source serves three languages.
 *
 *   native_t   an object of the language, owned by the caller. NO_OBJECT: raised.
 *   reply_t    the same, made by reply_new() or reply_of()
 *   done_t     0: done, and the language's usual "nothing more to say".
 *              Otherwise: raised.
 *   answer_t   1 yes, 0 no. Negative: raised.
 *
 * "Raised" means that raise_error() has been called. In Ruby that does not
 * return, so nothing may be held across it.
 *
 * The layer, defined below for each language:
 *
 *   bytes_new(data, size)          a string of bytes
 *   bytes_room(size)               one to be filled through bytes_data(), then
 *   bytes_fit(object, size)        cut to size (which may give another object)
 *   reply_new(data, size)          a value to be returned at once: in Perl, in the
 *                                  scalar that the calling op keeps for its results
 *   reply_of(object)               any object, as one
 *   from_outside(object)           the same object, marked as data that others made, where the
 *                                  language keeps account of that: Perl, under -T
 *   text_new(text), number_new(n), integer_new(n), float_new(x), truth_new(b), nothing()
 *   map_new(), map_put(map, key, value), map_put_key(map, key, key_len, value)
 *   list_new(), list_push(list, value)
 *   release(object)                gives up an object that was not handed on
 *   without_lock(work, argument)   runs work() with the interpreter unlocked
 *   wait_without_lock(work, argument)
 *                                  the same for what sleeps until it is woken: an interrupt
 *                                  wakes it, or it does not begin
 *   serve_interrupts()             lets the language serve them; not 0: raised
 *   build_and_drop(build, drop, argument)
 *                                  what build() makes; drop() also if it raises
 *
 * map_put(), map_put_key() and list_push() take over their value and pass a NO_OBJECT on as a
 * failure, so a builder needs one check at its end.
 */
%include <stdint.i>

%begin %{
/* The headers of the languages say so too, but some of them late. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
%}

%{
#include <shmkv/shmkv.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int done_t;
typedef int answer_t;

/* Values up to this size are read through the stack, larger ones in place. */
enum { STACK_VALUE = 4096 };

/*
 * The text for the next raise_error() of this thread, when the core has none. Only
 * a pointer: the core wants its thread-local storage static, and of that a process
 * has some hundred bytes for all the extensions that it loads.
 */
static __thread char *refusal;

/*
 * What an operation is about, for what is to be said if it fails: pointers only, so that
 * one that succeeds pays nothing for it.
 */
struct codec;
struct place {
    const char *segment;       /* its name, or NULL */
    const struct codec *codec; /* of the Store, or NULL */
    const void *key;           /* or NULL */
    size_t key_len;
};

/* Of a Store or a Transaction, which may be NULL, and a key, which may be. */
#define PLACE(self, key, len)                                                                  \
    (&(const struct place){(self) ? (self)->name : NULL, (self) ? &(self)->codec : NULL, (key), (len)})

#define PLACE_UNKNOWN (&(const struct place){0})

/* Of a Store that is open. */
#define PLACE_IN(store, key, len) (&(const struct place){(store)->name, &(store)->codec, (key), (len)})

static void forget_refusal(void)
{
    free(refusal);
    refusal = NULL;
}

/* Printable ASCII as it is, the rest as \xNN, and no more of it than helps: as the core does. */
static void escape_key(char *out, size_t size, const void *key, size_t len)
{
    const unsigned char *bytes = key;
    size_t i, n = 0;

    for (i = 0; i < len && n + 8 <= size; i++) {
        int plain = bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '\\' && bytes[i] != '"';

        n += (size_t)snprintf(out + n, size - n, plain ? "%c" : "\\x%02x", bytes[i]);
    }
    snprintf(out + n, size - n, "%s", i < len ? "..." : "");
}

enum { LONGEST_TEXT = 1024 };

/* The text with the segment in front of it, and the key behind: as the core's own. */
static void tell(char text[LONGEST_TEXT], const struct place *at, const char *what)
{
    char key[64];

    if (at->key)
        escape_key(key, sizeof key, at->key, at->key_len);
    snprintf(text, LONGEST_TEXT, "%s%s%.700s%s%s%s", at->segment ? at->segment : "", at->segment ? ": " : "", what,
             at->key ? " (key \"" : "", at->key ? key : "", at->key ? "\")" : "");
}

/* Note why an argument is refused, and give back the code. */
static int refuse(int err, const char *format, ...)
{
    va_list args;

    if (!refusal)
        refusal = malloc(LONGEST_TEXT);
    if (!refusal)
        return ENOMEM;
    va_start(args, format);
    vsnprintf(refusal, LONGEST_TEXT, format, args);
    va_end(args);
    return err;
}

/* The same, of that place. */
static int refuse_at(const struct place *at, int err, const char *format, ...)
{
    char what[LONGEST_TEXT], text[LONGEST_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    tell(text, at, what);
    return refuse(err, "%s", text);
}
%}

#if defined(SWIGPYTHON)

%{
typedef PyObject *native_t, *reply_t;
#define NO_OBJECT NULL

/* What SWIG has around %init returns an int since 4.4. */
#if SWIG_VERSION >= 0x040400
#define RETURN_FAILED_INIT return -1
#else
#define RETURN_FAILED_INIT return NULL
#endif

#define bytes_new(data, size)    PyBytes_FromStringAndSize((data), (Py_ssize_t)(size))
#define from_outside(object)     (object)
#define bytes_room(size)         PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(size))
#define bytes_data(object)       PyBytes_AS_STRING(object)
#define reply_new(data, size)    bytes_new((data), (size))
#define reply_of(object)         (object)
#define text_new(text)           PyUnicode_DecodeUTF8((text), (Py_ssize_t)strlen(text), "replace")
#define number_new(n)            PyLong_FromUnsignedLongLong(n)
#define negative_new(n)          PyLong_FromLong(n)
#define integer_new(n)           PyLong_FromLongLong(n)
#define float_new(x)             PyFloat_FromDouble(x)
#define truth_new(b)             PyBool_FromLong((b) != 0)
#define map_new()                PyDict_New()
#define list_new()               PyList_New(0)
#define release(object)          Py_XDECREF(object)

static native_t nothing(void)
{
    Py_INCREF(Py_None);
    return Py_None;
}

static native_t bytes_fit(native_t object, size_t size)
{
    if ((size_t)PyBytes_GET_SIZE(object) != size)
        _PyBytes_Resize(&object, (Py_ssize_t)size);
    return object;
}

static int map_put(native_t map, const char *key, native_t value)
{
    int failed = !value || PyDict_SetItemString(map, key, value);

    Py_XDECREF(value);
    return failed;
}

static int map_put_key(native_t map, const void *key, size_t key_len, native_t value)
{
    PyObject *k = value ? bytes_new(key, key_len) : NULL;
    int failed = !k || PyDict_SetItem(map, k, value);

    Py_XDECREF(k);
    Py_XDECREF(value);
    return failed;
}

static int list_push(native_t list, native_t value)
{
    int failed = !value || PyList_Append(list, value);

    Py_XDECREF(value);
    return failed;
}

static void without_lock(void (*work)(void *), void *argument)
{
    PyThreadState *state = PyEval_SaveThread();

    work(argument);
    PyEval_RestoreThread(state);
}

#define wait_without_lock(work, argument) without_lock((work), (argument))
#define serve_interrupts()                PyErr_CheckSignals()

static native_t build_and_drop(native_t (*build)(void *), void (*drop)(void *), void *argument)
{
    native_t object = build(argument);

    drop(argument);
    return object;
}
%}

%typemap(out) native_t, reply_t {
    if (!$1)
        SWIG_fail;
    $result = $1;
}
%typemap(out) done_t {
    if ($1)
        SWIG_fail;
    $result = nothing();
}
%typemap(out) answer_t {
    if ($1 < 0)
        SWIG_fail;
    $result = PyBool_FromLong($1);
}

#elif defined(SWIGRUBY)

%{
#include <ruby/thread.h>

typedef VALUE native_t, reply_t;
#define NO_OBJECT ((VALUE)0)

#define bytes_new(data, size)    rb_str_new((data), (long)(size))
#define from_outside(object)     (object)
#define bytes_room(size)         rb_str_new(NULL, (long)(size))
#define bytes_data(object)       RSTRING_PTR(object)
#define reply_new(data, size)    bytes_new((data), (size))
#define reply_of(object)         (object)
#define text_new(text)           rb_utf8_str_new_cstr(text)
#define number_new(n)            ULL2NUM(n)
#define negative_new(n)          LONG2NUM(n)
#define integer_new(n)           LL2NUM(n)
#define float_new(x)             DBL2NUM(x)
#define truth_new(b)             ((b) ? Qtrue : Qfalse)
#define nothing()                Qnil
#define map_new()                rb_hash_new()
#define list_new()               rb_ary_new()
#define release(object)          RB_GC_GUARD(object)

static native_t bytes_fit(native_t object, size_t size)
{
    rb_str_set_len(object, (long)size);
    return object;
}

static int map_put(native_t map, const char *key, native_t value)
{
    rb_hash_aset(map, ID2SYM(rb_intern(key)), value);
    return 0;
}

static int map_put_key(native_t map, const void *key, size_t key_len, native_t value)
{
    /* Frozen, or the Hash copies it. */
    rb_hash_aset(map, rb_obj_freeze(bytes_new(key, key_len)), value);
    return 0;
}

static int list_push(native_t list, native_t value)
{
    rb_ary_push(list, value);
    return 0;
}

struct unlocked_work {
    void (*work)(void *);
    void *argument;
    int done;
};

static void *run_unlocked(void *data)
{
    struct unlocked_work *job = data;

    job->work(job->argument);
    job->done = 1;
    return NULL;
}

/*
 * The "2" variant does not raise on the way back, when work() has made something
 * that would be lost; it may decline to begin, and then interrupts are served.
 */
static void without_lock(void (*work)(void *), void *argument)
{
    struct unlocked_work job = {work, argument, 0};

    for (;;) {
        rb_thread_call_without_gvl2(run_unlocked, &job, NULL, NULL);
        if (job.done)
            return;
        rb_thread_check_ints();
    }
}

static void wait_without_lock(void (*work)(void *), void *argument)
{
    struct unlocked_work job = {work, argument, 0};

    rb_thread_call_without_gvl2(run_unlocked, &job, RUBY_UBF_IO, NULL);
}

static int serve_interrupts(void)
{
    rb_thread_check_ints();
    return 0;
}

struct building {
    native_t (*build)(void *);
    void (*drop)(void *);
    void *argument;
};

static VALUE run_build(VALUE data)
{
    const struct building *job = (const struct building *)data;

    return job->build(job->argument);
}

static VALUE run_drop(VALUE data)
{
    const struct building *job = (const struct building *)data;

    job->drop(job->argument);
    return Qnil;
}

static native_t build_and_drop(native_t (*build)(void *), void (*drop)(void *), void *argument)
{
    struct building job = {build, drop, argument};

    return rb_ensure(run_build, (VALUE)&job, run_drop, (VALUE)&job);
}
%}

%typemap(out) native_t, reply_t "$result = $1;"
%typemap(out) done_t   "$result = $1 ? Qfalse : Qtrue;"
%typemap(out) answer_t "$result = $1 ? Qtrue : Qfalse;"

#elif defined(SWIGPERL)

%{
typedef SV *native_t, *reply_t;
#define NO_OBJECT NULL

#define bytes_new(data, size)    newSVpvn((data), (STRLEN)(size))
#define bytes_data(object)       SvPVX(object)
#define reply_of(object)         sv_2mortal(object)
#define text_new(text)           newSVpv((text), 0)
#define number_new(n)            newSVuv(n)
#define negative_new(n)          newSViv(n)
#define integer_new(n)           newSViv(n)
#define float_new(x)             newSVnv(x)
#define truth_new(b)             newSVsv((b) ? &PL_sv_yes : &PL_sv_no)
#define nothing()                (&PL_sv_undef)
#define map_new()                newRV_noinc((SV *)newHV())
#define list_new()               newRV_noinc((SV *)newAV())
#define release(object)          SvREFCNT_dec(object)
#define without_lock(work, argument) (work)(argument)
#define wait_without_lock(work, argument) (work)(argument)

#define map_put(map, key, value) map_put_at((map), (key), strlen(key), (value))
#define map_put_key(map, key, key_len, value) map_put_at((map), (key), (key_len), (value))
#define list_push(list, value)   (av_push((AV *)SvRV(list), (value)), 0)

/* A handler that dies leaves by a long jump. */
static int serve_interrupts(void)
{
    PERL_ASYNC_CHECK();
    return 0;
}

/* And what is inside, which nothing has blessed. */
static void taint(SV *sv)
{
    if (SvROK(sv) && SvTYPE(SvRV(sv)) == SVt_PVAV) {
        AV *list = (AV *)SvRV(sv);
        SSize_t i;

        for (i = 0; i <= av_top_index(list); i++) {
            SV **element = av_fetch(list, i, 0);

            if (element)
                taint(*element);
        }
    } else if (SvROK(sv) && SvTYPE(SvRV(sv)) == SVt_PVHV) {
        HV *map = (HV *)SvRV(sv);
        HE *entry;

        hv_iterinit(map);
        while ((entry = hv_iternext(map)))
            taint(HeVAL(entry));
    } else if (!SvROK(sv) && !SvREADONLY(sv)) {
        SvTAINTED_on(sv);
    }
}

static inline native_t from_outside(native_t object)
{
    if (object && TAINTING_get)
        taint(object);
    return object;
}

static native_t bytes_fit(native_t object, size_t size)
{
    SvCUR_set(object, size);
    *SvEND(object) = '\0';
    return object;
}

static native_t bytes_room(size_t size)
{
    SV *sv = newSV(size + 1);

    SvPOK_only(sv);
    return bytes_fit(sv, size);
}

/* From outside. Not for large values, whose memory the op would keep. */
static inline reply_t reply_new(const char *data, size_t size)
{
    dXSTARG;

    sv_setpvn(TARG, data, size);
    SvUTF8_off(TARG);
    SvSETMAGIC(TARG);
    return from_outside(TARG);
}

/* Keys reach 64 KiB, so the length always fits the I32 of hv_store(). */
static int map_put_at(native_t map, const void *key, size_t key_len, native_t value)
{
    if (!value)
        return -1;
    if (!hv_store((HV *)SvRV(map), key, (I32)key_len, value, 0))
        SvREFCNT_dec(value);
    return 0;
}

static native_t build_and_drop(native_t (*build)(void *), void (*drop)(void *), void *argument)
{
    native_t object = build(argument);

    drop(argument);
    return object;
}
%}

%typemap(out) native_t {
    if (!$1)
        SWIG_fail;
    $result = sv_2mortal($1);
    argvi++;
}
%typemap(out) reply_t {
    if (!$1)
        SWIG_fail;
    $result = $1;
    argvi++;
}
%typemap(out) done_t {
    if ($1)
        SWIG_fail;
    $result = &PL_sv_yes;
    argvi++;
}
%typemap(out) answer_t {
    if ($1 < 0)
        SWIG_fail;
    $result = boolSV($1);
    argvi++;
}

#endif
