/*
 * One domain's lock, with the deaths of those who hold it, wait for it, take it over and
 * claim the slots of the dead. Spec 4.3, 4.4, 4.5 and 7.1: [LOCK-06] [LOCK-07] [LOCK-14]
 * [LOCK-15] [LOCK-21] [LOCK-22] [LOCK-23] [CRASH-01] [CRASH-06].
 *
 * Each process is the owner of a slot. It takes the lock and moves the one cell between the
 * pool and its slot's field, by an intent of two words. It may die before any step; the kernel
 * then drops its owner lock, and the next process to claim the slot is born: it reaps first.
 *
 * Left out: other domains, more than one cell, the bits of the generation beyond two, the
 * order of stores as others see it (Spin interleaves whole steps; x86 or the releases of
 * spec 4.6 are what makes that true of two processes).
 *
 * Proved: at most one live process is inside; whoever is inside, with the intent replayed,
 * finds the cell in exactly one place; nobody waits for ever.
 *
 * With -DSLEEP nobody dies and a sleeper has no timeout: the waiters bit and the wake-up alone
 * must do. Broken variants, each of which must be found: see README.md.
 */
#ifndef PROCESSES
#define PROCESSES 2
#endif
#ifndef DEATHS
#define DEATHS 3
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

#if PROCESSES == 2
#define IN_FIELDS (field[0] + field[1])
#else
#define IN_FIELDS (field[0] + field[1] + field[2])
#endif
#define WAITERS 64
#define WORD(slot) ((slot) + 1 + 8 * (generation[slot] % 4))
#define OWNER(word) (((word) & 7) - 1)
#define GENERATION(word) (((word) >> 3) & 3)

byte word;                       /* the lock */
bool intent;                     /* is active; it has two entries */
byte intent_slot, after_pool, after_field;
byte pool = 1;                   /* the cell is here, */
byte field[PROCESSES];           /* or in a slot */
byte generation[PROCESSES];
bool live[PROCESSES];            /* the owner lock is held */
bool asleep[PROCESSES];
byte inside, deaths;

/* Each step of the protocol ends with this: the next one may not come. */
#define MAY_DIE if :: skip :: deaths < DEATHS -> deaths++; goto dead fi

#define NAMES_DEAD(w) (!live[OWNER(w)] || GENERATION(w) != generation[OWNER(w)] % 4)

inline compare_and_swap(old, new, done) {
    atomic { if :: word == (old) -> word = (new); done = true :: else -> done = false fi }
}

/* Spec 7.1, replay, of an intent in mode always. Every value is absolute. */
inline replay() {
    pool = after_pool;
    MAY_DIE;
    field[intent_slot] = after_field;
    MAY_DIE;
    intent = false;
    MAY_DIE
}

/* Spec 4.3. */
inline take() {
    done = false;
    extra = 0;
    do
    :: done -> break
    :: else ->
        seen = word;
        if
        :: (seen & 63) == 0 ->
            compare_and_swap(seen, WORD(me) | (seen & WAITERS) | extra, done)
        :: else ->
#ifdef SLEEP
            /* Say that we sleep, and sleep if the word is still the same. */
            compare_and_swap(seen, seen | WAITERS, done);
            if
            :: done || (seen & WAITERS) ->
                done = false;
                atomic { if :: word == (seen | WAITERS) -> asleep[me] = true :: else fi };
                !asleep[me];
                extra = WAITERS
            :: else
            fi
#else
            /* Any sleep ends by itself. Then: does the owner live? */
#ifdef BROKEN_ROB_THE_LIVING
            gone = true;
#else
            gone = NAMES_DEAD(seen);
#endif
            if
            :: gone ->
                compare_and_swap(seen, WORD(me) | WAITERS, done)
            :: else -> word != seen || NAMES_DEAD(word) /* as good as trying again and again */
            fi
#endif
        fi
    od;
    atomic { inside++; assert(inside == 1) };
    MAY_DIE;
    if
    :: intent ->
#ifdef BROKEN_NO_REPLAY
        intent = false
#else
        replay()
#endif
    :: else
    fi;
    assert(pool + IN_FIELDS == 1)
}

inline release() {
    atomic { inside--; seen = word; word = 0 };
    MAY_DIE;
    if
    :: seen & WAITERS ->
#ifdef BROKEN_NO_WAKE
        skip
#else
        atomic {
            if
            :: asleep[0] -> asleep[0] = false
#if PROCESSES > 1
            :: asleep[1] -> asleep[1] = false
#endif
#if PROCESSES > 2
            :: asleep[2] -> asleep[2] = false
#endif
            :: else
            fi
        }
#endif
    :: else
    fi
}

/* Spec 7.1, write: move the cell to the field of @slot, or back. */
inline transaction(slot, to_field) {
    intent_slot = slot;
    after_field = to_field;
    after_pool = 1 - (to_field);
#ifdef BROKEN_INTENT_AFTER_COMMIT
    pool = after_pool;
    MAY_DIE;
    intent = true;
#else
    intent = true;
    MAY_DIE;
    pool = after_pool;
    MAY_DIE;
#endif
#ifdef BROKEN_CLEARED_EARLY
    intent = false;
    MAY_DIE;
    field[slot] = after_field;
#else
    field[slot] = after_field;
    MAY_DIE;
    intent = false;
#endif
    MAY_DIE
}

/* Spec 4.5, by the process that claims the slot. */
inline reap() {
    if
    :: OWNER(word) == me || (intent && intent_slot == me) ->
        take();
        release()
    :: else
    fi;
    if
    :: field[me] ->
        take();
        if
        :: field[me] -> transaction(me, 0) /* [LOCK-22] looked at again */
        :: else
        fi;
        release()
    :: else
    fi
}

proctype owner(byte me) {
    byte seen, extra, rounds;
    bool done, gone;
born:
    atomic { live[me] = true; rounds = 0 };
#ifndef BROKEN_SAME_GENERATION
    generation[me]++;
#endif
#ifdef BROKEN_CLAIM_WITHOUT_REAPING
    field[me] = 0;
#else
    reap();
#endif
    do
    :: rounds == ROUNDS -> break
    :: else ->
        rounds++;
        take();
        if
        :: field[me] -> transaction(me, 0)
        :: pool -> transaction(me, 1)
        :: else
        fi;
        release()
    od;
    /* It ends in good order: what it has goes back. */
    reap();
    live[me] = false;
    goto end;
dead:
    /* The kernel: the owner lock is gone, and whatever it was inside of it is no more. */
    atomic {
        if :: (word & 63) == WORD(me) && inside -> inside-- :: else fi;
        live[me] = false;
        goto born
    };
end:
    skip
}

init {
    atomic {
        run owner(0);
        run owner(1);
#if PROCESSES > 2
        run owner(2)
#endif
    };
    _nr_pr == 1;
    assert(pool + IN_FIELDS == 1);
    assert(!intent || word != 0)
}
