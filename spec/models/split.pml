/*
 * A shard's directory doubles and its only group splits, by a writer who may die at any step
 * and be finished by another, while a reader looks for a key and a cursor walks.
 * Spec 6.2, 6.5, 6.8, 7.1: [OP-04] [OP-05] [OP-14] [OP-17] [LAYOUT-19] [LAYOUT-21] [LAYOUT-22].
 *
 * Two keys, 0 and 1, named for the one hash bit that the split is about; both are there all
 * the time. Memory is three group pages and two directories. What is withdrawn is used again at
 * once, for something else: a page that holds neither key, a directory with no words.
 *
 * Left out: buckets, tags and records (read.pml), the lock (lock.pml: whoever comes next gets
 * it and replays), allocation.
 *
 * Proved: the reader always finds its key; the cursor gives each key exactly once; what is
 * left after any death and its recovery is the old index or the new one.
 */
#define NOTHING 9
#define NO_DIRECTORY 2

byte root = 0;                  /* which directory */
byte root_depth = 0;
byte words[4];                  /* directory d, index i: words[2*d+i]: a page */
byte depths[4];                 /* its local depth */
byte page[6];                   /* page p has key k: page[2*p+k] */
byte own_old_page = NOTHING, own_old_directory = NO_DIRECTORY;

/* The intent: 0 idle, 1 double (conditional), 2 split (always). */
byte intent;
bool may_die = true;
bool ready;                     /* for the successor */

#define MAY_DIE if :: skip :: may_die -> may_die = false; goto dead fi

inline apply_double(from_commit) {
    if
    :: from_commit -> atomic { root = 1; root_depth = 1 }
    :: else
    fi;
    MAY_DIE;
    own_old_directory = 0;
    MAY_DIE;
    intent = 0;
    MAY_DIE
}

inline apply_split() {
    atomic { words[2] = 1; depths[2] = 1 };
    MAY_DIE;
    atomic { words[3] = 2; depths[3] = 1 };
    MAY_DIE;
    own_old_page = 0;
    MAY_DIE;
    intent = 0;
    MAY_DIE
}

inline replay() {
    if
    :: intent == 1 ->
        if
        :: root == 1 -> apply_double(false)
        :: else -> intent = 0
        fi
    :: intent == 2 ->
#ifdef BROKEN_SPLIT_NOT_REPLAYED
        intent = 0
#else
        apply_split()
#endif
    :: else
    fi
}

/* Memory that nothing leads to any more becomes something else. */
inline use_again() {
    if
    :: own_old_directory != NO_DIRECTORY ->
        own_old_directory = NO_DIRECTORY;
        words[0] = NOTHING
    :: else
    fi;
    if
    :: own_old_page == 0 ->
        own_old_page = NOTHING;
        page[0] = 0;
        page[1] = 0
    :: else
    fi
}

inline double_and_split() {
    if
    :: root == 0 ->
#ifdef BROKEN_ROOT_BEFORE_WORDS
        atomic { root = 1; root_depth = 1 };
#endif
        atomic { words[2] = words[0]; depths[2] = depths[0] };
        MAY_DIE;
        atomic { words[3] = words[0]; depths[3] = depths[0] };
        MAY_DIE;
        intent = 1;
        MAY_DIE;
        apply_double(true)
    :: else
    fi;
    use_again();
    if
    :: depths[2] == 0 ->
#ifdef BROKEN_WORDS_BEFORE_GROUPS
        intent = 2;
        apply_split();
        page[2] = 1;
        page[5] = 1
#else
        page[2] = 1;
        MAY_DIE;
        page[5] = 1;
        MAY_DIE;
        intent = 2;
        MAY_DIE;
#ifdef BROKEN_PAGE_USED_EARLY
        page[0] = 0;
#endif
        apply_split()
#endif
    :: else
    fi;
    use_again()
}

proctype writer() {
    double_and_split();
    goto end;
dead:
    ready = true;
end:
    skip
}

/* Takes over the lock of the dead, and then does what it had wanted to do. */
proctype successor() {
    if
    :: ready ->
        replay();
        double_and_split()
    :: timeout
    fi;
    goto end;
dead:
    assert(false);
end:
    skip
}

/* Spec 6.2, with the bucket reduced to whether the page has the key. */
proctype reader() {
    byte key, r, d, w, index;
    bool found, again;
    if :: key = 0 :: key = 1 fi;
    do
    :: again = false;
        atomic { r = root; d = root_depth };
        index = key & d;
        w = words[2 * r + index];
        if
        :: w == NOTHING -> found = false
        :: else -> found = page[2 * w + key]
        fi;
        if :: words[2 * r + index] != w -> again = true :: else fi;
#ifndef BROKEN_ROOT_NOT_CHECKED
        if :: root != r -> again = true :: else fi;
#endif
        if :: again :: else -> break fi
    od;
    assert(found)
}

/* Spec 6.5, step by step. A group that all positions name is given whole; otherwise a key
 * counts only in the group that the word at the key's own position names. */
proctype cursor() {
    byte prefix, bits, r, d, w, index;
    byte given[2], before[2];
    bool again;
    do
    :: prefix == 2 -> break
    :: else ->
        atomic { before[0] = given[0]; before[1] = given[1] };
        again = false;
        atomic { r = root; d = root_depth };
        /* Standing at prefix 0 of depth 0 means all; having seen one half of depth 1, the other. */
        index = prefix & d;
        w = words[2 * r + index];
        if
        :: w == NOTHING -> again = true
        :: else ->
            if
            :: depths[2 * r + index] == 0 && prefix == 0 -> bits = 0
            :: else -> bits = 1
            fi;
            if
            :: bits == 0 ->
                if :: page[2 * w] && words[2 * r] == w -> given[0]++ :: else fi;
                if :: page[2 * w + 1] && words[2 * r + (1 & d)] == w -> given[1]++ :: else fi
            :: else ->
                if :: page[2 * w + prefix] -> given[prefix]++ :: else fi
            fi
        fi;
#ifndef BROKEN_CURSOR_DOES_NOT_LOOK_AGAIN
        if :: words[2 * r + index] != w || (bits == 0 && words[2 * r + (1 & d)] != w) -> again = true :: else fi;
        if :: root != r -> again = true :: else fi;
#endif
        if
        :: again -> atomic { given[0] = before[0]; given[1] = before[1] }
        :: else ->
            if :: bits == 0 -> prefix = 2 :: else -> prefix++ fi
        fi
    od;
    assert(given[0] == 1 && given[1] == 1)
}

init {
    atomic {
        words[1] = NOTHING;
        words[2] = NOTHING;
        words[3] = NOTHING;
        page[0] = 1;
        page[1] = 1;
        run writer();
        run successor();
        run reader();
        run cursor()
    };
    _nr_pr == 1;
    assert(root == 1 && words[2] == 1 && words[3] == 2 && page[2] && page[5] && !intent)
}
