/*
 * Waiting for a change, and for a named lock, with the interpreter's lock given up. The core sleeps until a
 * writer wakes it; here it is let out every 100 ms, and at once by a signal, so that
 * the language can serve its interrupts: Ctrl-C, a timer, Thread#raise. One that raises ends
 * the wait.
 *
 *   double TIMEOUT   seconds; negative: for ever
 *   int KNOWN        0: version is not given; the one that is there now
 */
%{
enum { SLICE_MS = 100 };

struct waiting {
    shmkv_t *kv;
    const void *key;
    size_t key_len;
    uint64_t version, position;
    int timeout_ms;
    int err;
};

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void wait_for_key(void *argument)
{
    struct waiting *job = argument;

    job->err = shmkv_wait(job->kv, job->key, job->key_len, job->version, job->timeout_ms);
}

static void wait_for_any(void *argument)
{
    struct waiting *job = argument;

    job->err = shmkv_watch(job->kv, &job->position, job->timeout_ms);
}

/* Until it is done, or time is up, or raised. Nothing is held when an interrupt is served. */
static answer_t wait_in_slices(Store *self, void (*work)(void *), struct waiting *job, double timeout)
{
    double end = timeout < 0 ? INFINITY : seconds_now() + timeout, left;

    do {
        left = (end - seconds_now()) * 1000;
        job->timeout_ms = left >= SLICE_MS ? SLICE_MS : left > 0 ? (int)ceil(left) : 0;
        if (!IS_OPEN(self))
            return raise_closed(self);
        job->err = EINTR; /* should it not begin */
        job->kv = begin_unlocked(self);
        wait_without_lock(work, job);
        end_unlocked(self);
        if (job->err == SHMKV_OK)
            return 1; /* first: a lock that was got must not be lost to an interrupt */
        if (serve_interrupts())
            return -1;
        if (job->err != SHMKV_ETIMEDOUT && job->err != EINTR) {
            raise_error(job->err);
            return -1;
        }
    } while (job->err == EINTR || left > 0);
    return 0;
}

/* Of what is there; 0: nothing is. Not 0: raised. */
static int version_now(Store *self, const void *key, size_t key_len, uint64_t *version)
{
    struct shmkv_item item = {0};
    int err;

    if (!IS_OPEN(self))
        return raise_closed(self);
    err = shmkv_get_item(self->kv, key, key_len, NULL, 0, &item);
    *version = item.version;
    if (!err || err == SHMKV_ETOOSMALL)
        return 0;
    if (err == SHMKV_ENOTFOUND) {
        *version = 0;
        return 0;
    }
    raise_error(err);
    return -1;
}

static answer_t Store_wait(Store *self, const void *KEY, size_t KEY_LEN, int KNOWN, uint64_t version, double TIMEOUT)
{
    struct waiting job = {.key = KEY, .key_len = KEY_LEN, .version = version};
    answer_t changed;
#if defined(SWIGRUBY)
    VALUE key = rb_str_new(KEY, (long)KEY_LEN); /* other threads, which run meanwhile, may change the caller's */

    job.key = RSTRING_PTR(key);
#endif

    if (!KNOWN && version_now(self, job.key, KEY_LEN, &job.version))
        return -1;
    changed = wait_in_slices(self, wait_for_key, &job, TIMEOUT);
#if defined(SWIGRUBY)
    RB_GC_GUARD(key);
#endif
    return changed;
}

static void wait_for_lock(void *argument)
{
    struct waiting *job = argument;

    job->err = shmkv_lock(job->kv, job->key, job->key_len, job->timeout_ms, &job->version);
}

/*
 * Taking a lock and letting it go is C from the one to the other, but for what runs in between: an interrupt
 * (Ctrl-C, Timeout, a signal handler that dies) comes between any two steps of the language's own code, and one
 * between the lock and the note of it would leave it taken for as long as the Store is open.
 */

/* Not 0: raised. When time is up, it is TimedOut, which names the holder. */
static int take_lock(Store *self, const void *key, size_t key_len, double timeout, uint64_t *token)
{
    struct waiting job = {.key = key, .key_len = key_len};
    answer_t got = wait_in_slices(self, wait_for_lock, &job, timeout);

    if (!got)
        raise_error(SHMKV_ETIMEDOUT);
    *token = job.version;
    return got == 1 ? 0 : -1;
}

/* Raises nothing. */
static int let_go(Store *self, const void *key, size_t key_len, uint64_t token)
{
    int err;

    if (!IS_OPEN(self))
        return refuse(SHMKV_ECLOSED, "%s: %s", self ? self->name : "shmkv", shmkv_strerror(SHMKV_ECLOSED));
    err = shmkv_unlock(self->kv, key, key_len, token);
    if (err == SHMKV_ECHANGED) /* an answer in C; here nothing else explains it */
        err = refuse(err, "%s: the named lock was lost: the segment was replaced meanwhile, or this is a child that was forked inside", self->name);
    return err;
}

#if defined(SWIGRUBY)
static VALUE yield_token(VALUE token)
{
    return rb_yield(token);
}

/* What the block returns, while the lock is held. */
static native_t Store_hold(Store *self, const void *KEY, size_t KEY_LEN, double TIMEOUT)
{
    VALUE name = rb_str_new(KEY, (long)KEY_LEN); /* the block may change the caller's */
    VALUE result;
    uint64_t token;
    int left, err;

    rb_need_block();
    take_lock(self, RSTRING_PTR(name), KEY_LEN, TIMEOUT, &token);
    result = rb_protect(yield_token, ULL2NUM(token), &left);
    err = let_go(self, RSTRING_PTR(name), KEY_LEN, token);
    RB_GC_GUARD(name);
    if (left) {
        forget_refusal();
        rb_jump_tag(left); /* which says more */
    }
    if (err)
        raise_error(err);
    return result;
}
#elif defined(SWIGPERL)
/* What the sub returns, while the lock is held. */
static native_t Store_hold(Store *self, const void *KEY, size_t KEY_LEN, double TIMEOUT, native_t FUNCTION)
{
    native_t result;
    uint64_t token;
    int err;

    if (take_lock(self, KEY, KEY_LEN, TIMEOUT, &token))
        return NO_OBJECT;
    result = call_sub(FUNCTION, sv_2mortal(newSVuv(token)));
    err = let_go(self, KEY, KEY_LEN, token);
    if (!result) {
        forget_refusal(); /* what it died with says more */
        return NO_OBJECT;
    }
    if (!err)
        return result;
    release(result);
    raise_error(err);
    return NO_OBJECT;
}
#endif

/* Whether anything has changed, and the position from which to watch on. */
static native_t Store_watch(Store *self, uint64_t position, double TIMEOUT)
{
    struct waiting job = {.position = position};
    answer_t changed = wait_in_slices(self, wait_for_any, &job, TIMEOUT);
    native_t list = changed < 0 ? NO_OBJECT : list_new();

    return finished(list, !list || list_push(list, truth_new(changed)) || list_push(list, number_new(job.position)));
}
%}
