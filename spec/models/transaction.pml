/*
 * Two keys of two shards change together, by a writer who may die at any step, while another
 * writes one of the keys, a third takes snapshots with locks and a fourth without, and a
 * reaper cleans up, who may die as well. Spec 6.7, 6.15, 4.5, 7.1: [LOCK-03] [LOCK-21] [TXN-01] [TXN-02]
 * [TXN-03] [TXN-05] [TXN-06] [CRASH-06] [CRASH-07] [CRASH-08].
 *
 * Records are told apart by number. A key's old record is in its slot at first, the new one is named by
 * the transaction block's cell word. A block that was returned holds anything.
 *
 * Left out: the lock's word and who lives (lock.pml: a lock whose owner died is taken over), the index,
 * allocation, the intent of a plain put (lock.pml), which is one step here.
 *
 * Proved: under all locks, and in an unlocked snapshot, both keys are new or both are old; no
 * write of the other is lost unseen; nobody waits for ever; in the end each record is in one place.
 */
#define OLD 1
#define NEW 2
#define OTHER 3                 /* the other writer's */

#define NOBODY 0
#define TRANSACTION 1
#define WRITER 2
#define SNAPSHOT 3
#define REAPER 4

byte slot[2];                   /* which record */
byte changes[2];
bool intent[2];
byte lock[2];
bool dead[5];
byte cells[2];                  /* of the block; what key 0's and key 1's cell words name */
byte olds[2];                   /* in the block's entries: what the cell words become */
bool decision;
bool held;                      /* `txn` names the block */
byte writers_cell;
byte freed[8];                  /* key k's record r: freed[4*k+r] */
byte deaths;
bool over;                      /* the transaction's process has ended in good order */

#ifndef DEATHS
#define DEATHS 2
#endif
#define MAY_DIE if :: skip :: deaths < DEATHS -> deaths++; goto died fi

inline replay(k) {
    if
    :: intent[k] ->
        if
        :: decision ->
            slot[k] = NEW;
            MAY_DIE;
            cells[k] = olds[k];
            MAY_DIE;
            changes[k] = 1 + was_changes[k]
        :: else
        fi;
        MAY_DIE;
        intent[k] = false
    :: else
    fi
}
byte was_changes[2];            /* in the block's entries */

inline take(k, me) {
    atomic { lock[k] == NOBODY || dead[lock[k]] -> lock[k] = me };
    MAY_DIE;
    replay(k)
}

/* Of a transaction both or none; the other's record may have come before or after. */
byte under_other;               /* what the other's record replaced */
#define IS_NEW(k, s) ((s) == NEW || ((k) == 1 && (s) == OTHER && under_other == NEW))
#define ALL_OR_NONE(a, b) (IS_NEW(0, a) == IS_NEW(1, b))

/* The cell words' records, then the block, which somebody else uses at once. */
inline give_back(k) {
    atomic {
        if :: held && cells[k] -> freed[4 * k + cells[k]]++; cells[k] = 0 :: else fi
    }
}
inline give_back_block() {
    atomic {
        if
        :: held -> held = false; if :: decision = false :: decision = true fi
        :: else
        fi
    }
}

inline carry_out(k) {
    slot[k] = NEW;
    MAY_DIE;
    cells[k] = olds[k];
    MAY_DIE;
    changes[k] = 1 + was_changes[k];
    MAY_DIE;
#ifdef BROKEN_UNLOCKED_BEFORE_IDLE
    lock[k] = NOBODY;
    MAY_DIE;
    intent[k] = false
#else
    intent[k] = false;
    MAY_DIE;
    lock[k] = NOBODY
#endif
    ;
    MAY_DIE
}

proctype transaction() {
    byte seen[2];
    atomic { held = true; cells[0] = NEW; cells[1] = NEW; decision = false };
    MAY_DIE;
    seen[0] = slot[0];
    seen[1] = slot[1];
#ifdef BROKEN_DESCENDING
    take(1, TRANSACTION);
    take(0, TRANSACTION);
#else
    take(0, TRANSACTION);
    MAY_DIE;
    take(1, TRANSACTION);
#endif
    MAY_DIE;
    if
#ifndef BROKEN_NOT_COMPARED
    :: slot[0] != seen[0] || slot[1] != seen[1] -> lock[0] = NOBODY; MAY_DIE; lock[1] = NOBODY
#endif
    :: else ->
        atomic {
            olds[0] = slot[0];
            olds[1] = slot[1];
            was_changes[0] = changes[0];
            was_changes[1] = changes[1]
        };
#ifdef BROKEN_DECIDED_BEFORE_INTENTS
        decision = true;
        MAY_DIE;
        intent[0] = true;
        MAY_DIE;
        intent[1] = true;
#else
        intent[0] = true;
        MAY_DIE;
        intent[1] = true;
        MAY_DIE;
        atomic { decision = true; assert(slot[0] == seen[0] && slot[1] == seen[1]) };
#endif
        MAY_DIE;
#ifdef BROKEN_BLOCK_RETURNED_EARLY
        give_back_block();
#endif
        carry_out(0);
        carry_out(1)
    fi;
    MAY_DIE;
    give_back(0);
    MAY_DIE;
    give_back(1);
    MAY_DIE;
    give_back_block();
    over = true;
    goto end;
died:
    dead[TRANSACTION] = true;
end:
    skip
}

/* Cleans up after the transaction, and again after itself: its successor has another name, which no
 * lock has. */
proctype reaper() {
    dead[TRANSACTION] || over;
again:
    if
    :: dead[TRANSACTION] ->
#ifdef BROKEN_BLOCK_BEFORE_DOMAINS
        give_back(0);
        give_back(1);
        give_back_block();
#endif
        take(0, REAPER);
        lock[0] = NOBODY;
        MAY_DIE;
        take(1, REAPER);
        lock[1] = NOBODY;
        MAY_DIE;
        give_back(0);
        MAY_DIE;
        give_back(1);
        MAY_DIE;
        give_back_block()
    :: else
    fi;
    goto end;
died:
    atomic {
        if :: lock[0] == REAPER -> lock[0] = TRANSACTION :: else fi;
        if :: lock[1] == REAPER -> lock[1] = TRANSACTION :: else fi;
        goto again
    };
end:
    skip
}

/* A plain put of key 1. */
proctype writer() {
    writers_cell = OTHER;
    take(1, WRITER);
    atomic {
        under_other = slot[1];
        writers_cell = slot[1];
        slot[1] = OTHER;
        changes[1]++
    };
    MAY_DIE;
    lock[1] = NOBODY;
    goto end;
died:
    dead[WRITER] = true;
end:
    skip
}

proctype snapshot() {
    take(0, SNAPSHOT);
    take(1, SNAPSHOT);
    assert(ALL_OR_NONE(slot[0], slot[1]));
    lock[0] = NOBODY;
    lock[1] = NOBODY;
    goto end;
died:
    dead[SNAPSHOT] = true;
end:
    skip
}

/* Without locks: what changes meanwhile makes it void. */
#define FIRST(k) (intent[k] && decision)
#define STAMP(k) (FIRST(k) + 2 * intent[k] + 4 * changes[k])
proctype unlocked() {
    byte stamps[2], a, b, under;
    bool decided;
    stamps[0] = STAMP(0);
    stamps[1] = STAMP(1);
    decided = FIRST(0);
    a = slot[0];
#ifndef BROKEN_LIST_NOT_LOOKED_AT
    if :: decided -> a = NEW :: else fi;
#endif
    decided = FIRST(1);
    atomic { b = slot[1]; under = under_other };
#ifndef BROKEN_LIST_NOT_LOOKED_AT
    if :: decided -> b = NEW :: else fi;
#endif
    if
    :: STAMP(0) == stamps[0] ->
        atomic {
            if
            :: STAMP(1) == stamps[1] -> assert((a == NEW) == (b == NEW || (b == OTHER && under == NEW)))
            :: else
            fi
        }
    :: else
    fi
}

#define PLACES(k, r) ((slot[k] == (r)) + (held && cells[k] == (r)) + freed[4 * (k) + (r)] + ((k) == 1 && writers_cell == (r)))

init {
    atomic {
        slot[0] = OLD;
        slot[1] = OLD;
        run transaction();
        run reaper();
        run writer();
        run snapshot();
        run unlocked()
    };
    _nr_pr == 1;
    assert(!intent[0] && !intent[1] && !held);
    assert(ALL_OR_NONE(slot[0], slot[1]));
    assert(PLACES(0, OLD) == 1 && PLACES(0, NEW) == 1);
    assert(PLACES(1, OLD) == 1 && PLACES(1, NEW) == 1 && PLACES(1, OTHER) == 1)
}
