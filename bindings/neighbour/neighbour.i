/* Another module made by SWIG, of somebody else, who has given his types the names of ours. */
%module neighbour

%{
typedef struct Store { int number; } Store;
typedef struct Cursor { int number; } Cursor;
typedef struct Transaction { int number; } Transaction;
%}

typedef struct Store { int number; } Store;
typedef struct Cursor { int number; } Cursor;
typedef struct Transaction { int number; } Transaction;
