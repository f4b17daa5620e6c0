"""A named, persistent key-value store in shared memory.

    import shmkv

    with shmkv.open("sessions") as kv:      # create or attach
        kv["user:7"] = "Ada"                # bytes, str (as UTF-8) or any buffer
        print(kv["user:7"])                 # b'Ada'
        for key, value in kv.items():       # no lock is held
            print(key, len(value))
    shmkv.unlink("sessions")                # it stays until then

Any number of processes, in Python, Perl, Ruby or C, open the same segment by name.
Readers never wait; a process that is killed leaves every key with its old or its new
value. The segment outlives every process; it goes with unlink(), or with the next
boot. A name with a slash ("/dir/file", "./file", "../file") is a regular file.

Errors are a class per code, all of them a shmkv.Error with `code`, `name`
("SHMKV_EKEY") and `detail`. BadName, BadKey, BadValue, BadArgument (which are
ValueErrors), ReadOnly, Closed, Deadlock: the call is wrong. NotFound (a KeyError): no
such key. TimedOut, Busy, NoSpace, NoSlots, ReserveTooSmall, Stale: try again, or give
it more. NoSegment, Foreign, Format, Corrupt, WrongOwner, NoSharedMemory: not there,
not ours, or not whole. SystemFailure (an OSError; ask its errno, since it is none of
the classes for single numbers): a system call failed. A key, value or name of the
wrong type is a TypeError.
"""

import collections.abc
import os

from . import _shmkv

# One class per error code; the extension made them from the core's own list.
for _class in _shmkv.error_classes:
    globals()[_class.__name__] = _class

__all__ = ["Store", "open", "unlink", "version"]
__all__ += [_class.__name__ for _class in _shmkv.error_classes]

__version__ = "0.1.0"

_KEYS, _VALUES, _ITEMS = 0, 1, 2
_MODES = {"c": 0, "n": 1, "w": 2, "r": 3}
_STAY, _ANY_OWNER, _HUGE_PAGES = 1, 2, 4

# Options that are numbers, with their largest value, in the order of the constructor.
_LIMITS = {
    "reserve": 2**64 - 1,
    "lock_timeout_ms": 2**32 - 1,
    "permissions": 0o7777,
    "owner_slots": 2**32 - 1,
    "max_size": 2**64 - 1,
}


class _KeysView(collections.abc.KeysView):
    __slots__ = ()

    def __iter__(self):
        return self._mapping.cursor(_KEYS)


class _ValuesView(collections.abc.ValuesView):
    __slots__ = ()

    def __contains__(self, value):
        value = _as_bytes(value)
        return any(value == other for other in self)

    def __iter__(self):
        return self._mapping.cursor(_VALUES)


class _ItemsView(collections.abc.ItemsView):
    __slots__ = ()

    def __contains__(self, item):
        key, value = item
        return self._mapping.get(key) == _as_bytes(value)

    def __iter__(self):
        return self._mapping.cursor(_ITEMS)


def _as_bytes(value):
    return value.encode() if isinstance(value, str) else value


class Store(_shmkv.Store):
    """An open segment, as a mutable mapping from bytes to bytes. Made by open().

    Keys (1 to 65536 bytes) and values (0 to 4294967295 bytes) may be given as bytes,
    str, which means its UTF-8, or anything with a buffer; what comes back is bytes.

    Any thread may use it. One that was opened before a fork works in both processes.
    A pickled Store opens the segment again, by name. After close(), whatever else is
    called raises Closed. "Never blocks" means that no lock is taken, whatever other
    processes do.

    What a mapping does in several steps (pop, setdefault, popitem, clear, update) is
    several steps here too: another process may come between them.
    """

    # get, put and exists; [], in, len, del and iter are slots of the base.
    locals().update(_shmkv.fast_methods)

    def __init__(self, name, flag="c", **options):
        """As open()."""
        mode = _MODES.get(flag) if isinstance(flag, str) else None
        if mode is None:
            _shmkv.refuse_argument("flag is 'r', 'w', 'c' or 'n', not %r" % (flag,))
        self._opened_with = (name, flag, options)
        flags = 0
        numbers = dict.fromkeys(_LIMITS, 0)
        for option, value in options.items():
            if option == "stay":
                flags |= _STAY if value else 0
            elif option == "any_owner":
                flags |= _ANY_OWNER if value else 0
            elif option == "huge_pages":
                flags |= _HUGE_PAGES if value else 0
            elif option not in _LIMITS:
                raise TypeError("open() got an unexpected keyword argument %r" % option)
            elif not isinstance(value, int):
                raise TypeError("%s must be an int, not %s" % (option, type(value).__name__))
            elif not 0 <= value <= _LIMITS[option]:
                _shmkv.refuse_argument("%s is from 0 to %d" % (option, _LIMITS[option]))
            else:
                numbers[option] = value
        super().__init__(os.fsencode(name), mode, flags, *numbers.values())

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

    def keys(self):
        """A view of the keys, which walks without a lock.

        A key that is there from beginning to end is given once. Iterating raises Stale
        when the segment is replaced meanwhile, and Closed after close().
        """
        return _KeysView(self)

    def values(self):
        """A view of the values; see keys()."""
        return _ValuesView(self)

    def items(self):
        """A view of the pairs; see keys()."""
        return _ItemsView(self)

    def setdefault(self, key, default=b""):
        """The value of key; when there is none, default (empty unless given), which is stored."""
        value = self.get(key)
        if value is None:
            self.put(key, default)
            value = default.encode() if isinstance(default, str) else bytes(default)
        return value

    def pop(self, key, *default):
        """Remove key and return its value; when there is none, default, or NotFound."""
        if len(default) > 1:
            raise TypeError("pop() takes 1 to 2 arguments (%d given)" % (1 + len(default)))
        while (value := self.get(key)) is not None:
            if self.delete(key):
                return value
        if default:
            return default[0]
        raise NotFound(key)

    def popitem(self):
        """Remove some pair and return it; KeyError when there is none."""
        for key, value in self.items():
            if self.delete(key):
                return key, value
        raise KeyError("popitem(): the store is empty")

    def clear(self):
        """Remove all keys, one by one."""
        for key in self:
            self.delete(key)

    update = collections.abc.MutableMapping.update

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
        return _reopen, (name, "c" if flag == "n" else flag, options)

    def __repr__(self):
        return "<shmkv.Store %r%s>" % (self.name, " (closed)" if self.closed else "")


collections.abc.MutableMapping.register(Store)


def _reopen(name, flag, options):
    return Store(name, flag, **options)


def open(name, flag="c", **options):
    """Open the segment `name` and return a Store, which is also a context manager.

    flag         'r' attach, on a read-only mapping; 'w' attach; 'c' create or attach;
                 'n' a new, empty segment takes the name, safely at any time
    permissions, owner_slots, max_size
                 of a segment that is created: mode bits (0o600), number of concurrent
                 writers (512), bytes that it will not outgrow (none)
    reserve, lock_timeout_ms
                 address space to set aside, in bytes; how long to wait for the lock of
                 a live process (5000)
    stay         raise Stale when the segment is replaced, instead of moving along
    any_owner    accept a segment that belongs to somebody else
    huge_pages   map by huge pages what the system gives them for; worth it from some
                 100,000 entries on (huge_bytes of info() tells what came of it)

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
    _shmkv.unlink_segment(os.fsencode(name))


def version():
    """The library's version."""
    return _shmkv.library_version()
