/*
 * Transactions: a function of the language decides what becomes of several keys, and
 * all of it is stored or nothing.
 *
 * The core calls the function by way of run_function(), with no lock held, and its own
 * memory in frames below. Nothing may jump over these: what the function raises, dies
 * with, throws or breaks out of is caught in call_function(), aborts the
 * transaction, and goes on when the core has returned.
 *
 *   class Transaction   what the function is given. It names its keys by their bytes, as
 *                       everywhere; when the function has returned, it is of no use.
 */
%{
typedef struct Transaction {
    shmkv_txn_t *txn;    /* NULL: the function does not run */
    const keys_t *keys;  /* those declared */
    size_t last;         /* the one that was asked for last */
    struct codec codec;  /* of the Store, which outlives the function, */
    const char *name;    /* as does this */
} Transaction;

struct transacting {
    Store *store;
    Transaction *txn;
    native_t object; /* the same, for the function */
    native_t function, result;
    int jump;        /* in Ruby: how the function was left */
};

static void delete_Transaction(Transaction *self)
{
    free(self);
}
%}

#if defined(SWIGPYTHON)

%typemap(in) struct Transaction *self "$1 = (Transaction *)((SwigPyObject *)$input)->ptr;"

%{
static native_t transaction_object(Transaction *txn)
{
    return SWIG_InternalNewPointerObj(txn, SWIGTYPE_p_Transaction, SWIG_POINTER_OWN);
}

static int call_function(struct transacting *job)
{
    Py_CLEAR(job->result); /* of a call that came to nothing */
    job->result = PyObject_CallFunctionObjArgs(job->function, job->object, NULL);
    return job->result ? SHMKV_OK : RAISED;
}

#define go_on_raising(job) ((void)(job))
#define drop_object(job)   Py_DECREF((job)->object)
%}

#elif defined(SWIGRUBY)

%typemap(in) struct Transaction *self "$1 = (Transaction *)DATA_PTR($input);"

%{
static VALUE transaction_object(Transaction *txn)
{
    return SWIG_NewPointerObj(txn, SWIGTYPE_p_Transaction, SWIG_POINTER_OWN);
}

static VALUE call_block(VALUE argument)
{
    const struct transacting *job = (const struct transacting *)argument;

    return rb_funcall(job->function, rb_intern("call"), 1, job->object);
}

static int call_function(struct transacting *job)
{
    job->result = rb_protect(call_block, (VALUE)job, &job->jump);
    return job->jump ? RAISED : SHMKV_OK;
}

#define go_on_raising(job) rb_jump_tag((job)->jump)
#define drop_object(job)   RB_GC_GUARD((job)->object)
%}

#elif defined(SWIGPERL)

%{
CLASS_MAGIC(Transaction);

/* Mortal. */
static SV *transaction_object(Transaction *txn)
{
    return sv_2mortal(object_with(txn, &Transaction_magic, "ShmKV::Transaction"));
}

static int call_function(struct transacting *job)
{
    SvREFCNT_dec(job->result); /* of a call that came to nothing */
    job->result = call_sub(job->function, sv_mortalcopy(job->object)); /* the function may undef its own */
    return job->result ? SHMKV_OK : RAISED;
}

#define go_on_raising(job) ((void)(job))
#define drop_object(job)   ((void)(job))
%}

OBJECT_TYPEMAPS(Transaction, "ShmKV::Transaction")

#endif

%{
/* ------------------------------------------------------------------ the whole */

/* Called by the core, again if a key has changed meanwhile. */
static int run_function(void *argument, shmkv_txn_t *txn)
{
    struct transacting *job = argument;
    int err;

    job->txn->txn = txn;
    err = call_function(job);
    job->txn->txn = NULL;
    return !err && !IS_OPEN(job->store) ? SHMKV_ECLOSED : err; /* by the function itself */
}

/* The core's own errors. RAISED: the function's are on their way. */
static void raise_failed(struct transacting *job, int err)
{
    if (err == RAISED)
        go_on_raising(job);
    else if (!IS_OPEN(job->store))
        raise_closed(job->store);
    else
        raise_error(err);
}

/* Gives what the function did, when it ran for the last time. */
static native_t Store_transaction(Store *self, const keys_t *KEYS, native_t FUNCTION)
{
    struct transacting job = {.store = self, .function = FUNCTION, .result = NO_OBJECT};
    shmkv_t *kv;
    int err;

    if (!IS_OPEN(self)) {
        raise_closed(self);
        return NO_OBJECT;
    }
    job.txn = calloc(1, sizeof *job.txn);
    if (!job.txn) {
        raise_error(ENOMEM);
        return NO_OBJECT;
    }
    job.object = transaction_object(job.txn);
    if (!job.object)
        return NO_OBJECT;
    job.txn->keys = KEYS;
    job.txn->codec = self->codec;
    job.txn->name = self->name;
    kv = begin_inside(self);
    err = shmkv_transaction(kv, KEYS->n, KEYS->keys, run_function, &job);
    memset(job.txn, 0, sizeof *job.txn);
    drop_object(&job);
    if (err)
        release(job.result);
    end_inside(self);
    if (err)
        raise_failed(&job, err);
    return err ? NO_OBJECT : job.result;
}

/* ----------------------------------------------------------- what the function does */

/* Where the key is among those declared, from the last one on: most functions go through
 * them in order. */
static int place_of(Transaction *self, const void *key, size_t key_len, size_t *place)
{
    size_t n = self && self->txn ? self->keys->n : 0, i;

    if (!n)
        return refuse_at(PLACE(self, key, key_len), SHMKV_EARGUMENT,
                         "bad argument: the function of this transaction is not running");
    for (i = 0; i < n; i++) {
        const struct shmkv_bytes *declared;

        *place = (self->last + i) % n;
        declared = &self->keys->keys[*place];
        if (declared->len == key_len && !memcmp(declared->data, key, key_len)) {
            self->last = *place;
            return SHMKV_OK;
        }
    }
    return refuse_at(PLACE(self, key, key_len), SHMKV_EARGUMENT, "bad argument: a key that was not given to the transaction");
}

static int look_in_transaction(Transaction *self, const void *key, size_t key_len, struct shmkv_item *item)
{
    size_t place;
    int err = place_of(self, key, key_len, &place);

    return err ? err : shmkv_txn_get(self->txn, place, item);
}

static reply_t Transaction_get(Transaction *self, const void *KEY, size_t KEY_LEN)
{
    struct shmkv_item item;
    int err = look_in_transaction(self, KEY, KEY_LEN, &item);

    if (err)
        return found(NO_OBJECT, err);
    return value_reply(PLACE(self, KEY, KEY_LEN), &item);
}

static answer_t Transaction_exists(Transaction *self, const void *KEY, size_t KEY_LEN)
{
    struct shmkv_item item;

    return answer(look_in_transaction(self, KEY, KEY_LEN, &item));
}

static done_t Transaction_put(Transaction *self, const void *KEY, size_t KEY_LEN, value_t *ITEM)
{
    size_t place;
    int err = place_of(self, KEY, KEY_LEN, &place);

    if (!err)
        err = shmkv_txn_put(self->txn, place, &ITEM->item);
    if (err)
        raise_error(err);
    return err;
}

static done_t Transaction_set(Transaction *self, const void *KEY, size_t KEY_LEN, value_t *ITEM, double TTL, int BOUND)
{
    return value_for(PLACE(self, KEY, KEY_LEN), ITEM, TTL, BOUND) ? -1 : Transaction_put(self, KEY, KEY_LEN, ITEM);
}

static answer_t Transaction_delete(Transaction *self, const void *KEY, size_t KEY_LEN)
{
    size_t place;
    int err = place_of(self, KEY, KEY_LEN, &place);

    return answer(err ? err : shmkv_txn_delete(self->txn, place));
}

#if defined(SWIGPYTHON)
/* For the code in Python, which has seen that the key is not there. */
static done_t Transaction_missing(const Transaction *self, const void *KEY, size_t KEY_LEN, PyObject *GIVEN)
{
    raise_not_found(PLACE(self, KEY, KEY_LEN), GIVEN);
    return -1;
}
#endif

#if defined(SWIGPERL)
/* Its name, for messages of the code in Perl. */
static native_t Transaction_segment(Transaction *self)
{
    return text_new(self && self->name ? self->name : "");
}
#endif
%}

%nodefaultctor Transaction;

typedef struct Transaction {
    %extend {
        ~Transaction();
        reply_t get(const void *KEY, size_t KEY_LEN);
        answer_t exists(const void *KEY, size_t KEY_LEN);
        done_t put(const void *KEY, size_t KEY_LEN, value_t *ITEM);
        done_t set(const void *KEY, size_t KEY_LEN, value_t *ITEM, double TTL, int BOUND);
        answer_t delete(const void *KEY, size_t KEY_LEN);
#if defined(SWIGPYTHON)
        done_t missing(const void *KEY, size_t KEY_LEN, native_t GIVEN);
#elif defined(SWIGPERL)
        native_t segment();
#endif
    }
} Transaction;
