/*
 * The Ruby root: module ShmKV with Store and Cursor, whose methods are C
 * functions. lib/shmkv.rb adds what is better said in Ruby.
 */
%module ShmKV

/* An object's own freeze() is another thing, and harmless. */
%rename(freeze_segment) freeze;

%markfunc Store "mark_store";
%markfunc Cursor "mark_cursor";

/* As Hash#delete: a block is for a key that is not there. */
%typemap(out) answer_t Store::delete {
    $result = $1 ? Qtrue : rb_block_given_p() ? rb_yield(argv[0]) : Qfalse;
}

%include "../swig/shmkv.i"

%{
/* The codec lives as long as the Store, and that as long as its cursors. */
static void mark_store(void *pointer)
{
    const Store *store = pointer;

    if (store && store->codec.encode)
        rb_gc_mark(store->codec.encode);
    if (store && store->codec.decode)
        rb_gc_mark(store->codec.decode);
}

static void mark_cursor(void *pointer)
{
    const Cursor *cursor = pointer;

    if (cursor)
        mark_store(cursor->store);
}

/* SWIG's check of the number of arguments, "wrong # of arguments(3 for 2)", in Ruby's words. */
static void raise_as_ruby(VALUE class, const char *format, ...)
{
    char text[LONGEST_TEXT];
    int given, expected;
    ID method = rb_frame_this_func();
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (sscanf(text, "wrong # of arguments(%d for %d)", &given, &expected) == 2)
        snprintf(text, sizeof text, "wrong number of arguments (given %d, expected %d)%s", given, expected,
                 given == 3 && (method == rb_intern("put") || method == rb_intern("store")) ? "; set takes ttl: and bound:" : "");
    rb_raise(class, "%s", text);
}
#define rb_raise raise_as_ruby
%}
