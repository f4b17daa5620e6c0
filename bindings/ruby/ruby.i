/*
 * The Ruby root: module ShmKV with Store and Cursor, whose methods are C
 * functions. lib/shmkv.rb adds what is better said in Ruby.
 */
%module ShmKV

/* An object's own freeze() is another thing, and harmless. */
%rename(freeze_segment) freeze;

%include "../swig/shmkv.i"
