/*
 * The shared body of the three bindings. Each language's root names the module
 * and adds what only that language has; all the rest is here, once.
 *
 *   common.i    what a wrapped function may return, and how the code below makes
 *               maps, lists and strings of the language
 *   errors.i    one exception class per error code
 *   bytes.i     keys, names and plain bytes as arguments
 *   values.i    values with their types, as arguments and results
 *   numbers.i   seconds, versions and counts as arguments
 *   handles.i   Store and Cursor, open and closed; get, put, walks and reports
 *   operations.i  the conditional writes, counters and facts of one key
 *   batches.i   many keys in one call
 *   transfer.i  freeze and sync, dump and load
 *   waiting.i   waiting for changes
 *   classes.i   both as classes
 *   transactions.i  several keys at once, and the class Transaction
 */
%include "common.i"
%include "errors.i"
%include "bytes.i"
%include "values.i"
%include "numbers.i"
%include "handles.i"
%include "operations.i"
%include "batches.i"
%include "transfer.i"
%include "waiting.i"
%include "classes.i"
%include "transactions.i"
