/*
 * EXCLUSIVE by several processes, some of which die, while another is attached and writes.
 * Spec 5.5: [LIFE-11] [LIFE-12] [LIFE-13] [LIFE-14] [LIFE-15].
 *
 * Segments are numbers; the name leads to one, and each replacer has a swap name of its own, which
 * leads to one or none. All shard locks of a segment are one lock here; a dead holder's is
 * taken over (lock.pml). A sweep looks at every swap name: a segment there whose lock is held by a
 * live process is being put in place and is left alone, any other is removed. Replacers sweep
 * first; and so does, at the end, one who attaches and finds that somebody died. [LIFE-12] [LIFE-26]
 *
 * With UNLINKS, another process unlinks the name and creates it anew, at any moment, under no lock: so
 * the exchange may displace another segment than the replacer looked at (5.5 step 8).
 *
 * Left out: objects of strangers at the names, mapping and unmapping.
 *
 * Proved: the name always leads to one whole segment, or is unlinked; a write is acknowledged only in the
 * segment that has the name at that moment, or is unlinked, or is just being displaced; whoever is
 * attached reaches the segment that has the name, and no segment that was displaced or replaced stays live;
 * nobody waits for ever; a sweep takes nothing from a live replacer, and after it nothing is left.
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

#ifndef UNLINKS
#define UNLINKS 0
#endif

#define NONE 7
#define SEGMENTS (REPLACERS + 1 + UNLINKS)
mtype = { LIVE, REPLACING, REPLACED };

mtype state[SEGMENTS];
bool locked[SEGMENTS], holder_dead[SEGMENTS];
byte holder[SEGMENTS];          /* which process */
bool whole[SEGMENTS], had_name[SEGMENTS], unlinked[SEGMENTS], displaced[SEGMENTS];
byte at_name = 0, at_swap[REPLACERS];
byte made = 1, deaths, ended;

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

/* Under the lock: [LIFE-12] */
inline remove(segment, i) {
    if
    :: at_swap[i] == segment ->
        state[segment] = REPLACING;
        at_swap[i] = NONE;
        settle(segment)
    :: else
    fi
}

/* Segment by segment: look, take the lock, look again, remove, release. */
inline sweep() {
    s = 0;
    do
    :: s == REPLACERS -> break
    :: else ->
        stray = at_swap[s];
        if
        :: stray == NONE
        :: else ->
#ifndef BROKEN_SWEPT_WITHOUT_LOCK
            atomic {
                if
                :: !locked[stray] || holder_dead[stray] ->
                    holder_dead[stray] = false; locked[stray] = true; holder[stray] = _pid
                :: else -> stray = NONE
                fi
            };
#endif
            if
            :: stray != NONE -> remove(stray, s); release(stray)
            :: else
            fi
        fi;
        s++
    od
}

proctype replacer(byte me) {
    byte old = NONE, fresh = NONE, stray = NONE, s;
    sweep();
    stray = NONE;
again:
    old = at_name;
    if
    :: old == NONE && fresh == NONE ->
        atomic { fresh = made; made++; state[fresh] = LIVE; locked[fresh] = true; holder[fresh] = _pid };
        whole[fresh] = true
    :: else
    fi;
    if
    :: old == NONE ->
        atomic { if :: at_name == NONE -> at_name = fresh; had_name[fresh] = true; old = fresh :: else fi };
        if
        :: old == NONE -> goto again
        :: else -> release(fresh); goto end
        fi
    :: else
    fi;
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
    at_swap[me] = fresh; /* a name that nobody else has */
    MAY_DIE;
    assert(at_swap[me] == fresh); /* nobody took it away */
    atomic { /* the commit */
        stray = at_name;
        if
        :: stray != NONE ->
            at_name = fresh; at_swap[me] = stray; assert(whole[fresh]); had_name[fresh] = true;
            displaced[stray] = stray != old
        :: else
        fi
    };
    if
    :: stray == NONE -> state[old] = LIVE; at_swap[me] = NONE; release(old); goto again
    :: else
    fi;
    assert(state[fresh] != REPLACED);
#ifdef BROKEN_LINKED_HALF_BUILT
    whole[fresh] = true;
#endif
    MAY_DIE;
    if
    :: stray == old ->
        state[old] = REPLACED;
        MAY_DIE;
        at_swap[me] = NONE;
        release(old);
        release(fresh)
    :: else -> /* step 8 */
#ifndef BROKEN_DISPLACED_NOT_TOLD
        state[stray] = REPLACING;
        MAY_DIE;
#endif
        state[old] = LIVE;
        release(old);
        release(fresh);
#ifdef BROKEN_DISPLACED_NOT_TOLD
        at_swap[me] = NONE
#elif defined(BROKEN_DISPLACED_WITHOUT_LOCK)
        remove(stray, me)
#else
        take(stray);
        old = stray; /* whose lock we leave if we die */
        fresh = NONE;
        MAY_DIE;
        remove(stray, me);
        release(stray)
#endif
    fi;
    goto end;
dead:
    atomic {
        if :: old != NONE && locked[old] && holder[old] == _pid -> holder_dead[old] = true :: else fi;
        if :: fresh != NONE && locked[fresh] && holder[fresh] == _pid -> holder_dead[fresh] = true :: else fi
    };
end:
    ended++
}

/* Unlinks and creates, without a lock; sweeps, as a destroyer does. */
#if UNLINKS > 0
proctype outsider() {
    byte mine = NONE, stray = NONE, s, n;
    do
    :: n == UNLINKS -> break
    :: else ->
        atomic { if :: at_name != NONE -> unlinked[at_name] = true; at_name = NONE :: else fi };
        sweep();
        atomic {
            if
            :: at_name == NONE ->
                mine = made; made++; state[mine] = LIVE; whole[mine] = true;
                at_name = mine; had_name[mine] = true
            :: else
            fi
        };
        n++
    od;
    ended++
}
#endif

/* Comes when all others have ended, whichever way, and looks if there is reason to. */
proctype attacher() {
    byte stray = NONE, s;
    ended == REPLACERS + 1 + (UNLINKS > 0);
#ifndef BROKEN_NOT_SWEPT
    if
    :: deaths > 0 -> sweep()
    :: else
    fi;
#endif
    s = 0;
    do
    :: s == REPLACERS -> break
    :: else -> assert(at_swap[s] == NONE); s++
    od;
    /* Nobody stays behind in a segment that lost the name to another. */
    s = 0;
    do
    :: s == made -> break
    :: else ->
        assert(s != at_name || state[s] != REPLACED);
        assert(s == at_name || unlinked[s] || !had_name[s] || state[s] != LIVE);
        s++
    od
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
            /* Acknowledged where others look. */
            assert(at_name == segment || unlinked[segment] || displaced[segment]);
            release(segment);
            n++
        :: else ->
            release(segment);
            assert(at_name != segment); /* it is not left while it has the name */
            segment = at_name;
            if
            :: segment == NONE -> break /* ENOSEGMENT */
            :: else -> assert(whole[segment])
            fi
        fi
    od;
    ended++
}

init {
    atomic {
        byte i;
        state[0] = LIVE;
        whole[0] = true;
        had_name[0] = true;
        for (i : 0 .. REPLACERS - 1) {
            at_swap[i] = NONE;
            run replacer(i)
        }
#if UNLINKS > 0
        run outsider();
#endif
        run writer();
        run attacher()
    }
}
