/*
 * One exception class per row of SHMKV_ERROR_MAP, by the map's class column:
 *
 *            base             per code                errno
 *   Perl     ShmKV::Error     ShmKV::Error::BadKey    ShmKV::Error::SystemFailure
 *   Python   shmkv.Error      shmkv.BadKey            shmkv.SystemFailure (an OSError)
 *   Ruby     ShmKV::Error     ShmKV::BadKey           ShmKV::SystemFailure
 *
 * Each error carries `code` (the number), `name` ("SHMKV_EKEY"; nothing for an
 * errno), `detail` (what the core said about this very failure: the segment,
 * and the process to blame) and `done`: of a call for many keys, how many were changed
 * before; otherwise nothing. raise_error_after() is raise_error() with that.
 */
%{
struct error_class {
    int code;
    const char *name;   /* of the class, without its namespace */
    const char *text;
    native_t object;    /* the class, where the language has classes as objects */
};

#define ERROR_ROW(name, number, class_, text) {number, #class_, text, 0},
static struct error_class error_classes[] = {
    SHMKV_ERROR_MAP(ERROR_ROW)
    {0, NULL, NULL, 0}, /* errno; set up apart */
};
#undef ERROR_ROW

enum { ERROR_COUNT = sizeof error_classes / sizeof *error_classes - 1 };
#define SYSTEM_FAILURE (&error_classes[ERROR_COUNT])

static struct error_class *error_class_of(int err)
{
    int i;

    for (i = 0; i < ERROR_COUNT; i++)
        if (error_classes[i].code == err)
            return &error_classes[i];
    return SYSTEM_FAILURE;
}

/*
 * What to say about err: our own refusal, or the core's story, or the general
 * text. The core tells no story of an answer, and leaves the last one as it was.
 */
static const char *error_detail(int err)
{
    const char *detail = shmkv_error_detail();
    int answer = err == SHMKV_ENOTFOUND || err == SHMKV_EEXISTS || err == SHMKV_ECHANGED;

    if (refusal)
        return refusal;
    return answer || !detail[0] ? shmkv_strerror(err) : detail;
}
%}

#if defined(SWIGPYTHON)

%{
static PyObject *base_error_class;

/* An attribute, which is taken over. */
static int set_attribute(PyObject *object, const char *name, PyObject *value)
{
    int failed = !value || PyObject_SetAttrString(object, name, value);

    Py_XDECREF(value);
    return failed;
}

static void raise_error(int err)
{
    struct error_class *which = error_class_of(err);
    const char *text = error_detail(err);
    PyObject *detail = text_new(text);
    PyObject *error = NULL;

    forget_refusal();
    if (!detail)
        return;
    if (err > 0)
        error = PyObject_CallFunction(which->object, "iO", err, detail);
    else
        error = PyObject_CallFunctionObjArgs(which->object, detail, NULL);
    if (error && !PyObject_SetAttrString(error, "detail", detail)) {
        PyObject *code = err > 0 ? PyLong_FromLong(err) : NULL;

        if (err <= 0 || (code && !PyObject_SetAttrString(error, "code", code)))
            PyErr_SetObject(which->object, error);
        Py_XDECREF(code);
    }
    Py_XDECREF(error);
    Py_DECREF(detail);
}

/*
 * A missing key: as with a dict, the key as it was given is what the exception holds. What it says, which names the
 * segment, too, is beside it.
 */
static void raise_not_found(const struct place *at, PyObject *key)
{
    PyObject *class = error_class_of(SHMKV_ENOTFOUND)->object;
    PyObject *error = PyObject_CallFunctionObjArgs(class, key, NULL);
    char text[LONGEST_TEXT];

    tell(text, at, shmkv_strerror(SHMKV_ENOTFOUND));
    if (error && !set_attribute(error, "detail", text_new(text)) && !set_attribute(error, "segment", text_new(at->segment ? at->segment : "")))
        PyErr_SetObject(class, error);
    Py_XDECREF(error);
}

/* For an argument of the wrong type. */
static void raise_wrong_type(const struct place *at, const char *what)
{
    char text[LONGEST_TEXT];

    tell(text, at, what);
    PyErr_SetString(PyExc_TypeError, text);
}

static void raise_error_after(int err, size_t done)
{
    PyObject *type, *error, *trace, *number = PyLong_FromSize_t(done);

    raise_error(err);
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (!number || !error || PyObject_SetAttrString(error, "done", number))
        PyErr_Clear();
    Py_XDECREF(number);
    PyErr_Restore(type, error, trace);
}

/*
 * Python's own exception that says what is wrong with a key or a value is told where, too. What
 * is ours says so already.
 */
static void add_place(const struct place *at)
{
    PyObject *type, *error, *trace, *what, *said = NULL, *args = NULL;
    char text[LONGEST_TEXT];
    const char *plain = NULL;
    int unicode;

    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    unicode = PyErr_GivenExceptionMatches(type, PyExc_UnicodeError);
    if (!PyErr_GivenExceptionMatches(type, base_error_class)
        && (unicode || PyErr_GivenExceptionMatches(type, PyExc_TypeError) || PyErr_GivenExceptionMatches(type, PyExc_ValueError)
            || PyErr_GivenExceptionMatches(type, PyExc_BufferError) || PyErr_GivenExceptionMatches(type, PyExc_RecursionError))) {
        what = unicode ? PyObject_GetAttrString(error, "reason") : PyObject_Str(error);
        if (what && PyUnicode_Check(what))
            plain = PyUnicode_AsUTF8(what);
        if (plain) {
            tell(text, at, plain);
            said = text_new(text);
            args = said && !unicode ? PyTuple_Pack(1, said) : said;
            if (args)
                (void)PyObject_SetAttrString(error, unicode ? "reason" : "args", args);
        }
        if (args != said)
            Py_XDECREF(args);
        Py_XDECREF(said);
        Py_XDECREF(what);
        PyErr_Clear(); /* of this attempt */
    }
    PyErr_Restore(type, error, trace);
}

static PyObject *new_error_class(const char *name, const char *text, PyObject *base,
                                 PyObject *also, int code)
{
    char full[64];
    const char *constant = code ? shmkv_error_name(code) : NULL;
    PyObject *bases = also ? PyTuple_Pack(2, base, also) : PyTuple_Pack(1, base);
    PyObject *members = Py_BuildValue("{s:i,s:z,s:s,s:O}", "code", code, "name", constant, "detail", "", "done", Py_None);
    PyObject *made = NULL;

    snprintf(full, sizeof full, "shmkv.%s", name);
    if (bases && members)
        made = PyErr_NewExceptionWithDoc(full, text, bases, members);
    Py_XDECREF(bases);
    Py_XDECREF(members);
    return made;
}

/* The built-in exception that a caller would expect as well. */
static PyObject *error_kin(int code)
{
    switch (code) {
    case SHMKV_ENOTFOUND:
        return PyExc_KeyError;
    case SHMKV_ENAME:
    case SHMKV_EKEY:
    case SHMKV_EVALUE:
    case SHMKV_EARGUMENT:
        return PyExc_ValueError;
    default:
        return NULL;
    }
}

/* Makes the classes; the module gets them as the tuple `error_classes`, base first. */
static int make_error_classes(PyObject *module_dict)
{
    PyObject *all = PyTuple_New(ERROR_COUNT + 2);
    PyObject *base = new_error_class("Error", "What shmkv raises. `code`, `name`, `detail` and `done` tell more.",
                                     PyExc_Exception, NULL, 0);
    int i, failed;

    if (!all || !base)
        return -1;
    base_error_class = base;
    SYSTEM_FAILURE->name = "SystemFailure";
    SYSTEM_FAILURE->object = new_error_class(SYSTEM_FAILURE->name,
                                             "A system call failed; `errno` says why.",
                                             base, PyExc_OSError, 0);
    for (i = 0; i < ERROR_COUNT; i++) {
        struct error_class *row = &error_classes[i];
        row->object = new_error_class(row->name, row->text, base, error_kin(row->code), row->code);
    }
    PyTuple_SET_ITEM(all, 0, base);
    for (i = 0; i <= ERROR_COUNT; i++) {
        if (!error_classes[i].object)
            return -1;
        Py_INCREF(error_classes[i].object);
        PyTuple_SET_ITEM(all, i + 1, error_classes[i].object);
    }
    failed = PyDict_SetItemString(module_dict, "error_classes", all);
    Py_DECREF(all);
    return failed;
}
%}

%init %{
    if (make_error_classes(md))
        RETURN_FAILED_INIT;
%}

#elif defined(SWIGRUBY)

%{
static VALUE error_new(int err)
{
    struct error_class *which = error_class_of(err);
    const char *name = shmkv_error_name(err);
    VALUE detail = text_new(error_detail(err));
    VALUE error = rb_class_new_instance(1, &detail, which->object);

    forget_refusal();
    rb_iv_set(error, "@code", INT2NUM(err));
    rb_iv_set(error, "@name", name ? rb_utf8_str_new_cstr(name) : Qnil);
    rb_iv_set(error, "@detail", detail);
    return error;
}

static void raise_type_error(const struct place *at, const char *format, ...)
{
    char what[LONGEST_TEXT], text[LONGEST_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    tell(text, at, what);
    rb_raise(rb_eTypeError, "%s", text);
}

/* Raises; does not return. */
static void raise_error(int err)
{
    rb_exc_raise(error_new(err));
}

#define raise_wrong_type(at, what) raise_type_error((at), "%s", (what))

static void raise_error_after(int err, size_t done)
{
    VALUE error = error_new(err);

    rb_iv_set(error, "@done", SIZET2NUM(done));
    rb_exc_raise(error);
}

static void make_error_classes(VALUE module)
{
    VALUE base = rb_define_class_under(module, "Error", rb_eStandardError);
    int i;

    rb_define_attr(base, "code", 1, 0);
    rb_define_attr(base, "name", 1, 0);
    rb_define_attr(base, "detail", 1, 0);
    rb_define_attr(base, "done", 1, 0);
    SYSTEM_FAILURE->name = "SystemFailure";
    for (i = 0; i <= ERROR_COUNT; i++)
        error_classes[i].object = rb_define_class_under(module, error_classes[i].name, base);
    /* So that `rescue Errno::EACCES` sees it. */
    rb_define_alias(SYSTEM_FAILURE->object, "errno", "code");
}
%}

%init %{
    make_error_classes(mShmKV);
%}

#elif defined(SWIGPERL)

%{
/* Our own packages: errors are reported from the line that called into them. */
static int is_ours(const COP *cop)
{
    static const char *const ours[] = {"ShmKV", "ShmKV::Error", "ShmKV::Value", "ShmKV::Transaction", "Shared::Simple"};
    const char *package = CopSTASHPV(cop);
    size_t i;

    for (i = 0; package && i < sizeof ours / sizeof *ours; i++)
        if (!strcmp(package, ours[i]))
            return 1;
    return 0;
}

static const COP *calling_line(void)
{
    const COP *cop = PL_curcop;
    const PERL_CONTEXT *frame;
    I32 level = 0;

    while (is_ours(cop) && (frame = caller_cx(level++, NULL)))
        cop = frame->blk_oldcop;
    return cop;
}

/* Sets $@ to the error object; SWIG_fail then dies with it. */
static void raise_error(int err)
{
    struct error_class *which = error_class_of(err);
    const char *name = shmkv_error_name(err);
    const COP *cop = calling_line();
    SV *error = sv_2mortal(map_new());
    char class[64];

    map_put(error, "code", newSViv(err));
    map_put(error, "name", name ? newSVpv(name, 0) : newSV(0));
    map_put(error, "detail", newSVpv(error_detail(err), 0));
    map_put(error, "file", newSVpv(CopFILE(cop) ? CopFILE(cop) : "-", 0));
    map_put(error, "line", newSVuv(CopLINE(cop)));
    snprintf(class, sizeof class, "ShmKV::Error::%s", which->name);
    sv_bless(error, gv_stashpv(class, GV_ADD));
    forget_refusal();
    sv_setsv(ERRSV, error);
}

/* For an argument of the wrong type: in Perl, a value like any other that will not do. */
static void raise_wrong_type(const struct place *at, const char *what)
{
    raise_error(refuse_at(at, SHMKV_EVALUE, "bad value: %s", what));
}

/* The error of the code in Perl that looks into a value, which does not know the place. */
static void add_place(const struct place *at)
{
    SV **detail;
    char text[LONGEST_TEXT];

    if (!sv_isobject(ERRSV) || !sv_derived_from(ERRSV, "ShmKV::Error"))
        return;
    detail = hv_fetchs((HV *)SvRV(ERRSV), "detail", 0);
    if (!detail)
        return;
    tell(text, at, SvPV_nolen(*detail));
    sv_setpv(*detail, text);
}

static void raise_error_after(int err, size_t done)
{
    raise_error(err);
    map_put(ERRSV, "done", newSVuv(done));
}

static void make_error_classes(void)
{
    int i;

    SYSTEM_FAILURE->name = "SystemFailure";
    for (i = 0; i <= ERROR_COUNT; i++) {
        char isa[64];

        snprintf(isa, sizeof isa, "ShmKV::Error::%s::ISA", error_classes[i].name);
        av_push(get_av(isa, GV_ADD), newSVpvs("ShmKV::Error"));
    }
}
%}

%init %{
    make_error_classes();
%}

#endif
