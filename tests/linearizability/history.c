/* The search: see history.h. */
#include "tests/linearizability/history.h"

#include <stdlib.h>
#include <string.h>

#define MAX_OPEN 64

struct configuration {
    uint64_t value, done; /* done: bits of open calls */
};

struct set {
    struct configuration *all;
    size_t n, capacity;
};

struct search {
    const struct call *open[MAX_OPEN];
    uint64_t used, pending, observers; /* bits of open[] */
    struct set now, next, seen;
    uint64_t looked_at;
};

static bool writes(const struct call *c) { return c->kind == PUT || (c->kind == DELETE && (c->value || !c->response)); }

/* Can the call take effect on this value, with the result that it had? */
static bool fits(const struct call *c, uint64_t value) {
    switch (c->kind) {
    case GET:
        return c->value == value;
    case EXISTS:
        return c->value == (value != 0);
    case DELETE:
        return !c->response || c->value == (value != 0);
    default:
        return true;
    }
}

/* False if there already is one that is as good. */
static bool set_add(struct set *s, struct configuration c, uint64_t pending) {
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct configuration old = s->all[i];
        bool alike = old.value == c.value && ((old.done ^ c.done) & ~pending) == 0;
        if (alike && !(old.done & ~c.done))
            return false;
        if (!alike || (c.done & ~old.done))
            s->all[kept++] = old;
    }
    s->n = kept;
    if (s->n == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 64;
        s->all = realloc(s->all, s->capacity * sizeof *s->all);
        if (!s->all)
            abort();
    }
    s->all[s->n++] = c;
    return true;
}

/* Returns whether any did. */
static bool let_observers_observe(const struct search *s, struct configuration *c) {
    uint64_t before = c->done;
    for (uint64_t left = s->observers & ~c->done; left; left &= left - 1)
        if (fits(s->open[__builtin_ctzll(left)], c->value))
            c->done |= left & -left;
    return c->done != before;
}

/* A pending write may wait until somebody notices it: an observer, or a delete that
 * found something. */
static bool worth_while(const struct search *s, unsigned i, struct configuration c) {
    if (!(s->pending >> i & 1) || let_observers_observe(s, &c))
        return true;
    for (uint64_t left = s->used & ~s->observers & ~s->pending & ~c.done; left; left &= left - 1) {
        const struct call *other = s->open[__builtin_ctzll(left)];
        if (other->kind == DELETE && c.value)
            return true;
    }
    return false;
}

/* Every way for call @p x to take effect from here, perhaps after others. */
static void extend(struct search *s, struct configuration c, unsigned x) {
    s->looked_at++;
    let_observers_observe(s, &c);
    if (c.done >> x & 1) {
        c.done &= ~(1ULL << x);
        set_add(&s->next, c, s->pending);
        return;
    }
    if (!set_add(&s->seen, c, s->pending))
        return;
    for (uint64_t left = s->used & ~s->observers & ~c.done; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        const struct call *call = s->open[i];
        struct configuration after = {call->kind == PUT ? call->value : 0, c.done | 1ULL << i};
        if (fits(call, c.value) && worth_while(s, i, after))
            extend(s, after, x);
    }
}

static void invoke(struct search *s, const struct call *c) {
    if (s->used == ~0ULL) {
        fprintf(stderr, "more than %d calls under way on one key\n", MAX_OPEN);
        exit(2);
    }
    unsigned i = (unsigned)__builtin_ctzll(~s->used);
    uint64_t bit = 1ULL << i;
    s->open[i] = c;
    s->used |= bit;
    s->pending |= c->response ? 0 : bit;
    s->observers |= writes(c) ? 0 : bit;
    if (!writes(c))
        for (size_t k = 0; k < s->now.n; k++)
            let_observers_observe(s, &s->now.all[k]);
}

/* False: no configuration is left. */
static bool respond(struct search *s, const struct call *c) {
    unsigned x = 0;
    while (s->open[x] != c || !(s->used >> x & 1))
        x++;
    s->next.n = s->seen.n = 0;
    for (size_t k = 0; k < s->now.n; k++)
        extend(s, s->now.all[k], x);
    if (s->next.n == 0)
        return false;
    struct set old = s->now;
    s->now = s->next;
    s->next = old;
    s->used &= ~(1ULL << x);
    s->observers &= ~(1ULL << x);
    return true;
}

static int by_invocation(const void *a, const void *b) {
    uint64_t x = ((const struct call *)a)->invoke, y = ((const struct call *)b)->invoke;
    return x < y ? -1 : x > y;
}

static int by_response(const void *a, const void *b) {
    uint64_t x = (*(const struct call *const *)a)->response, y = (*(const struct call *const *)b)->response;
    return x < y ? -1 : x > y;
}

static const struct call **responses(const struct call *calls, size_t n, size_t *count) {
    const struct call **list = malloc((n + 1) * sizeof *list);
    if (!list)
        abort();
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (calls[i].response)
            list[(*count)++] = &calls[i];
    qsort(list, *count, sizeof *list, by_response);
    return list;
}

static void piece_begins(struct search *s, struct verdict *v, size_t first) {
    v->pieces++;
    v->first = first;
    v->before = s->now.all[0].value;
    s->looked_at = 0;
}

struct verdict history_check(struct call *calls, size_t n) {
    struct search s = {.looked_at = 0};
    struct verdict v = {.ok = true};
    size_t count, next = 0;
    qsort(calls, n, sizeof *calls, by_invocation);
    const struct call **ends = responses(calls, n, &count);
    set_add(&s.now, (struct configuration){0, 0}, 0);
    for (size_t r = 0; v.ok && r < count; r++) {
        for (; next < n && calls[next].invoke < ends[r]->response; next++) {
            if (!(s.used & ~s.pending))
                piece_begins(&s, &v, next);
            /* a pending call that changes nothing says nothing */
            if (calls[next].response || writes(&calls[next]))
                invoke(&s, &calls[next]);
        }
        unsigned wide = (unsigned)__builtin_popcountll(s.used);
        v.widest = wide > v.widest ? wide : v.widest;
        v.last = next;
        v.failed = ends[r]->response;
        v.ok = respond(&s, ends[r]);
        v.longest = s.looked_at > v.longest ? s.looked_at : v.longest;
    }
    free(ends);
    free(s.now.all);
    free(s.next.all);
    free(s.seen.all);
    return v;
}

static void print_call(FILE *out, const struct call *c) {
    static const char *const names[] = {"get   ", "exists", "put   ", "delete"};
    fprintf(out, "  [%llu, ", (unsigned long long)c->invoke);
    if (c->response)
        fprintf(out, "%llu] ", (unsigned long long)c->response);
    else
        fprintf(out, "never) ");
    fprintf(out, "process %u: %s %s %llx\n", c->who, names[c->kind], c->kind == PUT ? "of" : "->",
            (unsigned long long)c->value);
}

/* What came after the last point at which nothing was under way, and pending writes from before. */
void history_print(FILE *out, const struct call *calls, const struct verdict *v) {
    fprintf(out, "key %u: nothing explains the result of the call that returned at %llu.\n", calls->key,
            (unsigned long long)v->failed);
    fprintf(out, "Before these calls the key could be %llx (0: absent):\n", (unsigned long long)v->before);
    for (size_t i = 0; i < v->last; i++)
        if (i >= v->first || (!calls[i].response && writes(&calls[i])))
            print_call(out, &calls[i]);
}
