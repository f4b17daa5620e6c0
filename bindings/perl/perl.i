/*
 * The Perl root. Every function lands in package ShmKV as an XS sub taking the
 * object first; lib/ShmKV.pm gives them their method names. No proxies.
 */
%module ShmKV

/* For ShmKV.pm only. */
%rename(_unlink_segment) unlink_segment;
%rename(_library_version) library_version;
%rename(_refuse_argument) refuse_argument;
%rename(_put_short) put_short;
%rename(_refuse_value) refuse_value;
%rename(_end_walk) end_walk;
%rename(_walk_step) walk_step;

%include "../swig/shmkv.i"

/*
 * each(), on the store's own cursor, which ends with the walk. Keys only for
 * keys() and tied hashes.
 */
%{
static void end_walk(Store *self)
{
    if (self && self->walk)
        delete_Cursor(self->walk);
    if (self)
        self->walk = NULL;
}

static step_t walk_step(Store *self, int yield)
{
    step_t step = {.state = -1};

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return step;
    }
    if (!self->walk)
        self->walk = Store_cursor(self, YIELD_ITEMS, NULL, 0, NULL, 0);
    if (!self->walk)
        return step;
    step = Cursor_step(self->walk);
    step.yield = (enum yield)yield;
    if (step.state != 1)
        end_walk(self);
    return step;
}

/* Of Shared::Simple, whose values are bytes whatever Perl thinks they are. */
static done_t put_short(Store *self, const void *key, size_t key_len, const void *val, size_t val_len)
{
    int err;

    if (!IS_OPEN(self))
        return raise_closed(self);
    err = shmkv_put(self->kv, key, key_len, val, val_len);
    if (err)
        raise_error(err);
    return err;
}

/*
 * SWIG's check of the number of arguments, which would show C: "Usage: Store_put(self,KEY,KEY_LEN,ITEM);"
 * becomes put(key, item). "Store_" and the like, the object and lengths of strings are left out, and methods
 * have the names that ShmKV.pm gives them.
 */
static void raise_usage(const char *usage)
{
    static const char *const renamed[][2] = {{"step(", "next"}, {"position_get(", "position"}};
    char shown[128];
    const char *given = NULL;
    const char *method = strchr(usage, '_'), *open = strchr(usage, '('), *word = strchr(usage, ',');
    size_t n = 0, i;

    method = method && method < open ? method + 1 : usage + strlen("Usage: ");
    for (i = 0; i < sizeof renamed / sizeof *renamed && !given; i++)
        if (!strncmp(method, renamed[i][0], strlen(renamed[i][0])))
            given = renamed[i][1];
    if (given)
        n = (size_t)snprintf(shown, sizeof shown, "%s(", given);
    else
        n = (size_t)snprintf(shown, sizeof shown, "%.*s(", (int)(open - method), method);
    for (; word && n < sizeof shown; word = strchr(word + 1, ',')) {
        size_t len = strcspn(word + 1, ",)");

        if (len > 4 && !strncmp(word + 1 + len - 4, "_LEN", 4))
            continue;
        n += (size_t)snprintf(shown + n, sizeof shown - n, "%s%.*s", shown[n - 1] == '(' ? "" : ", ", (int)len, word + 1);
        for (i = n - len; i < n && i < sizeof shown; i++)
            shown[i] = (char)toLOWER(shown[i]);
    }
    raise_error(refuse(SHMKV_EARGUMENT, "bad argument: wrong number of arguments; usage: %s)", shown));
}
#undef SWIG_croak
#define SWIG_croak(text)   \
    do {                   \
        raise_usage(text); \
        SWIG_fail;         \
    } while (0)

/* What code of the user died with comes out as it was; SWIG makes a string of a plain reference. */
#define SWIG_croak_null() croak_sv(ERRSV)

/*
 * Each mention of the interpreter up to here looks it up, which is what SWIG's
 * own code needs. In the wrappers, which come next, it is a parameter.
 */
#ifdef MULTIPLICITY
#undef aTHX
#define aTHX my_perl
#endif
%}

/* A value as Shared::Simple wants it. */
%typemap(in) (const void *SHORT_VALUE, size_t SHORT_VALUE_LEN) (int refused) {
    refused = bytes_of(PLACE(arg1, NULL, 0), $input, SHMKV_EVALUE, "value", (const void **)&$1, &$2);
    if (!refused && $2 == 0)
        refused = refuse(SHMKV_EVALUE, "bad value: it is empty");
    if (!refused && $2 > 32)
        refused = refuse(SHMKV_EVALUE, "bad value: it is longer than 32 bytes");
    if (refused) {
        raise_error(refused);
        SWIG_fail;
    }
}

done_t put_short(Store *self, const void *KEY, size_t KEY_LEN, const void *SHORT_VALUE,
                 size_t SHORT_VALUE_LEN);
void end_walk(Store *self);
step_t walk_step(Store *self, int yield);
