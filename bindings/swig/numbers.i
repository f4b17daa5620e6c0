/*
 * Numbers as arguments, with an error that says which one, of which key and segment.
 *
 *   double TTL, TIMEOUT, PERIOD   seconds, or the language's nothing, which is a negative
 *                                 number; PERIOD belongs to no key
 *   uint64_t VERSION              of a key's value
 *   uint64_t FROM, MAX_STEPS      belong to no key
 *
 * SWIG's own conversions would take a negative number for a huge one in Ruby, name the argument by
 * its place in C, and be reported from our line in Perl.
 */
%{
/* Not 0: raised. */
static int number_refused(const struct place *at, const char *what, uint64_t most, const char *given)
{
    raise_error(refuse_at(at, SHMKV_EARGUMENT, "bad argument: %s is an integer from 0 to %llu, not %.80s", what,
                          (unsigned long long)most, given));
    return -1;
}

static int seconds_refused(const struct place *at, const char *what, uint64_t most, const char *given)
{
    (void)most;
    raise_error(refuse_at(at, SHMKV_EARGUMENT, "bad argument: %s is a number of seconds from 0 on, not %.80s", what, given));
    return -1;
}
%}

#if defined(SWIGPYTHON)

%{
static int say_what_was_given(int refused(const struct place *, const char *, uint64_t, const char *), const struct place *at,
                              const char *what, uint64_t most, PyObject *object)
{
    PyObject *shown = PyObject_Repr(object);
    const char *given = shown ? PyUnicode_AsUTF8(shown) : NULL;

    PyErr_Clear();
    refused(at, what, most, given ? given : "that");
    Py_XDECREF(shown);
    return -1;
}

/* Not 0: raised. */
static int number_in_range(const struct place *at, const char *what, uint64_t most, PyObject *object, uint64_t *number)
{
    PyObject *whole = PyIndex_Check(object) ? PyNumber_Index(object) : NULL;
    char said[128];

    if (!whole) {
        if (PyErr_Occurred())
            return -1;
        snprintf(said, sizeof said, "%s must be an int, not %.80s", what, Py_TYPE(object)->tp_name);
        raise_wrong_type(at, said);
        return -1;
    }
    *number = PyLong_AsUnsignedLongLong(whole);
    Py_DECREF(whole);
    if (!PyErr_Occurred() && *number <= most)
        return 0;
    PyErr_Clear();
    return say_what_was_given(number_refused, at, what, most, object);
}

static int seconds_in(const struct place *at, const char *what, PyObject *object, double *seconds)
{
    char said[128];

    if (object == Py_None) {
        *seconds = -1;
        return 0;
    }
    *seconds = PyFloat_AsDouble(object);
    if (!PyErr_Occurred() && *seconds >= 0)
        return 0;
    if (PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        snprintf(said, sizeof said, "%s must be a number of seconds, not %.80s", what, Py_TYPE(object)->tp_name);
        raise_wrong_type(at, said);
        return -1;
    }
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
        return -1;
    PyErr_Clear();
    return say_what_was_given(seconds_refused, at, what, 0, object);
}
%}

%typemap(in) int BOUND {
    $1 = PyObject_IsTrue($input);
    if ($1 < 0) SWIG_fail;
}

#elif defined(SWIGRUBY)

%{
static const char *shown(VALUE object, VALUE *holder)
{
    *holder = rb_inspect(object);
    return StringValueCStr(*holder);
}

static int number_in_range(const struct place *at, const char *what, uint64_t most, VALUE object, uint64_t *number)
{
    VALUE holder;
    int sign;

    if (!RB_INTEGER_TYPE_P(object))
        raise_type_error(at, "%s must be an Integer, not %s", what, rb_obj_classname(object));
    sign = rb_integer_pack(object, number, 1, sizeof *number, 0, INTEGER_PACK_NATIVE_BYTE_ORDER);
    if (sign < 0 || sign > 1 || *number > most)
        number_refused(at, what, most, shown(object, &holder));
    return 0;
}

static int seconds_in(const struct place *at, const char *what, VALUE object, double *seconds)
{
    VALUE holder;

    *seconds = -1;
    if (NIL_P(object))
        return 0;
    if (!rb_obj_is_kind_of(object, rb_cNumeric) || !RTEST(rb_funcall(object, rb_intern("real?"), 0)))
        raise_type_error(at, "%s must be a number of seconds, not %s", what, rb_obj_classname(object));
    *seconds = NUM2DBL(object);
    if (!(*seconds >= 0))
        seconds_refused(at, what, 0, shown(object, &holder));
    return 0;
}
%}

#elif defined(SWIGPERL)

%{
static const char *shown(SV *sv)
{
    return SvOK(sv) ? SvPV_nolen(sv_2mortal(newSVpvf("'%" SVf "'", SVfARG(sv)))) : "undef";
}

static int number_in_range(const struct place *at, const char *what, uint64_t most, SV *sv, uint64_t *number)
{
    UV given;

    SvGETMAGIC(sv);
    if (SvIOK(sv) && (SvIsUV(sv) || SvIVX(sv) >= 0) && SvUVX(sv) <= most) {
        *number = SvUVX(sv);
        return 0;
    }
    if (SvOK(sv) && !SvROK(sv)) {
        STRLEN length;
        const char *text = SvPV_nomg(sv, length);

        if (grok_number(text, length, &given) == IS_NUMBER_IN_UV && given <= most) {
            *number = given;
            return 0;
        }
    }
    return number_refused(at, what, most, shown(sv));
}

static int seconds_in(const struct place *at, const char *what, SV *sv, double *seconds)
{
    *seconds = -1;
    SvGETMAGIC(sv);
    if (!SvOK(sv))
        return 0;
    if ((!SvROK(sv) || is_overloaded(sv)) && (SvROK(sv) || looks_like_number(sv)))
        *seconds = SvNV_nomg(sv);
    return *seconds >= 0 ? 0 : seconds_refused(at, what, 0, shown(sv));
}
%}

#endif

%{
#define number_in(at, what, object, number) number_in_range((at), (what), UINT64_MAX, (object), (number))
%}

%define NUMBER_TYPEMAP(TYPE, ARGUMENT, KIND, WHAT, KEY, KEY_LEN)
%typemap(in) TYPE ARGUMENT {
    if (KIND##_in(PLACE(arg1, KEY, KEY_LEN), WHAT, $input, &$1))
        SWIG_fail;
}
%enddef

NUMBER_TYPEMAP(double, TTL, seconds, "ttl", arg2, arg3)
NUMBER_TYPEMAP(double, TIMEOUT, seconds, "timeout", arg2, arg3)
NUMBER_TYPEMAP(double, PERIOD, seconds, "ttl or timeout", NULL, 0)
NUMBER_TYPEMAP(uint64_t, VERSION, number, "version", arg2, arg3)
NUMBER_TYPEMAP(uint64_t, EXPIRES_NS, number, "expires_ns", arg2, arg3)
NUMBER_TYPEMAP(uint64_t, FROM, number, "position", NULL, 0)
NUMBER_TYPEMAP(uint64_t, MAX_STEPS, number, "max_steps", NULL, 0)
