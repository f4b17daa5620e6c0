/*
 * The shared body of the three bindings. Each language's root names the module
 * and adds what only that language has; all the rest is here, once.
 *
 *   common.i    what a wrapped function may return, and how the code below makes
 *               maps, lists and strings of the language
 *   errors.i    one exception class per error code
 *   bytes.i     keys, values and names as arguments
 *   handles.i   Store and Cursor, the two classes
 */
%include "common.i"
%include "errors.i"
%include "bytes.i"
%include "handles.i"
