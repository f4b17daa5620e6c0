"""shmkv in Python next to what else Python has: get and overwrite, the same loop for each store, in turns, in one
process. Prints JSON as the driver in C does; README.md tells what the numbers mean.

    bench.py [--quick] [--check]
"""

import json
import multiprocessing
import os
import platform
import random
import signal
import statistics
import sys
import tempfile
import time

import shmkv

COUNT = 5000
ROUNDS, SLICE = (2, 0.001) if "--check" in sys.argv else (5, 0.05) if "--quick" in sys.argv else (15, 0.2)

# The loop is one text, the store's expression put into it; so nobody's is better.
LOOP = """
def loop(store, keys, value):
    begin = clock()
    for key in keys:
        {expression}
    return clock() - begin
"""


class Lmdb:
    """py-lmdb: one transaction for each operation, as with any store that several processes use."""

    name, package = "lmdb", "python3-lmdb"
    get = "with store.begin() as txn: txn.get(key)"
    put = "with store.begin(write=True) as txn: txn.put(key, value)"

    def open(self, folder):
        import lmdb

        return lmdb.open(folder + "/lmdb", map_size=1 << 28, sync=False, writemap=True)

    def look(self, store, key):
        with store.begin() as txn:
            return txn.get(key)


class Mapping:
    """Whatever is used like a dict."""

    package = None
    get = "store[key]"
    put = "store[key] = value"

    def look(self, store, key):
        return store[key]


class Dict(Mapping):
    name = "dict"

    def open(self, folder):
        return {}


class Shmkv(Mapping):
    name = "shmkv"

    def open(self, folder):
        return shmkv.open(folder + "/shmkv")


class Tdb(Mapping):
    name, package = "tdb", "python3-tdb"

    def open(self, folder):
        import tdb

        flags = tdb.NOSYNC | tdb.CLEAR_IF_FIRST | getattr(tdb, "MUTEX_LOCKING", 0x1000) | tdb.INCOMPATIBLE_HASH
        return tdb.Tdb(folder + "/tdb", COUNT, flags, os.O_RDWR | os.O_CREAT)


class Diskcache(Mapping):
    name, package = "diskcache", "python3-diskcache"

    def open(self, folder):
        import diskcache

        return diskcache.Cache(folder + "/diskcache")


class Manager(Mapping):
    name = "Manager().dict()"

    def open(self, folder):
        self.manager = multiprocessing.Manager()  # its process ends with this object
        return self.manager.dict()


def make_loop(expression):
    names = {"clock": time.perf_counter}
    exec(LOOP.format(expression=expression), names)
    return names["loop"]


def check(kind, store, keys):
    """Every value is what was put; the last put of each wins."""
    put = make_loop(kind.put)
    put(store, keys, b"another")
    for key in keys:
        put(store, [key], key * 2)
    for key in keys:
        if bytes(kind.look(store, key)) != key * 2:
            sys.exit("bench.py: %s: wrong value" % kind.name)


def turn(loop, store, keys):
    """Whole walks over the keys until the slice is over. Gives nanoseconds for one operation."""
    seconds = walks = 0
    while walks == 0 or seconds < SLICE:
        seconds += loop(store, keys, b"v" * 32)
        walks += 1
    return seconds * 1e9 / (walks * len(keys))


def measure(operation, present, keys):
    loops = [make_loop(kind.get if operation == "get" else kind.put) for kind, _ in present]
    times = [[] for _ in present]
    for (_, store), loop in zip(present, loops):
        turn(loop, store, keys)  # to warm up
    for round in range(ROUNDS):
        order = range(len(present))
        for i in order if round % 2 == 0 else reversed(order):
            times[i].append(turn(loops[i], present[i][1], keys))
    of = {kind.name: times[i] for i, (kind, _) in enumerate(present)}

    def ratio(name, to):
        return round_to(statistics.median(a / b for a, b in zip(of[name], of[to])), 4)

    figures = {
        name: {
            "ns": round_to(statistics.median(of[name]), 1),
            "hash_ratio": ratio(name, "dict"),
            "shmkv_ratio": ratio(name, "shmkv"),
        }
        for name in of
    }
    return {
        "work": "python",
        "operation": operation,
        "keys": COUNT,
        "key_size": 16,
        "value_size": 32,
        "stores": figures,
    }


def round_to(number, digits):
    return float("%.*f" % (digits, number))


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the folder goes
    keys = [b"%016x" % (i * 2654435761) for i in range(1, COUNT + 1)]
    random.Random(1).shuffle(keys)
    present, skipped = [], {}
    place = os.environ.get("SHMKV_BENCH_DIR", "/dev/shm")
    with tempfile.TemporaryDirectory(prefix="shmkv-bench-python.", dir=place) as folder:
        for kind in (Dict(), Shmkv(), Lmdb(), Tdb(), Diskcache(), Manager()):
            try:
                present.append((kind, kind.open(folder)))
            except ModuleNotFoundError:
                if not kind.package:
                    raise
                skipped[kind.name] = kind.package
                print("bench.py: %s is skipped: not found (apt-get install %s)" % (kind.name, kind.package), file=sys.stderr)
        for kind, store in present:
            check(kind, store, keys)
        results = [measure(operation, present, keys) for operation in ("get", "overwrite")]
        for kind, store in present:
            check(kind, store, keys)
    told = {"language": "Python " + platform.python_version(), "skipped": skipped, "rounds": ROUNDS, "results": results}
    print(json.dumps(dict(told, complete=True), indent=1))


if __name__ == "__main__":
    main()
