/*
 * Marks that readers set without a lock, against everything that is done to a slot: publishing,
 * replacing, withdrawing, the hand, a split, a death after the commit and its replay.
 * Spec 6.16, 7.1: [EVICT-04] [EVICT-05] [CRASH-05].
 *
 * One key, whose slot is in page 0, and after a split in page 1. A slot's word is the number of a
 * cell, or 0, and MARK. What readers do before they mark is read.pml; here they only look at
 * the slot and the directory again, and then may wait for as long as they like. Writer and
 * hand exclude each other by the lock, which the next one takes over from a dead writer.
 *
 * Proved: whoever has the lock finds, once the intent is idle, that the slot names a cell that is
 * not free, or none, and that `count` says so; and no byte of a value is changed by a late mark.
 */
#ifndef OPERATIONS
#define OPERATIONS 3
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef READS
#define READS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define CELLS 3
#define MARK 8
#define CELL(word) ((word) % MARK)
#define MARKED(word) ((word) >= MARK)

byte page[2];
byte group;           /* the page that the directory names */
bool is_free[CELLS + 1];
byte held, count;     /* the writer's field `cell`; entries */
bool locked, dead, split_done;
byte deaths;
/* Page 0, once it is something else: the bytes of a value. */
bool is_value;

/* The intent. */
bool intent; /* active */
byte at, entry_word, entry_held, entry_count;

inline lock() { atomic { !locked || dead -> locked = true; dead = false } }
inline unlock() { locked = false }

/* Spec 7.1, conditional. */
inline replay() {
    if
    :: intent ->
        if
#ifdef BROKEN_MARK_IN_THE_COMMIT
        :: page[at] == entry_word ->
#else
        :: CELL(page[at]) == CELL(entry_word) ->
#endif
            held = entry_held;
            count = entry_count
        :: else
        fi;
        intent = false
    :: else
    fi
}

/* What must hold whenever somebody has the lock and the intent is idle. */
inline look_around() {
    assert(count == (CELL(page[group]) != 0));
    assert(CELL(page[group]) == 0 || (!is_free[CELL(page[group])] && CELL(page[group]) != held));
    assert(!is_value || page[0] == 1)
}

inline give_back() {
    atomic {
        if
        :: held != 0 -> is_free[held] = true; held = 0
        :: else
        fi
    }
}

/* The slot becomes `word`; `gone` is set if the process dies in between. */
inline change(word) {
    at = group;
    entry_word = word;
    entry_held = CELL(page[group]);
    entry_count = (word != 0);
    intent = true;
    if
    :: deaths < DEATHS -> deaths++; gone = true
    :: true ->
        page[at] = entry_word;
        if
        :: deaths < DEATHS -> deaths++; gone = true
        :: true -> held = entry_held; count = entry_count; intent = false
        fi
    fi
}

proctype writer() {
    byte n, word;
    bool gone;
    do
    :: n == OPERATIONS -> break
    :: else ->
        n++;
        gone = false;
        lock();
        replay();
        look_around();
        give_back();
        if
        :: true -> /* put: a new record in a free cell */
            atomic {
                if
                :: is_free[1] -> held = 1
                :: is_free[2] -> held = 2
                :: is_free[3] -> held = 3
                fi;
                is_free[held] = false
            };
            word = held + (page[group] != 0 -> MARK : 0);
            change(word)
        :: true -> /* delete */
            if
            :: CELL(page[group]) != 0 -> change(0)
            :: else
            fi
        :: true -> /* split */
            if
            :: !split_done ->
                split_done = true;
                page[1] = page[0];
                group = 1;
#ifdef BROKEN_PAGE_USED_AGAIN
                atomic { page[0] = 1; is_value = true } /* a value that looks like the word of cell 1 */
#endif
            :: else
            fi
        fi;
        if
        :: gone -> dead = true /* the next process reaps what it held */
        :: else -> give_back(); unlock()
        fi
    od;
    lock();
    replay();
    look_around();
    unlock()
}

/* Another writer, who evicts. */
proctype hand() {
    byte n, word;
    do
    :: n == ROUNDS -> break
    :: else ->
        n++;
        lock();
        replay();
        look_around();
        give_back();
        word = page[group];
        if
        :: MARKED(word) ->
#ifdef BROKEN_CLEARED_WITHOUT_LOCK
            unlock();
            page[group] = CELL(word);
            lock()
#else
            page[group] = CELL(word)
#endif
        :: !MARKED(word) && word != 0 ->
            page[group] = 0;
            held = CELL(word);
            count = 0
        :: else
        fi;
        give_back();
        unlock()
    od
}

proctype reader() {
    byte n, g, w;
    do
    :: n == READS -> break
    :: else ->
        n++;
        g = group;
        w = page[g];
        if
        :: CELL(w) != 0 && !MARKED(w) ->
            if
            :: CELL(page[g]) == CELL(w) && group == g ->
#ifdef BROKEN_STORED_BLINDLY
                page[g] = w + MARK
#else
                atomic {
                    if
                    :: page[g] == w -> page[g] = w + MARK
                    :: else
                    fi
                }
#endif
            :: else
            fi
        :: else
        fi
    od
}

init {
    atomic {
        is_free[1] = true;
        is_free[2] = true;
        is_free[3] = true;
        run writer();
        run hand();
        run reader();
#if READERS > 1
        run reader()
#endif
    }
}
