/*
 * Values as arguments and as results, with their types: what one language stores
 * another finds as a value of its own. Spec 10 has the rules for every corner.
 *
 *   value_t *ITEM   a value as an argument of a method of Store
 *   value_new(at, item)     an entry of the store as a value of the language. NO_OBJECT: raised.
 *   value_reply(at, item)   the same, as a reply_t
 *
 * value_in() makes an item of an object. Strings are not copied: the item points
 * into the object, which the caller's arguments keep alive until value_drop(), or into a copy
 * where reading the arguments behind it may run code of the user.
 * Arrays and maps go through the language's own JSON library, by way of two
 * functions in the language, json_encode and json_decode, that also check what
 * that library would let pass. [VAL-02] [VAL-04]
 *
 * What none of the types holds goes to the codec of the Store, if it has one, and is
 * CODED; it comes back through the codec of the Store that reads it, or as bytes. The
 * codec is asked only after all types have refused, so it costs others nothing. What it
 * raises is left as it is. [VAL-06]
 *
 * What comes back is not trusted: a peer may have stored text that is none, or
 * three bytes as an integer. That raises BadType, and get_bytes() gives the bytes.
 * [VAL-05]
 */
%{
typedef struct value_t {
    struct shmkv_item item;
    union {
        int64_t integer;
        double number;
        uint8_t truth;
    } scalar;
#if defined(SWIGPYTHON)
    PyObject *made;  /* the JSON text */
    Py_buffer *view;
#elif defined(SWIGRUBY)
    VALUE made;
#elif defined(SWIGPERL)
    SV *made;
#endif
} value_t;

/* Two functions of the language, or NO_OBJECT. */
struct codec {
    native_t encode, decode;
};

static inline int value_is(value_t *value, int type, const void *data, size_t len)
{
    value->item.type = type;
    value->item.data = data;
    value->item.len = len;
    return 0;
}

static inline int value_is_integer(value_t *value, int64_t integer)
{
    value->scalar.integer = integer;
    return value_is(value, SHMKV_INT64, &value->scalar.integer, sizeof value->scalar.integer);
}

static inline int value_is_number(value_t *value, double number)
{
    value->scalar.number = number;
    return value_is(value, SHMKV_FLOAT64, &value->scalar.number, sizeof value->scalar.number);
}

static inline int value_is_truth(value_t *value, int truth)
{
    value->scalar.truth = truth != 0;
    return value_is(value, SHMKV_BOOLEAN, &value->scalar.truth, sizeof value->scalar.truth);
}

static int refuse_integer(const struct place *at)
{
    return refuse_at(at, SHMKV_EVALUE, "bad value: an integer beyond 64 bits; store it as text");
}

/* Its bytes are not what its type says. */
static void raise_bad_value(const struct place *at, const struct shmkv_item *item)
{
    static const char *const names[] = {"bytes", "text", "an integer", "a float", "a boolean", "null", "JSON", "coded"};

    raise_error(refuse_at(at, SHMKV_ETYPE, "the value says that it is %s, and is not; get_bytes gives what it is",
                          names[item->type]));
}

/* For what is said after code of the language has run, which may have changed or freed the key. */
struct kept_place {
    struct place at;
    char key[64]; /* more of it is not shown */
};

static const struct place *keep_place(struct kept_place *kept, const struct place *at)
{
    kept->at = *at;
    if (at->key) {
        kept->at.key_len = at->key_len < sizeof kept->key ? at->key_len : sizeof kept->key;
        kept->at.key = memcpy(kept->key, at->key, kept->at.key_len);
    }
    return &kept->at;
}

/* A scalar of fixed size, read without regard to alignment. */
static inline int scalar_of(const struct shmkv_item *item, void *scalar, size_t size)
{
    if (item->len != size)
        return -1;
    memcpy(scalar, item->data, size);
    return 0;
}
%}

#if defined(SWIGPYTHON)

%{
/* In shmkv/_json.py; set when the package is loaded. */
static PyObject *json_encode, *json_decode;

static int use_json(PyObject *encode, PyObject *decode)
{
    Py_INCREF(encode);
    Py_INCREF(decode);
    Py_XSETREF(json_encode, encode);
    Py_XSETREF(json_decode, decode);
    return 0;
}

static inline void value_drop(value_t *value)
{
    drop_view(value->view);
    Py_XDECREF(value->made);
}

static int text_value(value_t *value, int type, PyObject *text)
{
    Py_ssize_t length;
    const char *data = PyUnicode_AsUTF8AndSize(text, &length);

    return data ? value_is(value, type, data, (size_t)length) : -1;
}

static int integer_value(const struct place *at, value_t *value, PyObject *object)
{
    int overflow;
    long long integer = PyLong_AsLongLongAndOverflow(object, &overflow);

    if (overflow) {
        raise_error(refuse_integer(at));
        return -1;
    }
    return value_is_integer(value, integer);
}

static int json_value(value_t *value, PyObject *object)
{
    value->made = PyObject_CallFunctionObjArgs(json_encode, object, NULL);
    return value->made ? text_value(value, SHMKV_JSON, value->made) : -1;
}

/* Anything with a buffer; but a scalar of another library would lose its meaning. */
static int buffer_value(value_t *value, PyObject *object)
{
    const void *data;
    size_t size;

    if (!PyObject_CheckBuffer(object)) {
        PyErr_Format(PyExc_TypeError,
                     "a value must be bytes, str, int, float, bool, None, list, dict or a buffer, not %.80s",
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    if (view_of(object, "value", &data, &size, &value->view))
        return -1;
    if (value->view->ndim == 0) {
        PyErr_Format(PyExc_TypeError, "a value cannot be a single %.80s: make it an int or a float",
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    return value_is(value, SHMKV_BYTES, data, size);
}

static void codec_drop(struct codec *codec)
{
    Py_CLEAR(codec->encode);
    Py_CLEAR(codec->decode);
}

static void codec_set(struct codec *codec, PyObject *encode, PyObject *decode)
{
    Py_INCREF(encode);
    Py_INCREF(decode);
    Py_XSETREF(codec->encode, encode);
    Py_XSETREF(codec->decode, decode);
}

static PyObject *call(PyObject *function, PyObject *argument)
{
    PyObject *result;

    Py_INCREF(function); /* whatever it does */
    result = PyObject_CallFunctionObjArgs(function, argument, NULL);
    Py_DECREF(function);
    return result;
}

/* After a refusal. What the codec raises is left as it is. */
static int coded_value(const struct place *at, PyObject *object, value_t *value)
{
    const struct codec *codec = at->codec;

    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError)
        && !PyErr_ExceptionMatches(PyExc_RecursionError))
        return -1;
    PyErr_Clear();
    value_drop(value);
    memset(value, 0, sizeof *value);
    value->made = call(codec->encode, object);
    if (!value->made)
        return -1;
    if (!PyBytes_Check(value->made)) {
        PyErr_Format(PyExc_TypeError, "dumps() of the codec must return bytes, not %.80s", Py_TYPE(value->made)->tp_name);
        add_place(at);
        return -1;
    }
    return value_is(value, SHMKV_CODED, PyBytes_AS_STRING(value->made), (size_t)PyBytes_GET_SIZE(value->made));
}

static PyObject *decoded(const struct codec *codec, const struct shmkv_item *item)
{
    PyObject *bytes = bytes_new(item->data, item->len);
    PyObject *value = bytes && codec->decode ? call(codec->decode, bytes) : bytes;

    if (value != bytes)
        Py_DECREF(bytes);
    return value;
}

static inline int typed_value(const struct place *at, PyObject *object, value_t *value)
{
    memset(value, 0, sizeof *value);
    if (PyBytes_Check(object))
        return value_is(value, SHMKV_BYTES, PyBytes_AS_STRING(object), (size_t)PyBytes_GET_SIZE(object));
    if (PyUnicode_Check(object))
        return text_value(value, SHMKV_TEXT, object);
    if (PyBool_Check(object))
        return value_is_truth(value, object == Py_True);
    if (PyLong_Check(object))
        return integer_value(at, value, object);
    if (PyFloat_Check(object))
        return value_is_number(value, PyFloat_AS_DOUBLE(object));
    if (object == Py_None)
        return value_is(value, SHMKV_NULL, NULL, 0);
    if (PyDict_Check(object) || PyList_Check(object) || PyTuple_Check(object))
        return json_value(value, object);
    return buffer_value(value, object);
}

/* Not 0: raised. Either way value_drop() is due. */
static inline int value_in(const struct place *at, PyObject *object, value_t *value)
{
    if (!typed_value(at, object, value))
        return 0;
    if (at->codec && at->codec->encode)
        return coded_value(at, object, value);
    add_place(at);
    return -1;
}

static PyObject *text_new_from(const struct place *at, const struct shmkv_item *item)
{
    PyObject *text = PyUnicode_DecodeUTF8(item->data, (Py_ssize_t)item->len, "strict");

    if (!text && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        raise_bad_value(at, item);
    }
    return text;
}

static PyObject *json_new(const struct place *at, const struct shmkv_item *item)
{
    struct kept_place kept;
    PyObject *text = text_new_from(at, item), *value;

    at = keep_place(&kept, at);
    value = text ? PyObject_CallFunctionObjArgs(json_decode, text, NULL) : NULL;

    Py_XDECREF(text);
    /* Nested too deeply, it is not JSON that we can read either. */
    if (text && !value && (PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_RecursionError))) {
        PyErr_Clear();
        raise_bad_value(at, item);
    }
    return value;
}

static PyObject *scalar_new(const struct place *at, const struct shmkv_item *item)
{
    int64_t integer;
    double number;
    uint8_t truth;

    switch (item->type) {
    case SHMKV_INT64:
        if (!scalar_of(item, &integer, sizeof integer))
            return PyLong_FromLongLong(integer);
        break;
    case SHMKV_FLOAT64:
        if (!scalar_of(item, &number, sizeof number))
            return PyFloat_FromDouble(number);
        break;
    case SHMKV_BOOLEAN:
        if (!scalar_of(item, &truth, sizeof truth) && truth <= 1)
            return PyBool_FromLong(truth);
        break;
    default:
        if (!item->len)
            return nothing();
    }
    raise_bad_value(at, item);
    return NULL;
}

static inline native_t typed_new(const struct place *at, const struct shmkv_item *item)
{
    switch (item->type) {
    case SHMKV_TEXT:
        return text_new_from(at, item);
    case SHMKV_JSON:
        return json_new(at, item);
    case SHMKV_INT64:
    case SHMKV_FLOAT64:
    case SHMKV_BOOLEAN:
    case SHMKV_NULL:
        return scalar_new(at, item);
    case SHMKV_CODED:
        return decoded(at->codec, item);
    default:
        return bytes_new(item->data, item->len);
    }
}
/* Bytes, which go wrong nowhere, need no place made for them. */
#define value_new(at, item) \
    ((item)->type == SHMKV_BYTES ? bytes_new((item)->data, (item)->len) : typed_new((at), (item)))
#define value_reply(at, item) value_new((at), (item))
%}

%typemap(in) value_t *ITEM (value_t value) {
    if (value_in(PLACE(arg1, arg2, arg3), $input, &value)) {
        value_drop(&value);
        SWIG_fail;
    }
    $1 = &value;
}
%typemap(freearg) value_t *ITEM "if ($1) value_drop($1);"

%typemap(in) PyObject *FUNCTION "$1 = $input;"
int use_json(PyObject *FUNCTION, PyObject *FUNCTION);

#elif defined(SWIGRUBY)

%{
#include <ruby/encoding.h>

#define value_drop(value) RB_GC_GUARD((value)->made)

/* Before code runs that may change the String, here or in another thread. */
static void value_hold(value_t *value)
{
    if (!value->made || OBJ_FROZEN(value->made))
        return;
    value->made = rb_str_new_frozen(value->made);
    value->item.data = RSTRING_PTR(value->made);
}

static int is_refusal(VALUE error)
{
    return rb_obj_is_kind_of(error, rb_eTypeError) || rb_obj_is_kind_of(error, rb_eEncodingError)
        || rb_obj_is_kind_of(error, rb_const_get(mShmKV, rb_intern("BadValue")))
        || rb_obj_is_kind_of(error, rb_const_get(mShmKV, rb_intern("JSON_ERROR")));
}

/*
 * What a function of Ruby raises about a value, which says nothing of the place, is raised
 * again as one that does.
 */
static VALUE telling(const struct place *at, VALUE (*function)(VALUE), VALUE argument)
{
    int failed;
    VALUE result = rb_protect(function, argument, &failed), error, message;
    char text[LONGEST_TEXT];

    if (!failed)
        return result;
    error = rb_errinfo();
    if (!is_refusal(error))
        rb_jump_tag(failed);
    rb_set_errinfo(Qnil);
    message = rb_obj_as_string(error);
    tell(text, at, StringValueCStr(message));
    error = rb_funcall(error, rb_intern("exception"), 1, text_new(text));
    if (rb_ivar_defined(error, rb_intern("@detail")))
        rb_iv_set(error, "@detail", text_new(text));
    rb_exc_raise(error);
    return Qnil;
}

static VALUE make_utf8(VALUE string)
{
    return rb_str_encode(string, rb_enc_from_encoding(rb_utf8_encoding()), 0, Qnil);
}

static VALUE make_json(VALUE object)
{
    return rb_funcall(mShmKV, rb_intern("json_encode"), 1, object);
}

static int string_value(const struct place *at, value_t *value, VALUE string)
{
    int encoding = ENCODING_GET(string);

    value->made = string;
    if (encoding == rb_ascii8bit_encindex())
        return value_is(value, SHMKV_BYTES, RSTRING_PTR(string), (size_t)RSTRING_LEN(string));
    if (rb_enc_str_coderange(string) == ENC_CODERANGE_BROKEN)
        raise_error(refuse_at(at, SHMKV_EVALUE, "bad value: a String that is not valid %s; for bytes, use .b",
                              rb_enc_name(rb_enc_from_index(encoding))));
    if (encoding != rb_utf8_encindex() && encoding != rb_usascii_encindex())
        string = value->made = telling(at, make_utf8, string);
    return value_is(value, SHMKV_TEXT, RSTRING_PTR(string), (size_t)RSTRING_LEN(string));
}

static int integer_value(const struct place *at, value_t *value, VALUE object)
{
    int64_t integer;
    int sign = rb_integer_pack(object, &integer, 1, sizeof integer, 0,
                               INTEGER_PACK_NATIVE_BYTE_ORDER | INTEGER_PACK_2COMP);

    /* Two's complement that fills the word: the sign must still be there. */
    if (sign > 1 || sign < -1 || (sign > 0 && integer < 0) || (sign < 0 && integer >= 0))
        raise_error(refuse_integer(at));
    return value_is_integer(value, integer);
}

static int json_value(const struct place *at, value_t *value, VALUE object)
{
    string_value(at, value, telling(at, make_json, object));
    return value_is(value, SHMKV_JSON, value->item.data, value->item.len);
}

static int other_value(const struct place *at, value_t *value, VALUE object)
{
    VALUE string = rb_check_string_type(object);

    if (NIL_P(string))
        raise_type_error(at, "a value must be a String, Symbol, Integer, Float, true, false, nil, Array or Hash, not %s",
                         rb_obj_classname(object));
    return string_value(at, value, string);
}

#define codec_drop(codec) ((void)(codec))

static void codec_set(struct codec *codec, VALUE encode, VALUE decode)
{
    codec->encode = encode;
    codec->decode = decode;
}

static inline int typed_value(const struct place *at, VALUE object, value_t *value)
{
    memset(&value->item, 0, sizeof value->item);
    value->made = 0;
    switch (rb_type(object)) {
    case T_STRING:
        return string_value(at, value, object);
    case T_SYMBOL:
        return string_value(at, value, rb_sym2str(object));
    case T_FIXNUM:
        return value_is_integer(value, FIX2LONG(object));
    case T_BIGNUM:
        return integer_value(at, value, object);
    case T_FLOAT:
        return value_is_number(value, RFLOAT_VALUE(object));
    case T_TRUE:
    case T_FALSE:
        return value_is_truth(value, RTEST(object));
    case T_NIL:
        return value_is(value, SHMKV_NULL, NULL, 0);
    case T_ARRAY:
    case T_HASH:
        return json_value(at, value, object);
    default:
        return other_value(at, value, object);
    }
}

struct typing {
    const struct place *at;
    VALUE object;
    value_t *value;
};

static VALUE try_types(VALUE argument)
{
    const struct typing *job = (const struct typing *)argument;

    typed_value(job->at, job->object, job->value);
    return Qnil;
}

static void try_codec(const struct place *at, VALUE object, value_t *value)
{
    struct typing job = {at, object, value};
    int failed;

    rb_protect(try_types, (VALUE)&job, &failed);
    if (!failed)
        return;
    if (!is_refusal(rb_errinfo()))
        rb_jump_tag(failed);
    rb_set_errinfo(Qnil);
    value->made = rb_funcall(at->codec->encode, rb_intern("dump"), 1, object);
    if (!RB_TYPE_P(value->made, T_STRING))
        raise_type_error(at, "dump of the codec must return a String, not %s", rb_obj_classname(value->made));
    value_is(value, SHMKV_CODED, RSTRING_PTR(value->made), (size_t)RSTRING_LEN(value->made));
}

static void any_value(const struct place *at, VALUE object, value_t *value)
{
    if (at->codec && at->codec->encode)
        try_codec(at, object, value);
    else
        typed_value(at, object, value);
}

/* Strings that are bytes or text, which are most, need no place made for them. */
static inline int plain_string(VALUE object, value_t *value)
{
    int encoding;

    if (!RB_TYPE_P(object, T_STRING))
        return 0;
    encoding = ENCODING_GET(object);
    if (encoding != rb_ascii8bit_encindex()
        && (encoding != rb_utf8_encindex() || rb_enc_str_coderange(object) == ENC_CODERANGE_BROKEN))
        return 0;
    memset(&value->item, 0, sizeof value->item);
    value->made = object;
    value_is(value, encoding == rb_ascii8bit_encindex() ? SHMKV_BYTES : SHMKV_TEXT, RSTRING_PTR(object),
             (size_t)RSTRING_LEN(object));
    return 1;
}
#define value_in(at, object, value) (plain_string((object), (value)) ? (void)0 : any_value((at), (object), (value)))

static int is_ascii(const char *data, size_t len)
{
    uint64_t words = 0, word;
    unsigned char rest = 0;

    for (; len >= sizeof word; data += sizeof word, len -= sizeof word) {
        memcpy(&word, data, sizeof word);
        words |= word;
    }
    while (len)
        rest |= (unsigned char)data[--len];
    return !(words & 0x8080808080808080u) && !(rest & 0x80);
}

/*
 * What rb_utf8_str_new() and rb_enc_str_coderange() make, in a third of the time: the
 * one looks up encodings that are known here, the other looks at one byte after the other.
 */
static VALUE text_new_from(const struct place *at, const struct shmkv_item *item)
{
    VALUE text = rb_str_new(item->data, (long)item->len);

    ENCODING_SET_INLINED(text, rb_utf8_encindex());
    if (is_ascii(item->data, item->len))
        ENC_CODERANGE_SET(text, ENC_CODERANGE_7BIT);
    else if (rb_enc_str_coderange(text) == ENC_CODERANGE_BROKEN)
        raise_bad_value(at, item);
    return text;
}

static VALUE decode_json(VALUE text)
{
    return rb_funcall(mShmKV, rb_intern("json_decode"), 1, text);
}

static VALUE json_new(const struct place *at, const struct shmkv_item *item)
{
    VALUE text = text_new_from(at, item), value;
    struct kept_place kept;
    int failed;

    at = keep_place(&kept, at);
    value = rb_protect(decode_json, text, &failed);
    if (failed) {
        VALUE error = rb_errinfo();

        if (!rb_obj_is_kind_of(error, rb_const_get(mShmKV, rb_intern("JSON_ERROR"))))
            rb_jump_tag(failed);
        rb_set_errinfo(Qnil);
        raise_bad_value(at, item);
    }
    return value;
}

static inline native_t typed_new(const struct place *at, const struct shmkv_item *item)
{
    int64_t integer;
    double number;
    uint8_t truth;

    switch (item->type) {
    case SHMKV_TEXT:
        return text_new_from(at, item);
    case SHMKV_JSON:
        return json_new(at, item);
    case SHMKV_INT64:
        if (!scalar_of(item, &integer, sizeof integer))
            return LL2NUM(integer);
        break;
    case SHMKV_FLOAT64:
        if (!scalar_of(item, &number, sizeof number))
            return DBL2NUM(number);
        break;
    case SHMKV_BOOLEAN:
        if (!scalar_of(item, &truth, sizeof truth) && truth <= 1)
            return truth ? Qtrue : Qfalse;
        break;
    case SHMKV_NULL:
        if (!item->len)
            return Qnil;
        break;
    case SHMKV_CODED:
        if (at->codec->decode)
            return rb_funcall(at->codec->decode, rb_intern("load"), 1, bytes_new(item->data, item->len));
        return bytes_new(item->data, item->len);
    default:
        return bytes_new(item->data, item->len);
    }
    raise_bad_value(at, item);
    return Qnil;
}
/* Bytes, which go wrong nowhere, need no place made for them. */
#define value_new(at, item) \
    ((item)->type == SHMKV_BYTES ? bytes_new((item)->data, (item)->len) : typed_new((at), (item)))
#define value_reply(at, item) value_new((at), (item))
%}

%typemap(in) value_t *ITEM (value_t value) {
    value_in(PLACE(arg1, arg2, arg3), $input, &value);
    if (may_run_code(&$input + 1, argv + argc))
        value_hold(&value);
    $1 = &value;
}
%typemap(freearg) value_t *ITEM "value_drop($1);"

#elif defined(SWIGPERL)

%{
/* What was made is mortal: reading the next argument may die, and leave by a long jump. */
#define value_drop(value) ((void)(value))

/* Before code runs that may change the scalar. */
static void value_hold(value_t *value)
{
    if (value->item.data && value->item.data != &value->scalar)
        value->item.data = mortal_copy(value->item.data, value->item.len);
}

static void codec_drop(struct codec *codec)
{
    SvREFCNT_dec(codec->encode);
    SvREFCNT_dec(codec->decode);
    codec->encode = codec->decode = NULL;
}

static void codec_set(struct codec *codec, SV *encode, SV *decode)
{
    codec_drop(codec);
    codec->encode = newSVsv(encode);
    codec->decode = newSVsv(decode);
}

/*
 * What the Perl sub gives for one argument; NULL if it died, with $@ set. Otherwise $@ stays as it
 * was: who stores an error while he handles it still has it. On a stack of
 * its own, like the sub of a sort: else `last` could leave it for a loop around us.
 */
static SV *call_sub(SV *sub, SV *argument)
{
    dSP;
    int empty = !SvOK(ERRSV) || (SvPOK(ERRSV) && !SvCUR(ERRSV));
    SV *result, *before = empty ? NULL : sv_mortalcopy(ERRSV);

    ENTER;
    SAVETMPS;
    PUSHSTACKi(PERLSI_UNKNOWN);
    PUSHMARK(SP);
    XPUSHs(argument);
    PUTBACK;
    call_sv(sub, G_SCALAR | G_EVAL);
    SPAGAIN;
    result = SvREFCNT_inc(POPs);
    PUTBACK;
    POPSTACK;
    FREETMPS;
    LEAVE;
    /* An object may call itself false, or die when it is asked. */
    if (SvROK(ERRSV) || SvTRUE_nomg(ERRSV)) {
        SvREFCNT_dec(result);
        return NULL;
    }
    if (before)
        sv_setsv(ERRSV, before);
    return result;
}

/* Of ours, whose errors are not yet those of the user: $SIG{__DIE__} hears of what becomes of them. */
static SV *call_in_perl(const char *name, SV *argument)
{
    SV *result;

    ENTER;
    SAVEGENERICSV(PL_diehook);
    PL_diehook = NULL;
    result = call_sub((SV *)get_cv(name, 0), argument);
    LEAVE;
    return result;
}

static int string_value(value_t *value, SV *sv)
{
    STRLEN length;
    const char *text = SvPV_nomg_const(sv, length);

    return value_is(value, SvUTF8(sv) ? SHMKV_TEXT : SHMKV_BYTES, text, length);
}

static int json_value(const struct place *at, value_t *value, SV *reference)
{
    STRLEN length;
    const char *text;

    value->made = call_in_perl("ShmKV::Value::json_encode", reference);
    if (!value->made) {
        add_place(at);
        return -1;
    }
    sv_2mortal(value->made);
    text = SvPV_const(value->made, length);
    return value_is(value, SHMKV_JSON, text, length);
}

static int refuse_perl_value(const struct place *at, const char *why)
{
    raise_error(refuse_at(at, SHMKV_EVALUE, "bad value: %s", why));
    return -1;
}

static int reference_value(const struct place *at, value_t *value, SV *sv)
{
    SV *target = SvRV(sv);

    if (sv_isobject(sv) && sv_derived_from(sv, "JSON::PP::Boolean"))
        return value_is_truth(value, SvTRUE_nomg(sv));
    if (is_overloaded(sv)) {
        value->made = sv_newmortal();
        sv_setpvf(value->made, "%" SVf, SVfARG(sv));
        return string_value(value, value->made);
    }
    if (SvOBJECT(target) || (SvTYPE(target) != SVt_PVAV && SvTYPE(target) != SVt_PVHV))
        return refuse_perl_value(at, "a reference to something that is no plain array or hash");
    return json_value(at, value, sv);
}

/* All but strings. */
static int unusual_value(const struct place *at, value_t *value, SV *sv)
{
    if (SvROK(sv))
        return reference_value(at, value, sv);
    if (SvIOK(sv)) {
        if (SvIsUV(sv) && SvUVX(sv) > (UV)IV_MAX) {
            raise_error(refuse_integer(at));
            return -1;
        }
        return value_is_integer(value, SvIVX(sv));
    }
    if (SvNOK(sv))
        return value_is_number(value, SvNVX(sv));
    if (!SvOK(sv))
        return value_is(value, SHMKV_NULL, NULL, 0);
    if (isGV_with_GP(sv))
        return refuse_perl_value(at, "a glob");
    return string_value(value, sv);
}

/* After a refusal, in place of which $@ is what it was before. */
static int coded_value(const struct place *at, SV *sv, value_t *value, SV *before)
{
    const void *data;
    size_t size;
    int refused;

    if (!sv_isobject(ERRSV) || !sv_derived_from(ERRSV, "ShmKV::Error::BadValue"))
        return -1;
    sv_setsv(ERRSV, before);
    value->made = call_sub(at->codec->encode, sv);
    if (!value->made)
        return -1;
    sv_2mortal(value->made);
    refused = bytes_of(at, value->made, SHMKV_EVALUE, "value of the codec", &data, &size);
    if (refused) {
        raise_error(refused);
        return -1;
    }
    return value_is(value, SHMKV_CODED, data, size);
}

static inline int typed_value(const struct place *at, SV *sv, value_t *value)
{
    Zero(value, 1, value_t);
    SvGETMAGIC(sv);
#ifdef SvIsBOOL
    if (SvIsBOOL(sv))
        return value_is_truth(value, SvTRUE_nomg(sv));
#endif
    if (SvPOK(sv))
        return value_is(value, SvUTF8(sv) ? SHMKV_TEXT : SHMKV_BYTES, SvPVX_const(sv), SvCUR(sv));
    return unusual_value(at, value, sv);
}

/* Not 0: raised. */
static int any_value(const struct place *at, SV *sv, value_t *value)
{
    int coded = at->codec && at->codec->encode;
    SV *before = coded ? sv_mortalcopy(ERRSV) : NULL;
    int refused;

    if (coded)
        sv_2mortal(SvREFCNT_inc_simple_NN(sv)); /* typed_value() may run code */
    refused = typed_value(at, sv, value);

    return refused && coded ? coded_value(at, sv, value, before) : refused;
}

/* Strings, which are most, need no place made for them. */
static inline int plain_value(SV *sv, value_t *value)
{
    if (SvGMAGICAL(sv) || !SvPOK(sv))
        return 0;
#ifdef SvIsBOOL
    if (SvIsBOOL(sv))
        return 0;
#endif
    Zero(value, 1, value_t);
    value_is(value, SvUTF8(sv) ? SHMKV_TEXT : SHMKV_BYTES, SvPVX_const(sv), SvCUR(sv));
    return 1;
}
#define value_in(at, sv, value) (plain_value((sv), (value)) ? 0 : any_value((at), (sv), (value)))

static SV *text_new_from(const struct place *at, const struct shmkv_item *item)
{
    /* Which takes a length of 0 for "up to the NUL". Noncharacters (U+FFFF) are text, as in the core. */
    if (item->len && !is_c9strict_utf8_string(item->data, item->len)) {
        raise_bad_value(at, item);
        return NULL;
    }
    return newSVpvn_flags(item->data, item->len, SVf_UTF8);
}

static SV *json_new(const struct place *at, const struct shmkv_item *item)
{
    SV *text = text_new_from(at, item), *value;
    struct kept_place kept;

    if (!text)
        return NULL;
    at = keep_place(&kept, at);
    value = call_in_perl("ShmKV::Value::json_decode", sv_2mortal(text));
    if (!value)
        raise_bad_value(at, item);
    return value;
}

/* Owned by the caller. */
static inline native_t typed_new(const struct place *at, const struct shmkv_item *item)
{
    int64_t integer;
    double number;
    uint8_t truth;

    switch (item->type) {
    case SHMKV_TEXT:
        return text_new_from(at, item);
    case SHMKV_JSON:
        return json_new(at, item);
    case SHMKV_INT64:
        if (!scalar_of(item, &integer, sizeof integer))
            return newSViv(integer);
        break;
    case SHMKV_FLOAT64:
        if (!scalar_of(item, &number, sizeof number))
            return newSVnv(number);
        break;
    case SHMKV_BOOLEAN:
        if (!scalar_of(item, &truth, sizeof truth) && truth <= 1)
            return newSVsv(truth ? &PL_sv_yes : &PL_sv_no);
        break;
    case SHMKV_NULL:
        if (!item->len)
            return newSV(0);
        break;
    case SHMKV_CODED:
        if (at->codec->decode)
            return call_sub(at->codec->decode, sv_2mortal(bytes_new(item->data, item->len)));
        return bytes_new(item->data, item->len);
    default:
        return bytes_new(item->data, item->len);
    }
    raise_bad_value(at, item);
    return NULL;
}

static reply_t typed_reply(const struct place *at, const struct shmkv_item *item)
{
    native_t value = from_outside(typed_new(at, item));

    return value ? reply_of(value) : NO_OBJECT;
}

/* Bytes, which go wrong nowhere, need no place made for them. */
#define value_new(at, item) from_outside(typed_new((at), (item)))
#define value_reply(at, item) \
    ((item)->type == SHMKV_BYTES ? reply_new((item)->data, (item)->len) : typed_reply((at), (item)))
%}

%typemap(in) value_t *ITEM (value_t value) {
    if (value_in(PLACE(arg1, arg2, arg3), $input, &value))
        SWIG_fail;
    if (may_run_code(&$input + 1, &ST(0) + items))
        value_hold(&value);
    $1 = &value;
}

#endif

%apply value_t *ITEM { value_t *EXPECTED, value_t *AMOUNT, value_t *INITIAL };
