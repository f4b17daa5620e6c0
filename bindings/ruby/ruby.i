/*
 * The Ruby root: module ShmKV with Store and Cursor, whose methods are C
 * functions. lib/shmkv.rb adds what is better said in Ruby.
 */
%module ShmKV

/* An object's own freeze() is another thing, and harmless. */
%rename(freeze_segment) freeze;

%markfunc Store "mark_store";

%include "../swig/shmkv.i"

%{
/* The codec lives as long as the Store. */
static void mark_store(void *pointer)
{
    const Store *store = pointer;

    if (store && store->codec.encode)
        rb_gc_mark(store->codec.encode);
    if (store && store->codec.decode)
        rb_gc_mark(store->codec.decode);
}
%}
