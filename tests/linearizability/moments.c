/* Bounds on when a key had a value: see moments.h. */
#include "tests/linearizability/moments.h"

#include <stdlib.h>

static void spans_add(struct spans *s, struct span span) {
    if (s->n == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 4;
        s->all = realloc(s->all, s->capacity * sizeof *s->all);
        if (!s->all)
            abort();
    }
    s->all[s->n++] = span;
}

void spans_set(struct spans *s, struct span to) {
    s->n = 0;
    spans_add(s, to);
}

void spans_free(struct spans *s) {
    free(s->all);
    *s = (struct spans){0};
}

/* The first of the spans that ends after @p tick. */
static size_t first_after(const struct span *spans, size_t n, uint64_t tick) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (spans[middle].to > tick)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void spans_narrow(struct spans *s, const struct span *others, size_t n) {
    struct spans left = {0};
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = first_after(others, n, s->all[i].from);
             k < n && others[k].from < s->all[i].to; k++) {
            uint64_t from = others[k].from > s->all[i].from ? others[k].from : s->all[i].from;
            uint64_t to = others[k].to < s->all[i].to ? others[k].to : s->all[i].to;
            if (from < to)
                spans_add(&left, (struct span){from, to});
        }
    spans_free(s);
    *s = left;
}

/* Does the call, which came back, show that a value from before it is gone when it ends? */
static bool ends_a_value(const struct call *c) {
    return c->kind == PUT || c->kind == DELETE || c->value == 0;
}

/* That there is something, or was at some moment of it? */
static bool ends_absence(const struct call *c) { return c->kind == PUT || c->value != 0; }

/* @p gone[i]: the least response of a call that is one of those, from call i on. */
static uint64_t *ends_from(const struct call *calls, size_t n, bool (*ends)(const struct call *)) {
    uint64_t *gone = malloc((n + 1) * sizeof *gone);
    if (!gone)
        abort();
    gone[n] = UINT64_MAX;
    for (size_t i = n; i-- > 0;) {
        bool counts = calls[i].response && ends(&calls[i]);
        gone[i] = counts && calls[i].response < gone[i + 1] ? calls[i].response : gone[i + 1];
    }
    return gone;
}

/* What calls that began after @p tick say. */
static uint64_t look_up(const struct timeline *t, const uint64_t *gone, uint64_t tick) {
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (t->calls[middle].invoke > tick)
            high = middle;
        else
            low = middle + 1;
    }
    return gone[low];
}

static void add_absence(struct timeline *t, struct span span) {
    struct span *last = t->absent.n ? &t->absent.all[t->absent.n - 1] : NULL;
    if (!last || span.from > last->to)
        spans_add(&t->absent, span);
    else if (span.to > last->to)
        last->to = span.to;
}

void timeline_make(struct timeline *t, const struct call *calls, size_t n) {
    *t = (struct timeline){.calls = calls, .n = n};
    t->gone = ends_from(calls, n, ends_a_value);
    uint64_t *present = ends_from(calls, n, ends_absence);
    add_absence(t, (struct span){0, present[0]});
    for (size_t i = 0; i < n; i++)
        if (calls[i].kind == DELETE && (calls[i].value || !calls[i].response)) {
            uint64_t to = calls[i].response ? look_up(t, present, calls[i].response) : UINT64_MAX;
            add_absence(t, (struct span){calls[i].invoke, to});
        }
    free(present);
}

void timeline_free(struct timeline *t) {
    free(t->gone);
    spans_free(&t->absent);
}

struct span timeline_value(const struct timeline *t, const struct call *put) {
    return (struct span){put->invoke,
                         put->response ? look_up(t, t->gone, put->response) : UINT64_MAX};
}
