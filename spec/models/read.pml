/*
 * A reader without a lock, while writers replace its key, delete and put another key, and
 * use the freed cells again. Spec 6.2 step 3, 6.3, 6.4, 6.9: [OP-03] [OP-04] [OP-09] [OP-10]
 * [LOCK-27] [LAYOUT-23].
 *
 * Key 1 is always there; key 2 comes and goes in another slot of the bucket with the same tag.
 * A cell has a version, a second word (which key, while it is a record; a link of the free
 * list, while it is free) and a value of two words. Writers exclude each other by the lock, of
 * which lock.pml is the model, but build records and give back cells outside of it.
 *
 * Left out: the directory (split.pml), lengths (a record's second word stands for them), and
 * stores that others see out of order: the writer's release fence after the odd version and
 * the reader's acquire fence before it looks again are taken as given.
 *
 * Proved: what the reader returns for key 1 is one value, whole, that was the key's at some
 * moment of the read; and it is never "absent".
 */
#ifndef WRITERS
#define WRITERS 1
#endif
#ifndef OPERATIONS
#define OPERATIONS 4
#endif
#ifndef READS
#define READS 1
#endif

#define CELLS 4
#define LINK 7            /* in the second word: not a key */
#define NONE CELLS

byte version[CELLS], second[CELLS], one[CELLS], two[CELLS];
byte slot[2];             /* cell of key 1 and of key 2, or NONE */
bool is_free[CELLS];
byte current;             /* the value of key 1 */
short valid;              /* the values that key 1 had since the read began, a bit each */
byte next_version = 4, next_value = 1;
bool locked;

inline lock() { atomic { !locked -> locked = true } }
inline unlock() { locked = false }

/* A free cell; taking it changes nothing in it. */
inline take(cell) {
    atomic {
        if
        :: is_free[0] -> cell = 0
        :: is_free[1] -> cell = 1
        :: is_free[2] -> cell = 2
        :: is_free[3] -> cell = 3
        fi;
        is_free[cell] = false
    }
}

/* Spec 6.9: the free list is linked through the second word. */
inline give_back(cell) {
    second[cell] = LINK;
    is_free[cell] = true
}

/* Spec 6.3 step 3. */
inline build(cell, key, value) {
    atomic { mine = next_version; next_version = next_version + 2 };
    version[cell] = mine - 1;
    second[cell] = key;
    one[cell] = value;
#ifdef BROKEN_EVEN_BEFORE_BYTES
    version[cell] = mine;
    two[cell] = value
#else
    two[cell] = value;
    version[cell] = mine
#endif
}

proctype writer() {
    byte n, cell, old, mine, value;
    do
    :: n == OPERATIONS -> break
    :: else ->
        n++;
        if
        :: /* replace key 1 */
            take(cell);
            atomic { value = next_value; next_value++ };
            build(cell, 1, value);
            lock();
            atomic { old = slot[0]; slot[0] = cell; current = value; valid = valid | (1 << value) };
            unlock();
            give_back(old)
        :: /* put or delete key 2 */
            take(cell);
            build(cell, 2, 0);
            lock();
            if
            :: slot[1] == NONE -> slot[1] = cell; old = NONE
            :: else -> old = slot[1]; slot[1] = NONE
            fi;
            unlock();
            if
            :: old == NONE
            :: else -> give_back(old); give_back(cell)
            fi
        fi
    od
}

/* Spec 6.2 step 3 for one slot. Both have the key's tag. */
inline look(at) {
    w = slot[at];
    if
    :: w == NONE -> result = 0
    :: else ->
        v = version[w];
        if
        :: v % 2 == 1 || v == 0 -> result = 2
        :: else ->
            if
            :: second[w] == 1 ->
                a = one[w];
                b = two[w];
                result = 1
            :: else -> result = 0
            fi;
            if
#ifdef BROKEN_ANOTHER_KEY_UNCHECKED
            :: result == 0 -> skip
            :: else ->
#else
            :: true ->
#endif
#ifdef BROKEN_VERSION_FIRST
                if :: version[w] != v -> result = 2 :: else fi;
                if :: slot[at] != w -> result = 2 :: else fi
#else
#ifndef BROKEN_SLOT_NOT_CHECKED
                if :: slot[at] != w -> result = 2 :: else fi;
#endif
#ifndef BROKEN_VERSION_NOT_CHECKED
                if :: version[w] != v -> result = 2 :: else fi
#endif
#endif
            fi
        fi
    fi
}

proctype reader() {
    byte n, i, w, v, a, b;
    byte result; /* 0 not this key, 1 found, 2 start again */
    do
    :: n == READS -> break
    :: else ->
        n++;
        valid = 1 << current;
        result = 2;
        do
        :: result == 2 ->
            atomic { result = 0; i = 0; w = 0; v = 0; a = 0; b = 0 };
            do
            :: i < 2 && result == 0 -> look(1 - i); i++
            :: else -> break
            od
        :: else -> break
        od;
        assert(result == 1);
        assert(a == b);
        assert(valid & (1 << a))
    od
}

init {
    atomic {
        slot[0] = 0;
        slot[1] = NONE;
        version[0] = 2;
        second[0] = 1;
        is_free[1] = true;
        is_free[2] = true;
        is_free[3] = true;
        run reader();
        run writer();
#if WRITERS > 1
        run writer()
#endif
    }
}
