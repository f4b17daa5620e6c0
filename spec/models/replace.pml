/*
 * EXCLUSIVE by several processes, some of which die, while another is attached and writes.
 * Spec 5.5: [LIFE-11] [LIFE-12] [LIFE-13] [LIFE-14] [LIFE-15].
 *
 * Segments are numbers; two names lead to them, the name itself and the swap name. All shard
 * locks of a segment are one lock here; a dead holder's is taken over (lock.pml). A segment
 * that lies at the swap name with its lock held by a live process is being put in place and is
 * left alone; otherwise whoever needs the swap name removes it.
 *
 * Left out: unlink(), objects of strangers at the names, mapping and unmapping.
 *
 * Proved: the name always leads to one whole segment; a write is acknowledged only in the
 * segment that has the name at that moment; whoever is attached reaches that segment; nobody
 * waits for ever.
 */
#ifndef REPLACERS
#define REPLACERS 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef WRITES
#define WRITES 2
#endif

#define NONE 7
#define SEGMENTS 4
mtype = { LIVE, REPLACING, REPLACED };

mtype state[SEGMENTS];
bool locked[SEGMENTS], holder_dead[SEGMENTS];
byte holder[SEGMENTS];          /* which process */
bool whole[SEGMENTS];
byte at_name = 0, at_swap = NONE;
byte made = 1, deaths;

#define MAY_DIE if :: skip :: deaths < DEATHS -> deaths++; goto dead fi

inline take(segment) {
    atomic {
        if
        :: !locked[segment]
        :: locked[segment] && holder_dead[segment] -> holder_dead[segment] = false
        fi;
        locked[segment] = true;
        holder[segment] = _pid
    }
}
inline release(segment) { locked[segment] = false }

/* Under the lock: what a dead replacer left is settled by the name. [LIFE-14] */
inline settle(segment) {
#ifndef BROKEN_NOT_SETTLED
    if
    :: state[segment] == REPLACING ->
        if
        :: at_name == segment -> state[segment] = LIVE
        :: else -> state[segment] = REPLACED
        fi
    :: else
    fi
#else
    if
    :: state[segment] == REPLACING -> state[segment] = LIVE
    :: else
    fi
#endif
}

proctype replacer() {
    byte old = NONE, fresh = NONE, stray;
again:
    old = at_name;
    if
    :: fresh == NONE ->
        atomic { fresh = made; made++; state[fresh] = LIVE; locked[fresh] = true; holder[fresh] = _pid };
#ifndef BROKEN_LINKED_HALF_BUILT
        whole[fresh] = true
#endif
    :: else
    fi;
    MAY_DIE;
#ifndef BROKEN_NO_LOCK
    take(old);
#endif
    MAY_DIE;
    settle(old);
#ifndef BROKEN_NAME_NOT_LOOKED_AT_AGAIN
    if
    :: at_name != old || state[old] != LIVE -> release(old); goto again
    :: else
    fi;
#endif
#ifdef BROKEN_REPLACED_BEFORE_EXCHANGE
    state[old] = REPLACED;
#else
    state[old] = REPLACING;
#endif
    MAY_DIE;
    /* Link the new one at the swap name; or clear what a dead one left there, and repeat. */
    atomic {
        if
        :: at_swap == NONE -> at_swap = fresh; stray = NONE
        :: else -> stray = at_swap
        fi
    };
    if
    :: stray != NONE ->
        state[old] = LIVE;
        release(old);
        if
        :: !locked[stray] || holder_dead[stray] ->
            atomic { if :: at_swap == stray -> at_swap = NONE :: else fi }
        :: else -> at_swap != stray || !locked[stray] || holder_dead[stray]
        fi;
        goto again
    :: else
    fi;
    MAY_DIE;
    atomic { stray = at_name; at_name = fresh; at_swap = stray; assert(whole[fresh]) }; /* the commit */
#ifdef BROKEN_LINKED_HALF_BUILT
    whole[fresh] = true;
#endif
    MAY_DIE;
    state[old] = REPLACED;
    MAY_DIE;
    atomic { if :: at_swap == old || at_swap == fresh -> at_swap = NONE :: else fi };
    release(old);
    release(fresh);
    goto end;
dead:
    atomic {
        if :: old != NONE && locked[old] && holder[old] == _pid -> holder_dead[old] = true :: else fi;
        if :: fresh != NONE && locked[fresh] && holder[fresh] == _pid -> holder_dead[fresh] = true :: else fi
    };
end:
    skip
}

/* Attached from the beginning; follows the name. */
proctype writer() {
    byte segment = 0, n;
    do
    :: n == WRITES -> break
    :: else ->
        take(segment);
        settle(segment);
        if
        :: state[segment] == LIVE ->
            assert(at_name == segment); /* acknowledged where others look */
            release(segment);
            n++
        :: else ->
            release(segment);
            assert(at_name != segment); /* it is not left while it has the name */
            segment = at_name;
            assert(whole[segment])
        fi
    od
}

init {
    atomic {
        state[0] = LIVE;
        whole[0] = true;
        run replacer();
#if REPLACERS > 1
        run replacer();
#endif
#if REPLACERS > 2
        run replacer();
#endif
        run writer()
    }
}
