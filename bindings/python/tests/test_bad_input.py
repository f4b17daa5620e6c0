"""Bad input to every method: an error of the class that one expects, which names the segment and the key,
and nothing has changed, nothing is locked."""

import math
import os
import unittest

import shmkv
from segments import SegmentTest

# With a key.
KEYED = {
    "[]": lambda kv, key: kv[key],
    "del": lambda kv, key: kv.__delitem__(key),
    "get": lambda kv, key: kv.get(key),
    "get, default": lambda kv, key: kv.get(key, default=1),
    "get_item": lambda kv, key: kv.get_item(key),
    "get_bytes": lambda kv, key: kv.get_bytes(key),
    "get_many": lambda kv, key: kv.get_many(["before", key]),
    "exists": lambda kv, key: kv.exists(key),
    "delete": lambda kv, key: kv.delete(key),
    "delete_many": lambda kv, key: kv.delete_many(["before", key]),
    "delete_if": lambda kv, key: kv.delete_if(key, 1),
    "take": lambda kv, key: kv.take(key),
    "pop": lambda kv, key: kv.pop(key),
    "pop, default": lambda kv, key: kv.pop(key, None),
    "touch": lambda kv, key: kv.touch(key, 5),
    "wait": lambda kv, key: kv.wait(key, timeout=0),
    "wait, version": lambda kv, key: kv.wait(key, version=1, timeout=0),
    "transaction": lambda kv, key: kv.transaction(["before", key], lambda txn: None),
    "lock": lambda kv, key: kv.lock(key, timeout=1).__enter__(),
}

# With a key and a value.
VALUED = {
    "[]=": lambda kv, key, value: kv.__setitem__(key, value),
    "put": lambda kv, key, value: kv.put(key, value),
    "set": lambda kv, key, value: kv.set(key, value),
    "add": lambda kv, key, value: kv.add(key, value),
    "replace": lambda kv, key, value: kv.replace(key, value),
    "swap": lambda kv, key, value: kv.swap(key, value),
    "cas": lambda kv, key, value: kv.cas(key, 0, value),
    "cas_value, expected": lambda kv, key, value: kv.cas_value(key, value, 1),
    "cas_value": lambda kv, key, value: kv.cas_value(key, 1, value),
    "delete_value": lambda kv, key, value: kv.delete_value(key, value),
    "get_or_set": lambda kv, key, value: kv.get_or_set(key, value),
    "setdefault": lambda kv, key, value: kv.setdefault(key, value),
    "append": lambda kv, key, value: kv.append(key, value),
    "incr": lambda kv, key, value: kv.incr(key, value),
    "incr, initial": lambda kv, key, value: kv.incr(key, 1, value),
    "decr": lambda kv, key, value: kv.decr(key, value),
    "at_least": lambda kv, key, value: kv.at_least(key, value),
    "at_most": lambda kv, key, value: kv.at_most(key, value),
    "modify": lambda kv, key, value: kv.modify(key, lambda old: value),
    "get_or_compute": lambda kv, key, value: kv.get_or_compute(key, lambda: value),
    "put_many": lambda kv, key, value: kv.put_many([("new", 1), (key, value)]),
    "update": lambda kv, key, value: kv.update([("new", 1), (key, value)]),
}
NUMERIC = {"append", "incr", "incr, initial", "decr", "at_least", "at_most"}

# In a transaction of "n" and "new".
IN_TRANSACTION = {
    "get": lambda txn, key, value: txn.get(key),
    "[]": lambda txn, key, value: txn[key],
    "in": lambda txn, key, value: key in txn,
    "exists": lambda txn, key, value: txn.exists(key),
    "delete": lambda txn, key, value: txn.delete(key),
    "del": lambda txn, key, value: txn.__delitem__(key),
    "put": lambda txn, key, value: txn.put(key, value),
    "[]=": lambda txn, key, value: txn.__setitem__(key, value),
    "set": lambda txn, key, value: txn.set(key, value, ttl=5),
}

ENDING = {
    "set": lambda kv, **options: kv.set("k", 1, **options),
    "add": lambda kv, **options: kv.add("k", 1, **options),
    "replace": lambda kv, **options: kv.replace("n", 1, **options),
    "swap": lambda kv, **options: kv.swap("k", 1, **options),
    "cas": lambda kv, **options: kv.cas("k", 0, 1, **options),
    "cas_value": lambda kv, **options: kv.cas_value("n", 7, 1, **options),
    "get_or_set": lambda kv, **options: kv.get_or_set("k", 1, **options),
    "modify": lambda kv, **options: kv.modify("k", lambda old: 1, **options),
    "get_or_compute": lambda kv, **options: kv.get_or_compute("k", lambda: 1, **options),
    "put_many": lambda kv, **options: kv.put_many({"k": 1}, **options),
    "transaction, set": lambda kv, **options: kv.transaction(["k"], lambda txn: txn.set("k", 1, **options)),
}

WAITING = {
    "wait": lambda kv, **options: kv.wait("n", **options),
    "watch": lambda kv, **options: kv.watch(**options),
    "lock": lambda kv, **options: kv.lock("n", **options).__enter__(),
    "get_or_compute": lambda kv, **options: kv.get_or_compute("k", lambda: 1, **options),
}

# Without key or value; the first ones write.
WRITES = {
    "clear": lambda kv: kv.clear(),
    "sweep": lambda kv: kv.sweep(),
    "popitem": lambda kv: kv.popitem(),
    "load": lambda kv: kv.load(os.devnull),
}
READS = {
    "in": lambda kv: "n" in kv,
    "len": len,
    "iter": iter,
    "get_size": lambda kv: kv.get_size(),
    "get_all": lambda kv: kv.get_all(),
    "keys": lambda kv: list(kv.keys()),
    "values": lambda kv: list(kv.values()),
    "items": lambda kv: list(kv.items()),
    "cursor": lambda kv: kv.cursor(),
    "watch": lambda kv: kv.watch(timeout=0),
    "info": lambda kv: kv.info(),
    "stats": lambda kv: kv.stats(),
    "verify": lambda kv: kv.verify(),
    "locks": lambda kv: kv.locks(),
    "owners": lambda kv: kv.owners(),
    "dump": lambda kv: kv.dump(os.devnull),
    "sync": lambda kv: kv.sync(),
}
ELSEWHERE = {"close", "closed", "name", "unlink", "freeze"}
WRITING_BY_KEY = ("del", "delete", "delete_if", "take", "pop", "touch", "lock")


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


class Gone(Exception):
    """What a callback raises."""


class BadInput(SegmentTest):
    def setUp(self):
        self.kv = self.open()
        self.kv.update({"before": b"bytes", "t": "text", "n": 7, "f": 1.5, "big": 2**63 - 1})
        self.was = {key: self.kv.get_item(key) for key in self.kv}

    def tearDown(self):
        self.unchanged(self.kv, self.was)

    def unchanged(self, kv, was):
        """The same values in the same versions, nothing locked, and another process can write."""
        self.assertEqual({key: kv.get_item(key) for key in kv}, was)
        self.assertEqual([lock for lock in kv.locks() if lock["owner"]], [])
        self.assertEqual(kv.verify(), [])

        def write():
            other = shmkv.open(kv.name, lock_timeout_ms=100)
            for i in range(200):  # in each part of the store
                other["by another %d" % i] = 1
                other.delete("by another %d" % i)
            with other.lock("n", 1), other.lock("k", 1):
                pass

        if not kv.info()["frozen"]:
            self.in_child(write)

    def refused(self, what, call, *arguments, error, key=None, say="", **options):
        with self.subTest(what, arguments=[str(a)[:40] if isinstance(a, (str, int, bytes)) else type(a).__name__ for a in arguments], **options), self.assertRaises(error) as raised:
            call(self.kv, *arguments, **options)
        text = str(raised.exception)
        with self.subTest(what, text=text):
            self.assertIn(self.kv.name, text)
            self.assertIn(say, text)
            if key is not None:
                self.assertIn('(key "%s' % key, text)
        return raised.exception

    def test_the_tables_have_every_method(self):
        methods = {name for name in dir(shmkv.Store) if not name.startswith("_")}
        methods -= {"acquire", "disown", "next", "own", "this", "thisown"}
        listed = {name.split(",")[0] for table in (KEYED, VALUED, WRITES, READS) for name in table}
        self.assertEqual(methods - ELSEWHERE, listed - {"[]", "[]=", "del", "in", "len", "iter"})
        methods = {name for name in dir(shmkv.Transaction) if not name.startswith("_")}
        self.assertEqual(methods, {name for name in IN_TRANSACTION if name.isalpha()} - {"in", "del"})

    def test_keys_of_wrong_length(self):
        for key, shown in ((b"", ""), ("", ""), (b"k" * 70000, "kkk"), ("\u00e9" * 35000, "\\xc3\\xa9")):
            for name, call in KEYED.items():
                self.refused(name, call, key, error=shmkv.BadKey, key=shown, say="bytes")
            for name, call in VALUED.items():
                if name not in ("modify", "get_or_compute"):
                    self.refused(name, call, key, "1" if name == "append" else 1, error=shmkv.BadKey, key=shown)

    def test_keys_of_wrong_types(self):
        for key in (None, 5, 1.5, ["k"], object(), True):
            for name, call in KEYED.items():
                self.refused(name, call, key, error=TypeError, say="a key must be")
            for name, call in VALUED.items():
                self.refused(name, call, key, 1, error=TypeError, say="a key must be")
        for name, call in KEYED.items():
            self.refused(name, call, "a\ud800", error=UnicodeEncodeError, say="surrogates")

    def test_values(self):
        circular = []
        circular.append(circular)
        for value, error, say in (
            (2**70, shmkv.BadValue, "64 bits"),
            (-(2**63) - 1, shmkv.BadValue, "64 bits"),
            (object(), TypeError, "not object"),
            ({1}, TypeError, "not set"),
            ("\ud800", UnicodeEncodeError, "surrogates"),
            (["\ud800"], UnicodeEncodeError, "surrogates"),
            ([math.nan], ValueError, "range"),
            ([2**70], ValueError, "64 bits"),
            ([b"bytes"], TypeError, "bytes"),
            ({1: 2}, TypeError, "str keys"),
            (circular, ValueError, "itself"),
            (nested(513), ValueError, "512"),
            (nested(100000), ValueError, "512"),
        ):
            for name, call in VALUED.items():
                self.refused(name, call, "the key", value, error=error, key="the key", say=say)
            for name in ("put", "[]=", "set"):
                self.refused(name, lambda kv: kv.transaction(["k"], lambda txn: IN_TRANSACTION[name](txn, "k", value)),
                             error=error, key="k", say=say)

    def test_values_that_do_not_fit_the_method(self):
        for name in NUMERIC:
            wrong = (5, None, [1]) if name == "append" else ("1", b"1", None, True, [1])
            for value in wrong:
                self.refused(name, VALUED[name], "n", value, error=TypeError, key="n", say="only" if name == "append" else "counter")
            if name != "append":
                for value in (math.nan, math.inf):
                    self.refused(name, VALUED[name], "f", value, error=shmkv.BadArgument, key="f", say="finite")
                self.refused(name, VALUED[name], "t", 1, error=shmkv.BadType, key="t", say="it is text")
                self.refused(name, VALUED[name], "n", 1.5, error=shmkv.BadType, key="n", say="it is an integer")
        self.refused("append", VALUED["append"], "n", "x", error=shmkv.BadType, key="n")
        self.refused("append", VALUED["append"], "t", b"\xff", error=shmkv.BadValue, key="t")
        self.refused("incr", VALUED["incr"], "big", 1, error=shmkv.Overflow, key="big")
        self.refused("decr", VALUED["decr"], "n", -(2**63), error=shmkv.Overflow, key="n")

    def test_keys_that_a_transaction_was_not_given(self):
        for name, call in IN_TRANSACTION.items():
            self.refused(name, lambda kv: kv.transaction(["n", "new"], lambda txn: (txn.put("n", 0), call(txn, "other", 1))),
                         error=shmkv.BadArgument, key="other", say="not given")
        for keys, error in (([], shmkv.BadArgument), (["n", "n"], shmkv.BadArgument), (map(str, range(1025)), shmkv.BadArgument),
                            ("n", TypeError), (b"n", TypeError), (5, TypeError)):
            self.refused("keys", lambda kv: kv.transaction(keys, lambda txn: None), error=error)

    def test_several_keys_are_not_one_text(self):
        for call in (lambda kv, keys: kv.get_many(keys), lambda kv, keys: kv.delete_many(keys)):
            for keys in ("nf", b"nf", bytearray(b"nf")):
                self.refused("many", call, keys, error=TypeError, say="keys are several")
            self.refused("many", call, 5, error=TypeError, say="not int")
        for pairs in (5, [5], [("k", 1), 5]):
            self.refused("put_many", lambda kv: kv.put_many(pairs), error=TypeError, say="pairs")
        self.refused("put_many", lambda kv: kv.put_many([("k", 1), ("k", 2, 3)]), error=ValueError, say="pairs")

    def test_times_to_live(self):
        for name, call in ENDING.items():
            key = None if name == "put_many" else "n" if name in ("replace", "cas_value") else "k"
            for ttl in (-1, -math.inf, math.nan, 1e30, -(10**400)):
                if name == "get_or_compute":
                    key = None
                self.refused(name, call, error=shmkv.BadArgument, key=None if ttl == 1e30 else key, ttl=ttl)
            for ttl in ("5", [], object(), 1j):
                self.refused(name, call, error=TypeError, key=key, say="ttl", ttl=ttl)
            with self.subTest(name), self.assertRaisesRegex(TypeError, "colour"):
                call(self.kv, colour="red")
        self.refused("touch", lambda kv: kv.touch("n", -1), error=shmkv.BadArgument, key="n", say="ttl")
        self.refused("touch", lambda kv: kv.touch("n", "5"), error=TypeError, key="n", say="ttl")

    def test_timeouts(self):
        for name, call in WAITING.items():
            for timeout in (-1, math.nan, -math.inf, 10**400, 10**5000):
                self.refused(name, call, error=shmkv.BadArgument, say="timeout", timeout=timeout)
            for timeout in ("5", [], object()):
                self.refused(name, call, error=TypeError, say="timeout", timeout=timeout)

    def test_versions_and_counts(self):
        for call, key in (
            (lambda kv, n: kv.cas("n", n, 1), "n"),
            (lambda kv, n: kv.delete_if("n", n), "n"),
            (lambda kv, n: kv.wait("n", n, timeout=0), "n"),
            (lambda kv, n: kv.watch(n, timeout=0), None),
            (lambda kv, n: kv.sweep(n), None),
        ):
            for number in (-1, 2**64, 2**70):
                self.refused("number", call, number, error=shmkv.BadArgument, key=key, say=str(number))
            for number in ("1", 1.5, [], b"1"):
                self.refused("number", call, number, error=TypeError, key=key, say="must be an int, not ")

    def test_positions_prefixes_and_files(self):
        for call in (lambda kv, x: kv.cursor(prefix=x), lambda kv, x: list(kv.keys(prefix=x)), lambda kv, x: list(kv.values(prefix=x)),
                     lambda kv, x: list(kv.items(prefix=x)), lambda kv, x: kv.cursor(position=x)):
            for wrong in (5, [], object()):
                self.refused("walk", call, wrong, error=TypeError, say="a prefix")
        self.refused("prefix", lambda kv: kv.cursor(prefix=b"x" * 70000), error=shmkv.BadKey)
        for position in (b"", b"x", bytes(32)):
            self.refused("position", lambda kv: kv.cursor(position=position), error=shmkv.BadArgument, say="position")
        self.refused("load", lambda kv: kv.load(os.devnull, keep=True, replace=True), error=shmkv.BadArgument)
        for name, call in {"load": lambda kv, file: kv.load(file), "dump": lambda kv, file: kv.dump(file)}.items():
            for file in (-1, 2**31, 2**70, -(2**70)):
                self.refused(name, call, file, error=shmkv.BadArgument, say="descriptor of a file is an integer from 0 to 2147483647, not %d" % file)
            for file in (None, 1.5, [], object()):
                self.refused(name, call, file, error=TypeError, say="file must be a path, an open file or a descriptor, not ")
            self.refused(name, call, "a\0b", error=shmkv.BadArgument, say="bad path: it contains a NUL byte")
            self.refused(name, call, "/nowhere/at/all", error=shmkv.SystemFailure, say="'/nowhere/at/all")
            self.refused(name, call, 999999, error=shmkv.SystemFailure, say="a dump")

    def test_numbers_and_names_of_arguments(self):
        kv = self.kv
        for call in (
            lambda: kv.get(), lambda: kv.get("k", 1, 2), lambda: kv.get(default=1), lambda: kv.get("k", key="k"),
            lambda: kv.get("k", colour=1), lambda: kv.take(), lambda: kv.take("n", colour=1), lambda: kv.put("k"),
            lambda: kv.put("k", 1, 2), lambda: kv.put(value=1), lambda: kv.put("k", colour=1), lambda: kv.put("k", 1, value=2),
            lambda: kv.delete("n", 1), lambda: kv.set("k"), lambda: kv.incr(), lambda: kv.modify("k"), lambda: kv.modify("k", 5),
            lambda: kv.transaction(["k"], 5), lambda: kv.get_or_compute("k", 5), lambda: kv.get_or_compute("n", 5), lambda: kv.clear(1),
        ):
            with self.assertRaises(TypeError):
                call()
        with self.assertRaisesRegex(TypeError, r"set\(\) takes ttl"):
            kv.put("k", 1, ttl=5)
        # In SWIG's own words it would be "Store_append expected 2 arguments, got 1".
        for name, most in (("append", 2), ("delete_if", 2), ("delete_value", 2)):
            for given in (1, 3):
                with self.assertRaisesRegex(TypeError, r"^%s\(\) takes %d arguments \(%d given\)$" % (name, most, given)):
                    getattr(kv, name)(*"abc"[:given])
        with self.assertRaisesRegex(TypeError, r"Store.delete\(\) takes exactly one argument \(2 given\)"):
            kv.delete("n", 1)

    def test_arguments_by_name(self):
        kv = self.open()
        kv.put(key="k", value=1)
        self.assertEqual((kv.get(key="k"), kv.get("none", default=2), kv.get(default=3, key="none")), (1, 2, 3))
        self.assertEqual((kv.take("none", default=2), kv.take(key="k")), (2, 1))

    def test_closed(self):
        self.kv.close()
        for name, call in {**KEYED, **WRITES, **READS, "freeze": lambda kv: kv.freeze()}.items():
            self.refused(name, call, *(["n"] if name in KEYED else []), error=shmkv.Closed)
        for name, call in VALUED.items():
            self.refused(name, call, "n", "1" if name == "append" else 1, error=shmkv.Closed)
        self.kv = shmkv.open(self.kv.name)

    def refused_to_write(self, error):
        for name in WRITING_BY_KEY:
            self.refused(name, KEYED[name], "n", error=error, key="n")
        for name in ("delete_many", "transaction"):
            self.refused(name, KEYED[name], "n", error=error)
        for name, call in VALUED.items():
            if name not in ("put_many", "update"):
                key = "t" if name == "append" else "k" if name in ("add", "setdefault", "get_or_set", "get_or_compute", "modify") else "n"
                self.refused(name, call, key, "x" if name == "append" else 7, error=error, key=key)
        for name in ("put_many", "update"):
            self.refused(name, VALUED[name], "n", 1, error=error)
        for name, call in WRITES.items():
            self.refused(name, call, error=error)
        for name, call in READS.items():
            call(self.kv)

    def test_read_only(self):
        writable, self.kv = self.kv, shmkv.open(self.kv.name, "r")
        self.refused_to_write(shmkv.ReadOnly)
        self.refused("freeze", lambda kv: kv.freeze(), error=shmkv.ReadOnly)
        self.kv.close()
        self.kv = writable

    def test_frozen(self):
        self.kv.freeze()
        self.refused_to_write(shmkv.Frozen)

    def test_full(self):
        plain, self.kv = self.kv, self.open(max_size=1 << 20)
        self.kv.update({"n": 7, "t": "text"})
        was = {key: self.kv.get_item(key) for key in self.kv}
        large = "x" * (2 << 20)
        for name, call in VALUED.items():
            if name in NUMERIC - {"append"} or name in ("put_many", "update", "delete_value", "cas_value, expected"):
                continue
            key = "t" if name in ("append", "replace") else "k"
            call = (lambda kv, key, value: kv.cas_value("n", 7, value)) if name == "cas_value" else call
            self.refused(name, call, key, large, error=shmkv.NoSpace, key="n" if name == "cas_value" else key)
        error = self.refused("put_many", lambda kv: kv.put_many({"k": large}), error=shmkv.NoSpace, key="k")
        self.assertEqual(error.done, 0)
        self.refused("transaction", lambda kv: kv.transaction(["k", "n"], lambda txn: (txn.put("n", 1), txn.put("k", large))),
                     error=shmkv.NoSpace)
        self.unchanged(self.kv, was)
        self.kv = plain

    def test_callbacks_that_raise(self):
        def fail(*arguments):
            raise Gone("gone")

        def lock():
            with self.kv.lock("n"):
                fail()

        def put_and_fail(txn):
            txn["n"] = 8
            txn.delete("t")
            fail()

        for call in (
            lambda: self.kv.modify("n", fail),
            lambda: self.kv.get_or_compute("k", fail),
            lambda: self.kv.transaction(["n", "t"], put_and_fail),
            lambda: self.kv.put_many(fail(i) for i in range(2)),
            lambda: self.kv.update((("k", fail()) for _ in range(2))),
            lock,
        ):
            with self.assertRaisesRegex(Gone, "^gone$"):
                call()
        for stop in (KeyboardInterrupt, SystemExit, GeneratorExit):
            def leave(*arguments):
                raise stop
            for call in (lambda: self.kv.modify("n", leave), lambda: self.kv.get_or_compute("k", leave),
                         lambda: self.kv.transaction(["n"], leave)):
                with self.assertRaises(stop):
                    call()


if __name__ == "__main__":
    unittest.main()
