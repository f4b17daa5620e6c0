"""A named, persistent key-value store in shared memory.

    import shmkv

    with shmkv.open("sessions") as kv:      # create or attach
        kv["user:7"] = "Ada"                # str, bytes, int, float, bool, None, list, dict
        print(kv["user:7"])                 # Ada
        for key, value in kv.items():       # no lock is held
            print(key, len(value))
    shmkv.unlink("sessions")                # it stays until then

Any number of processes, in Python, Perl, Ruby or C, open the same segment by name.
Readers never wait; a process that is killed leaves every key with its old or its new
value. The segment outlives every process; it goes with unlink(), or with the next
boot. A name with a slash ("/dir/file", "./file", "../file") is a regular file.

Errors are a class per code, all of them a shmkv.Error with `code`, `name`
("SHMKV_EKEY"), `detail` and, of a call for many keys, `done`. BadName, BadKey, BadValue,
BadArgument (which are ValueErrors), BadType, Overflow, ReadOnly, Frozen, Closed, Deadlock:
the call is wrong. NotFound (a KeyError, whose args are the key as it was given; `segment` is the name): no
such key. TimedOut, Busy, NoSpace, NoSlots,
ReserveTooSmall, Stale: try again, or give it more. NoSegment, Foreign, Format, Corrupt,
BadDump, WrongOwner, NoSharedMemory: not there, not ours, or not whole. Changed: a named
lock was lost. SystemFailure (an OSError; ask its errno, since it is none of the classes for
single numbers): a system call failed. Exists and BufferTooSmall exist as well, but what
they say is an answer here. Whatever is of the wrong type is a TypeError, also an option of
open(); what has the right one and will not do is a BadKey, BadValue, BadName or BadArgument.
A message about an operation names the segment and the key.
"""

import collections.abc
import contextlib
import importlib
import itertools
import os
import types

from . import _json, _shmkv

_shmkv.use_json(_json.encode, _json.decode)

# One class per error code; the extension made them from the core's own list.
for _class in _shmkv.error_classes:
    globals()[_class.__name__] = _class

NotFound.segment = None  # of one that is made by hand
NotFound.__str__ = lambda error: error.detail or KeyError.__str__(error)

__all__ = ["Cursor", "Store", "Transaction", "open", "unlink", "version"]
__all__ += [_class.__name__ for _class in _shmkv.error_classes]

__version__ = "0.1.0"

_KEYS, _VALUES, _ITEMS = 0, 1, 2
_ALWAYS, _IF_ABSENT, _IF_PRESENT = 0, 1, 2
_ADD, _SUBTRACT, _AT_LEAST, _AT_MOST = 0, 1, 2, 3
_SNAPSHOT = 1
_KEEP, _REPLACE = 1, 2
_ABSENT = object()
_MODES = {"c": 0, "n": 1, "w": 2, "r": 3}
_STAY, _ANY_OWNER, _HUGE_PAGES = 1, 2, 4

# Options that are numbers, with their largest value, in the order of the constructor;
# the last two come behind default_ttl.
_LIMITS = {
    "reserve": 2**64 - 1,
    "lock_timeout_ms": 2**32 - 1,
    "permissions": 0o7777,
    "owner_slots": 2**32 - 1,
    "max_size": 2**64 - 1,
    "max_entries": 2**64 - 1,
    "max_bytes": 2**64 - 1,
}


Cursor = _shmkv.Cursor


def _prefix(prefix, of):
    """As bytes, or None."""
    if prefix is None:
        return None
    if isinstance(prefix, str):
        return prefix.encode()
    try:
        return bytes(memoryview(prefix))
    except TypeError:
        raise TypeError("%s: a prefix must be bytes, str or a buffer, not %s" % (of, type(prefix).__name__)) from None


class _Prefixed:
    """What the views have in common: they may be of the keys that begin with a prefix."""

    __slots__ = ()

    def __init__(self, mapping, prefix=None):
        super().__init__(mapping)
        self._prefix = _prefix(prefix, mapping.name)

    def __repr__(self):
        prefix = "" if self._prefix is None else ", prefix=%r" % self._prefix
        return "%s(%r%s)" % (type(self).__name__[1:], self._mapping, prefix)

    def __len__(self):
        if self._prefix is None:
            return len(self._mapping)
        return sum(1 for _ in self._mapping._cursor(_KEYS, self._prefix, None))

    def __iter__(self):
        return self._mapping._cursor(self._what, self._prefix, None)

    def _has(self, key):
        """Whether a key that is there is one of these."""
        return self._prefix is None or (key.encode() if isinstance(key, str) else bytes(key)).startswith(self._prefix)


class _KeysView(_Prefixed, collections.abc.KeysView):
    __slots__ = ("_prefix",)
    _what = _KEYS

    def __contains__(self, key):
        return key in self._mapping and self._has(key)


class _ValuesView(_Prefixed, collections.abc.ValuesView):
    __slots__ = ("_prefix",)
    _what = _VALUES

    def __contains__(self, value):
        return any(found is value or found == value for found in self)


class _ItemsView(_Prefixed, collections.abc.ItemsView):
    __slots__ = ("_prefix",)
    _what = _ITEMS

    def __contains__(self, item):
        if not isinstance(item, tuple) or len(item) != 2 or not (item[0] in self._mapping and self._has(item[0])):
            return False
        found = self._mapping.get(item[0], _ABSENT)
        return found is not _ABSENT and found == item[1]


def _seconds(ttl, of, what="ttl"):
    """For what does not go to the extension at once, which takes a negative number for None."""
    if ttl is None:
        return -1.0
    if not hasattr(type(ttl), "__float__") and not hasattr(type(ttl), "__index__"):
        raise TypeError("%s: %s must be a number of seconds, not %s" % (of, what, type(ttl).__name__))
    try:
        seconds = float(ttl)
    except OverflowError:
        seconds = -1.0
    if not seconds >= 0:
        _shmkv.refuse_argument(of, "%s is a number of seconds from 0 on, not %s" % (what, _shown(ttl)))
    return seconds


def _shown(number):
    try:
        return repr(number)[:80]
    except ValueError:  # of a very large integer
        return "that"


def _name(name):
    try:
        return os.fsencode(name)
    except TypeError:
        raise TypeError("a segment name must be str, bytes or os.PathLike, not %s" % type(name).__name__) from None


def _descriptor(file, of):
    """The descriptor of an open file; None for the name of a file."""
    if isinstance(file, (str, bytes, os.PathLike)):
        return None
    if isinstance(file, int):
        return file
    if not hasattr(file, "fileno"):
        raise TypeError("%s: file must be a path, an open file or a descriptor, not %s" % (of, type(file).__name__))
    return file.fileno()


@contextlib.contextmanager
def _unbuffered(file, fd):
    """While others read from the descriptor: it stands where the file object does, and in the end
    the object stands where the descriptor does."""
    file = getattr(file, "buffer", file)  # of text
    if isinstance(file, int) or not getattr(file, "seekable", lambda: False)():
        yield
        return
    os.lseek(fd, file.tell(), os.SEEK_SET)
    try:
        yield
    finally:
        position = os.lseek(fd, 0, os.SEEK_CUR)
        file.seek(0, os.SEEK_END)  # or else it would trust what it has read ahead
        file.seek(position)


class _Lock:
    """A named lock as a context manager, which gives the token."""

    __slots__ = "_store", "_name", "_timeout", "_token"

    def __init__(self, store, name, timeout):
        if not isinstance(name, (str, bytes)):
            with contextlib.suppress(TypeError):  # which entering tells, with the place
                name = bytes(memoryview(name))  # it is let go by the name by which it was taken
        self._store, self._name, self._timeout, self._token = store, name, timeout, None
        _seconds(timeout, store.name, "timeout")

    # In C, so that no Ctrl-C can come between the lock and the note of it; what is noted goes with the object.
    locals().update(_shmkv.lock_methods)

    def __repr__(self):
        return "<shmkv lock %r of %r>" % (self._name, self._store.name)


class Transaction:
    """What the function of Store.transaction() is given: the keys that were declared.

    It shows their values as they were at one moment, with what the function itself has put or
    removed. Other keys raise BadArgument, and so does everything once the function has returned.
    """

    __slots__ = ("_txn",)
    __iter__ = None  # or it would be tried with the keys 0, 1, 2

    def __init__(self, txn):
        self._txn = txn

    def __getitem__(self, key):
        if not self._txn.exists(key):
            self._txn._missing(key, key)
        return self._txn.get(key)

    def __setitem__(self, key, value):
        self._txn.put(key, value)

    def __delitem__(self, key):
        if not self._txn.delete(key):
            self._txn._missing(key, key)

    def __contains__(self, key):
        return self._txn.exists(key)

    def get(self, key, default=None):
        """The value of key, or default when there is none."""
        return self._txn.get(key) if self._txn.exists(key) else default

    def exists(self, key):
        """Whether there is a value."""
        return self._txn.exists(key)

    def put(self, key, value):
        """Let key have this value."""
        self._txn.put(key, value)

    def set(self, key, value, *, ttl=None, bound=False):
        """The same, with an end; options as of Store.set()."""
        self._txn.set(key, value, ttl, bound)

    def delete(self, key):
        """Let key have none; tells whether it had one."""
        return self._txn.delete(key)


class Store(_shmkv.Store):
    """An open segment, as a mutable mapping from bytes to values. Made by open().

    Keys (1 to 65536 bytes) may be given as bytes, str, which means its UTF-8, or anything
    with a buffer; what comes back is bytes. Values keep their type, in other languages too:
    bytes (also from anything with a buffer), str, int of 64 bits, float, bool, None, and lists
    and dicts of those but bytes, as JSON. What would lose something is refused: larger
    integers (BadValue); inside, NaN, more than 512 levels, other keys than str (ValueError, TypeError). Text that a
    peer stored and that is none raises BadType; get_bytes() gives the bytes of any value.

    Any thread may use it. Others run while a call sleeps or goes through the whole segment, where its
    description says so; a change of one key keeps the interpreter to itself, also in the rare case that
    it waits for a process that was stopped in the middle of one, up to lock_timeout_ms.
    One that was opened before a fork works in both processes. It has two
    descriptors of its own when it can write: who closes descriptors that it has not opened, as a daemon may when
    it starts, opens the segment afterwards. A child that gives up its right to open it (setuid) can
    read on, but not write.
    A pickled Store opens the segment again, by name ('n' as 'c'), and so do copy.copy() and copy.deepcopy():
    all of them are the same pairs. After close(), whatever else is called raises Closed. "Never
    blocks" means that no lock is taken, whatever other processes do.

    Of a dict it has what collections.abc.MutableMapping has, and |=. It is equal to a mapping with equal
    pairs, whose keys are bytes. What cannot be a key is not in it: 5 in kv is False, and where a key is
    asked for, a TypeError. As keys lie in no order, reversed() does not take it; | , copy() and
    fromkeys() would make a new Store, which needs a name: use get_all(), or open() and update().

    setdefault(), pop(), popitem() and modify() are atomic. clear() and update() are several
    steps: another process may come between them.
    """

    # get, put and exists; [], in, len, del and iter are slots of the base.
    locals().update(_shmkv.fast_methods)

    def __init__(self, name, flag="c", **options):
        """As open()."""
        name_bytes = _name(name)
        of = os.fsdecode(name)
        if not isinstance(flag, str):
            raise TypeError("%s: flag must be a str, not %s" % (of, type(flag).__name__))
        mode = _MODES.get(flag)
        if mode is None:
            _shmkv.refuse_argument(of, "flag is 'r', 'w', 'c' or 'n', not %r" % flag)
        self._opened_with = (name, flag, options)
        flags = 0
        codec = None
        default_ttl = 0.0
        evict = 0
        numbers = dict.fromkeys(_LIMITS, 0)
        for option, value in options.items():
            if option == "stay":
                flags |= _STAY if value else 0
            elif option == "any_owner":
                flags |= _ANY_OWNER if value else 0
            elif option == "huge_pages":
                flags |= _HUGE_PAGES if value else 0
            elif option == "evict":
                evict = 1 if value else 0
            elif option == "codec":
                codec = value
            elif option == "default_ttl":
                default_ttl = 0.0 if value is None else _seconds(value, of, option)
            elif option not in _LIMITS:
                raise TypeError("%s: open() got an unexpected keyword argument %r" % (of, option))
            elif not isinstance(value, int):
                raise TypeError("%s: %s must be an int, not %s" % (of, option, type(value).__name__))
            elif not 0 <= value <= _LIMITS[option]:
                _shmkv.refuse_argument(of, "%s is from 0 to %d, not %s" % (option, _LIMITS[option], _shown(value)))
            else:
                numbers[option] = value
        if codec is not None and not (callable(getattr(codec, "dumps", None)) and callable(getattr(codec, "loads", None))):
            raise TypeError("%s: codec must have dumps() and loads()" % of)
        *limits, max_entries, max_bytes = numbers.values()
        super().__init__(name_bytes, mode, flags, *limits, default_ttl, max_entries, max_bytes, evict)
        if codec is not None:
            self._use_codec(codec.dumps, codec.loads)

    @property
    def name(self):
        """The name, as given to open()."""
        return os.fsdecode(super().name())

    @property
    def closed(self):
        """Whether close() has been called."""
        return super().closed()

    def unlink(self):
        """Remove the segment's name; see unlink()."""
        unlink(self.name)

    def keys(self, *, prefix=None):
        """A view of the keys, which walks without a lock.

        A key that is there from beginning to end is given once. Iterating raises Stale
        when the segment is replaced meanwhile, and Closed after close().

        prefix  only the keys that begin with these bytes, or this str. All are looked at all the
                same: keys lie in no order. len() of such a view walks, too.
        """
        return _KeysView(self, prefix)

    def values(self, *, prefix=None):
        """A view of the values, or of those whose keys begin with prefix; see keys()."""
        return _ValuesView(self, prefix)

    def items(self, *, prefix=None):
        """A view of the pairs, or of those whose keys begin with prefix; see keys()."""
        return _ItemsView(self, prefix)

    def cursor(self, *, prefix=None, position=None, keys_only=False):
        """An iterator over the pairs, or the keys, that knows where it stands.

        prefix    as of keys()
        position  where to go on: the `position` of another cursor, of any process, also one that
                  has ended since. The two together give each key that is there from the
                  beginning of the one to the end of the other exactly once, however the
                  segment has grown in between. Bytes that are none raise BadArgument,
                  and those of another segment, also one of the same name, Stale.

        Otherwise as keys(). close() ends it.
        """
        return self._cursor(_KEYS if keys_only else _ITEMS, prefix, position)

    def put_many(self, pairs, *, ttl=None, bound=False):
        """Store all of a mapping, or of an iterable of pairs, one after the other.

        If a key or a value is wrong, nothing is stored. If it raises later (NoSpace, TimedOut),
        those before are stored, and `done` of the error tells how many. Nothing else is promised of all of
        them together: see transaction(). Takes less time than one put() after the other when
        there is more in the segment than the processor's caches hold; a thousand pairs at
        a time are best. Other Python threads run meanwhile. Options as of set(), for all
        of them.
        """
        if hasattr(pairs, "keys"):
            pairs = pairs.items() if isinstance(pairs, collections.abc.Mapping) else [(k, pairs[k]) for k in pairs.keys()]
        self._put_many(pairs, ttl, bound)

    def set(self, key, value, *, ttl=None, bound=False):
        """Store value under key, as put() does, with an end.

        ttl    seconds from now after which the entry is absent; None: the segment's
               default; infinity: never
        bound  the entry goes when this Store is closed or this process ends, even by
               kill -9: whoever looks next does not find it. To know that, readers ask
               the kernel, about ten microseconds for each bound entry
        """
        self._store_as(key, _ALWAYS, value, ttl, bound)

    def add(self, key, value, *, ttl=None, bound=False):
        """Store value if key is absent; tells whether it was stored. Options as of set()."""
        return self._store_as(key, _IF_ABSENT, value, ttl, bound)

    def replace(self, key, value, *, ttl=None, bound=False):
        """Store value if key is present; tells whether it was stored. Options as of set()."""
        return self._store_as(key, _IF_PRESENT, value, ttl, bound)

    def swap(self, key, value, *, ttl=None, bound=False):
        """Store value and return the one before, or None. Options as of set()."""
        return super().swap(key, value, ttl, bound)

    def cas(self, key, version, value, *, ttl=None, bound=False):
        """Store value if the present one still has this version, from get_item().

        version 0: if there is none. Tells whether it was stored. Options as of set().
        """
        return super().cas(key, version, value, ttl, bound)

    def cas_value(self, key, expected, value, *, ttl=None, bound=False):
        """Store value if the present one is `expected`, of the same type; tells whether
        it was stored. Options as of set()."""
        return super().cas_value(key, expected, value, ttl, bound)

    def _check_function(self, key, function):
        if not callable(function):
            key = "" if key is None else " (key %r)" % key
            raise TypeError("%s: function must be callable, not %s%s" % (self.name, type(function).__name__, key))

    def setdefault(self, key, default=None, *, ttl=None, bound=False):
        """The value of key; when there is none, default, which is stored. Options as of set()."""
        return super().get_or_set(key, default, ttl, bound)

    get_or_set = setdefault

    def incr(self, key, amount=1, initial=0):
        """Add amount to the number under key, or to initial when there is none; the new number.

        Integers stay integers of 64 bits: Overflow, and nothing changes, if the sum is
        none. With a float for amount or initial it is a float. BadType when the value
        is no such number.
        """
        return self._count_with(key, _ADD, amount, initial)

    def decr(self, key, amount=1, initial=0):
        """Subtract; see incr()."""
        return self._count_with(key, _SUBTRACT, amount, initial)

    def at_least(self, key, number):
        """Make the number under key at least this; the new number. As incr() otherwise."""
        return self._count_with(key, _AT_LEAST, number, number)

    def at_most(self, key, number):
        """Make the number under key at most this; the new number. As incr() otherwise."""
        return self._count_with(key, _AT_MOST, number, number)

    def modify(self, key, function, *, ttl=None, bound=False):
        """Store what function(value) returns, and return it; value is None when there is none.

        No lock is held while function runs. If another process comes between, it runs
        again, so it should do nothing else. An exception from it changes nothing.
        Without ttl the entry ends when it would have; a new one, when the segment's do. bound
        as of set(): without it the entry stays when its process ends.
        """
        self._check_function(key, function)
        while True:
            item = self.get_item(key)
            value = function(item and item["value"])
            version, expires_ns = (item["version"], item["expires_ns"] or 0) if item else (0, 0)
            if self._store_modified(key, version, expires_ns, value, ttl, bound):
                return value

    def pop(self, key, default=_ABSENT):
        """Remove key and return its value; when there is none, default, or NotFound."""
        value = self.take(key, default)
        if value is _ABSENT:
            self._missing(key, key)
        return value

    def popitem(self):
        """Remove some pair and return it; KeyError when there is none. Atomic, as take() is."""
        pair = self._pop_pair()
        if pair is None:
            raise KeyError("%s: popitem(): the store is empty" % self.name)
        return tuple(pair)

    def touch(self, key, ttl=None):
        """Let the entry end in ttl seconds, or never; tells whether there is one."""
        return super().touch(key, ttl)

    def sweep(self, max_steps=0):
        """Reclaim the memory of entries that have expired or whose process is gone; how many.

        What has expired is absent without this, but takes room and is counted by len() until
        it is swept, overwritten, or a put needs its room: so a store keeps its size without
        sweeps. max_steps bounds the work of one call, which goes on where the last one ended; 0: all.
        Waits and raises as put() does; other Python threads run meanwhile.
        """
        return super().sweep(max_steps)

    def transaction(self, keys, function):
        """Change several keys together: all changes are made or none, also when the process is killed.

            def move(txn):
                txn["a"] -= 10
                txn["b"] += 10
            kv.transaction(["a", "b"], move)

        keys      1 to 1024 different ones; the function can use no others
        function  is given a Transaction. Returns what it returns.

        No lock is held while function runs. If one of the keys has changed meanwhile, also one that it
        only read, it runs again, on fresh values, so it should do nothing else: what it does with
        the store itself is no part of the transaction. An exception from it changes nothing.
        get_all() and other transactions see all of the changes or none; a get() sees one key.
        Raises Busy when the keys keep changing for as long as the lock timeout, Closed when
        function closes the store, and what put() does; then nothing has changed.
        """
        self._check_function(None, function)
        return super().transaction(keys, lambda txn: function(Transaction(txn)))

    def wait(self, key, version=None, timeout=None):
        """Wait until the value of key is another one, or gone, or there.

        version  than the one with this version, from get_item(), 0 for none; None: than the
                 present one
        timeout  in seconds; None: for ever

        Tells whether it is; False: time is up. Sleeps until a writer wakes it. Other Python threads
        run meanwhile, and signal handlers, within 100 ms, which may raise. Raises ReadOnly on
        a read-only store, and Frozen.
        """
        return super().wait(key, version is not None, 0 if version is None else version, timeout)

    def watch(self, position=0, timeout=None):
        """Wait until anything changes; returns a pair: whether something has, and the position
        from which to watch on without missing anything. 0: from now. Otherwise as wait()."""
        return tuple(super().watch(position, timeout))

    def lock(self, name, timeout=None):
        """Hold the lock `name` in a with statement: nobody else holds it meanwhile.

        Names of locks are apart from keys. The with statement gives a number that no other
        holder gets in this segment; an earlier one may have had a larger one. The lock goes at the end of the
        statement, with what this returns, with the store, and with the process, however that ends:
        whoever waits then gets it. A stopped process keeps it. Entering raises TimedOut after
        timeout seconds (None: never; the detail names the holder) and Deadlock if this thread
        holds it already; leaving raises Changed if it was lost, because the segment was replaced,
        and in a child that was forked inside: the parent's lock stays. Other Python threads run
        meanwhile, and signal handlers, within 100 ms, which may raise.
        """
        return _Lock(self, name, timeout)

    def get_or_compute(self, key, function, *, timeout=None, ttl=None, bound=False):
        """The value of key; when there is none, what function() returns, which is stored.

        Of all who ask at once one computes, under lock(key), and the others wait for its result,
        at most timeout seconds (TimedOut). If it raises or dies, the next one computes.
        """
        self._check_function(key, function)
        _seconds(ttl, self.name)
        value = self.get(key, _ABSENT)
        if value is _ABSENT:
            with self.lock(key, timeout):
                value = self.get(key, _ABSENT)
                if value is _ABSENT:
                    value = function()
                    self.set(key, value, ttl=ttl, bound=bound)
        return value

    def dump(self, file, *, snapshot=False):
        """Write all entries as a stream, with types and expiry; return their number.

        load() reads it, in any language and on any machine.

        file      a path, whose name is taken when the dump is whole and on disk (mode 0600);
                  or an open file with a descriptor of its own, or a descriptor. Not gzip and the
                  like: they do not see what is written.
        snapshot  all entries as of one moment; else each is as of its own

        Bound entries are left out. No lock is held while it writes; other Python threads run
        meanwhile. Raises Stale when the segment is replaced meanwhile, NoSpace, SystemFailure
        and others. While it waits for the reader of a pipe, Ctrl-C has no effect.
        """
        fd = _descriptor(file, self.name)
        flags = _SNAPSHOT if snapshot else 0
        if fd is None:
            return self._dump_path(os.fsencode(file), flags)
        if hasattr(file, "flush"):
            file.flush()
        return self._dump_fd(fd, flags)

    def load(self, file, *, keep=False, replace=False):
        """Store the entries of a dump; return their number.

        file     as of dump(); an open file stands behind the dump afterwards. A pipe must not
                 have been read from through a buffer.
        keep     an entry of the dump does not replace one of the same key
        replace  what the dump does not have goes too, all at once, in a new segment, and
                 only if the dump is whole

        Raises BadDump if it is not whole; without replace, what came before the damage has been
        stored then. Raises Frozen and what else put() does. Other Python threads run meanwhile.
        While it waits for the writer of a pipe, Ctrl-C has no effect.
        """
        fd = _descriptor(file, self.name)
        if keep and replace:
            _shmkv.refuse_argument(self.name, "load takes keep or replace, not both")
        flags = (_KEEP if keep else 0) | (_REPLACE if replace else 0)
        if fd is None:
            return self._load_path(os.fsencode(file), flags)
        with _unbuffered(file, fd):
            return self._load_fd(fd, flags)

    def update(self, other=(), /, **kwds):
        """Store all of a mapping, or of an iterable of pairs, and then the keywords, by put_many(), a
        thousand at a time."""
        if isinstance(other, collections.abc.Mapping):
            pairs = iter(other.items())
        elif hasattr(other, "keys"):
            pairs = ((key, other[key]) for key in other.keys())
        elif isinstance(other, collections.abc.Iterable):
            pairs = iter(other)
        else:
            raise TypeError("%s: update() takes a mapping or pairs of a key and a value, not %s" % (self.name, type(other).__name__))
        pairs = itertools.chain(pairs, kwds.items())
        while some := list(itertools.islice(pairs, 1000)):
            self._put_many(some, None, False)

    def __ior__(self, other):
        """update(), as |= of a dict."""
        self.update(other)
        return self

    def __eq__(self, other):
        if not isinstance(other, collections.abc.Mapping):
            return NotImplemented
        return self.get_all() == dict(other.items())

    __hash__ = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __reduce__(self):
        name, flag, options = self._opened_with
        codec = options.get("codec")
        if isinstance(codec, types.ModuleType):
            options = {**options, "codec": _ModuleName(codec.__name__)}
        return _reopen, (name, "c" if flag == "n" else flag, options)

    def __repr__(self):
        return "<shmkv.Store %r%s>" % (self.name, " (closed)" if self.closed else "")


collections.abc.MutableMapping.register(Store)


class _ModuleName(str):
    """In a pickle, in place of a module, which cannot be in one."""


def _reopen(name, flag, options):
    codec = options.get("codec")
    if isinstance(codec, _ModuleName):
        options = {**options, "codec": importlib.import_module(codec)}
    return Store(name, flag, **options)


def open(name, flag="c", **options):
    """Open the segment `name` and return a Store, which is also a context manager.

    flag         'r' attach, on a read-only mapping; 'w' attach; 'c' create or attach;
                 'n' a new, empty segment takes the name, safely at any time
    permissions, owner_slots, max_size, default_ttl
                 of a segment that is created: mode bits (0o600), number of concurrent
                 writers (512), bytes that it will not outgrow (none), seconds that entries
                 live which are stored without a ttl (for ever)
    max_entries, max_bytes, evict
                 of a segment that is created, and is to be a cache: the most entries, and
                 the most bytes of memory that they take (any number). A new entry then
                 puts out others, first such as have not been read or changed for a
                 while, but none that is bound to a process. With evict also when there is simply
                 no more room. A value longer than a shard's part of max_bytes is an error:
                 all of it up to 8 MiB, half up to 16, and so on, but never less than
                 4 MiB of a larger one
    reserve, lock_timeout_ms
                 address space to set aside, in bytes; how long to wait for the lock of
                 a live process (5000)
    stay         raise Stale when the segment is replaced, instead of moving along
    any_owner    accept a segment that belongs to somebody else
    huge_pages   map by huge pages what the system gives them for; worth it from some
                 100,000 entries on (huge_bytes of info() tells what came of it)
    codec        an object with dumps() and loads(), such as the module pickle, for values that
                 shmkv has no type for. dumps() gives bytes, which are stored as 'coded'; other
                 stores, and other languages, read them as bytes, unless they name a codec, too.
                 Without it, nothing is ever decoded. When loads() raises in take(), pop()
                 or swap(), the value is gone all the same. Warning: pickle, marshal and the like run
                 code that the data contains. Whoever may write to the segment then runs code in
                 this process.

    Raises BadName, BadArgument, NoSegment, Foreign, Format, Corrupt, WrongOwner,
    NoSpace, SystemFailure and others. Only 'n' may wait, for the locks of the segment
    it replaces; other Python threads run meanwhile.
    """
    return Store(name, flag, **options)


def unlink(name):
    """Remove the name. Processes that are attached keep the segment.

    Raises NoSegment, BadName, Foreign (and leaves that alone), WrongOwner or
    SystemFailure. Does not block.
    """
    _shmkv.unlink_segment(_name(name))


def version():
    """The library's version."""
    return _shmkv.library_version()
