/*
 * Keys, values and segment names as arguments. The typemaps hand the core the
 * string's own bytes: nothing is copied, decoded or counted to a NUL.
 *
 *   (const void *KEY, size_t KEY_LEN)      a key
 *   (const void *VALUE, size_t VALUE_LEN)  a value
 *   (const void *MAYBE, size_t MAYBE_LEN)  bytes, or the language's nothing: then NULL
 *   const char *NAME                       a segment name: bytes without a NUL;
 *                                          NO_NUL_TYPEMAPS makes the like of others;
 *                                          AT is the place to name if it is refused
 *
 * What counts as bytes:
 *
 *   Perl    A string's characters are its bytes, whether or not Perl happens to
 *           hold it as UTF-8 inside: both forms of "\xe9" are one key. A character
 *           above 255 is refused, as print would warn of it: encode first.
 *           Numbers and overloaded objects are taken as strings. Undefined values
 *           and plain references are refused.
 *   Python  bytes as they are, str as UTF-8, anything else by its buffer. What others can
 *           write to meanwhile (a bytearray, an mmap) is copied if it is a key: the core reads
 *           a key twice, for its hash and to store it.
 *   Ruby    A String's bytes, whatever its encoding. No other type.
 */

#if defined(SWIGPYTHON)

%{
/* A buffer object as bytes; `*view` is to be released by drop_view(). */
static int view_of(PyObject *object, const char *what, const void **data, size_t *size,
                   Py_buffer **view)
{
    Py_buffer *made;

    if (!PyObject_CheckBuffer(object)) {
        PyErr_Format(PyExc_TypeError, "a %s must be bytes, str or a buffer, not %.80s", what,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    made = PyMem_Malloc(sizeof *made);
    if (!made) {
        PyErr_NoMemory();
        return -1;
    }
    if (PyObject_GetBuffer(object, made, PyBUF_ND)) {
        PyMem_Free(made);
        return -1;
    }
    *view = made;
    *data = made->buf;
    *size = (size_t)made->len;
    return 0;
}

static void drop_view(Py_buffer *view)
{
    if (view) {
        PyBuffer_Release(view);
        PyMem_Free(view);
    }
}

/* The same, of a copy that nobody can change. */
static int view_of_copy(PyObject *object, const char *what, const void **data, size_t *size, Py_buffer **view)
{
    PyObject *copy;
    int failed;

    if (view_of(object, what, data, size, view))
        return -1;
    copy = PyBytes_FromStringAndSize(*data, (Py_ssize_t)*size);
    drop_view(*view);
    *view = NULL;
    failed = !copy || view_of(copy, what, data, size, view);
    Py_XDECREF(copy);
    return failed ? -1 : 0;
}

/* The bytes of a key, valid and the same while `object` lives and `*view` is held. */
static inline int bytes_of(PyObject *object, const char *what, const void **data, size_t *size,
                           Py_buffer **view)
{
    if (PyBytes_Check(object)) {
        *data = PyBytes_AS_STRING(object);
        *size = (size_t)PyBytes_GET_SIZE(object);
        return 0;
    }
    if (PyUnicode_Check(object)) {
        Py_ssize_t length;

        *data = PyUnicode_AsUTF8AndSize(object, &length);
        *size = (size_t)length;
        return *data ? 0 : -1;
    }
    return view_of_copy(object, what, data, size, view);
}
%}

%typemap(in) (const void *KEY, size_t KEY_LEN) (Py_buffer *view = NULL) {
    if (bytes_of($input, "key", (const void **)&$1, &$2, &view)) {
        add_place(PLACE(arg1, NULL, 0));
        SWIG_fail;
    }
}
%typemap(in) (const void *VALUE, size_t VALUE_LEN) (Py_buffer *view = NULL) {
    if (bytes_of($input, "value", (const void **)&$1, &$2, &view)) {
        add_place(PLACE(arg1, NULL, 0));
        SWIG_fail;
    }
}
%typemap(freearg) (const void *KEY, size_t KEY_LEN) "drop_view(view$argnum);"
%typemap(freearg) (const void *VALUE, size_t VALUE_LEN) "drop_view(view$argnum);"

%typemap(in) (const void *MAYBE, size_t MAYBE_LEN) (Py_buffer *view = NULL) {
    $1 = NULL;
    $2 = 0;
    if ($input != Py_None && bytes_of($input, "prefix or position", (const void **)&$1, &$2, &view)) {
        add_place(PLACE(arg1, NULL, 0));
        SWIG_fail;
    }
}
%typemap(freearg) (const void *MAYBE, size_t MAYBE_LEN) "drop_view(view$argnum);"

%define NO_NUL_TYPEMAPS(ARGUMENT, ERROR, WHAT, AT)
%typemap(in) const char *ARGUMENT {
    Py_ssize_t length;

    if (PyBytes_AsStringAndSize($input, &$1, &length)) SWIG_fail;
    if (memchr($1, 0, (size_t)length)) {
        raise_error(refuse_at(AT, ERROR, "bad " WHAT ": it contains a NUL byte"));
        SWIG_fail;
    }
}
%enddef

#elif defined(SWIGRUBY)

%{
#include <ruby/encoding.h>

/* All but Strings. */
static VALUE make_string(const struct place *at, VALUE object, const char *what)
{
    VALUE string = rb_check_string_type(object);

    if (NIL_P(string))
        raise_type_error(at, "a %s must be a String, not %s", what, rb_obj_classname(object));
    return string;
}
#define string_of(at, object, what) (RB_TYPE_P((object), T_STRING) ? (object) : make_string((at), (object), (what)))

/* What is read without a call of Ruby code, even if a codec is asked. */
static inline int is_quiet(VALUE object)
{
    int encoding;

    if (RB_FIXNUM_P(object) || RB_FLOAT_TYPE_P(object) || NIL_P(object) || object == Qtrue || object == Qfalse)
        return 1;
    if (!RB_TYPE_P(object, T_STRING))
        return 0;
    encoding = ENCODING_GET(object);
    return encoding == rb_ascii8bit_encindex()
        || (encoding == rb_utf8_encindex() && rb_enc_str_coderange(object) != ENC_CODERANGE_BROKEN);
}

/*
 * Whether reading one of these arguments may run Ruby code (to_str, to_f, a codec, or another thread
 * meanwhile), which may change the Strings before them.
 */
static inline int may_run_code(const VALUE *from, const VALUE *end)
{
    for (; from < end; from++)
        if (!is_quiet(*from))
            return 1;
    return 0;
}

/* The String, or one with its bytes that nobody can change if reading these arguments may run code. */
static inline VALUE held(VALUE string, const VALUE *from, const VALUE *end)
{
    return may_run_code(from, end) && !OBJ_FROZEN(string) ? rb_str_new_frozen(string) : string;
}
%}

%typemap(in) (const void *KEY, size_t KEY_LEN) (VALUE string) {
    string = held(string_of(PLACE(arg1, NULL, 0), $input, "key"), &$input + 1, argv + argc);
    $1 = RSTRING_PTR(string);
    $2 = (size_t)RSTRING_LEN(string);
}
%typemap(in) (const void *VALUE, size_t VALUE_LEN) = (const void *KEY, size_t KEY_LEN);
%typemap(freearg) (const void *KEY, size_t KEY_LEN) "RB_GC_GUARD(string$argnum);"
%typemap(freearg) (const void *VALUE, size_t VALUE_LEN) "RB_GC_GUARD(string$argnum);"

%typemap(in) (const void *MAYBE, size_t MAYBE_LEN) (VALUE string) {
    string = $input;
    $1 = NULL;
    $2 = 0;
    if (!NIL_P(string)) {
        string = held(string_of(PLACE(arg1, NULL, 0), string, "prefix or position"), &$input + 1, argv + argc);
        $1 = RSTRING_PTR(string);
        $2 = (size_t)RSTRING_LEN(string);
    }
}
%typemap(freearg) (const void *MAYBE, size_t MAYBE_LEN) "RB_GC_GUARD(string$argnum);"

%define NO_NUL_TYPEMAPS(ARGUMENT, ERROR, WHAT, AT)
%typemap(in) const char *ARGUMENT (VALUE string) {
    string = rb_str_new_frozen(string_of(AT, $input, WHAT)); /* other threads run while it is used */
    if (memchr(RSTRING_PTR(string), 0, (size_t)RSTRING_LEN(string)))
        raise_error(refuse_at(AT, ERROR, "bad " WHAT ": it contains a NUL byte"));
    $1 = StringValueCStr(string);
}
%typemap(freearg) const char *ARGUMENT "RB_GC_GUARD(string$argnum);"
%enddef

#elif defined(SWIGPERL)

%{
/* Whether a reference has a class with overloading, which can make it a string. */
static int is_overloaded(SV *sv)
{
    return SvAMAGIC(sv) && Gv_AMG(SvSTASH(SvRV(sv)));
}

/* All but plain byte strings. */
static int unusual_bytes_of(const struct place *at, SV *sv, int err, const char *what, const void **data, size_t *size)
{
    STRLEN length;
    char *text;
    bool is_utf8 = TRUE;

    if (!SvOK(sv))
        return refuse_at(at, err, "bad %s: it is undefined", what);
    if (SvROK(sv) && !is_overloaded(sv))
        return refuse_at(at, err, "bad %s: it is a reference, not a string", what);
    text = SvPV_nomg(sv, length);
    if (SvUTF8(sv)) {
        char *narrow = (char *)bytes_from_utf8((U8 *)text, &length, &is_utf8);
        SV *holder;

        if (is_utf8)
            return refuse_at(at, err, "bad %s: wide character; encode it first, for example with "
                                      "Encode::encode_utf8", what);
        if (narrow != text) {
            /* Until the statement ends, and also if what runs before then dies. */
            holder = sv_newmortal();
            sv_usepvn(holder, narrow, length);
            narrow = SvPVX(holder);
        }
        text = narrow;
    }
    *data = text;
    *size = length;
    return 0;
}

/*
 * Whether reading one of these arguments may run code of the user, which may change or free
 * what has been read of those before.
 */
static inline int may_run_code(SV **from, SV **end)
{
    for (; from < end; from++)
        if (SvGMAGICAL(*from) || SvROK(*from))
            return 1;
    return 0;
}

/* Until the statement ends. */
static const void *mortal_copy(const void *data, size_t size)
{
    return SvPVX_const(sv_2mortal(newSVpvn(data, size)));
}

static inline int plain_bytes_of(SV *sv, const void **data, size_t *size)
{
    SvGETMAGIC(sv);
    if (!SvPOK(sv) || SvUTF8(sv))
        return 0;
    *data = SvPVX_const(sv);
    *size = SvCUR(sv);
    return 1;
}

/* The bytes of a key or value. Plain ones need no place made for them. */
#define bytes_of(at, sv, err, what, data, size) \
    (plain_bytes_of((sv), (data), (size)) ? 0 : unusual_bytes_of((at), (sv), (err), (what), (data), (size)))
%}

%typemap(in) (const void *KEY, size_t KEY_LEN) (int refused) {
    refused = bytes_of(PLACE(arg1, NULL, 0), $input, SHMKV_EKEY, "key", (const void **)&$1, &$2);
    if (refused) {
        raise_error(refused);
        SWIG_fail;
    }
    if (may_run_code(&$input + 1, &ST(0) + items))
        $1 = (void *)mortal_copy($1, $2);
}
%typemap(in) (const void *VALUE, size_t VALUE_LEN) (int refused) {
    refused = bytes_of(PLACE(arg1, NULL, 0), $input, SHMKV_EVALUE, "value", (const void **)&$1, &$2);
    if (refused) {
        raise_error(refused);
        SWIG_fail;
    }
}

%typemap(in) (const void *MAYBE, size_t MAYBE_LEN) (int refused) {
    $1 = NULL;
    $2 = 0;
    SvGETMAGIC($input);
    refused = SvOK($input) ? bytes_of(PLACE(arg1, NULL, 0), $input, SHMKV_EARGUMENT, "prefix or position", (const void **)&$1, &$2) : 0;
    if (refused) {
        raise_error(refused);
        SWIG_fail;
    }
}

%define NO_NUL_TYPEMAPS(ARGUMENT, ERROR, WHAT, AT)
%typemap(in) const char *ARGUMENT (int refused, const void *data, size_t size) {
    refused = bytes_of(AT, $input, ERROR, WHAT, &data, &size);
    if (!refused && memchr(data, 0, size))
        refused = refuse_at(AT, ERROR, "bad " WHAT ": it contains a NUL byte");
    if (refused) {
        raise_error(refused);
        SWIG_fail;
    }
    $1 = (char *)data;
}
%enddef

#endif

NO_NUL_TYPEMAPS(NAME, SHMKV_ENAME, "segment name", PLACE_UNKNOWN)
