/*
 * The Ruby root: module ShmKV with Store and Cursor, whose methods are C
 * functions. lib/shmkv.rb adds what is better said in Ruby.
 */
%module ShmKV

%include "../swig/shmkv.i"
