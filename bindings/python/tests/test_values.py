"""Values with types: what goes in comes out, and what would be lost is refused. Spec 10."""

import array
import enum
import math
import os
import struct
import time
import unittest

import shmkv

from segments import SegmentTest

SAME = {
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "text": "caf\u00e9 \u263a \U0001f600",
    "text with a NUL": "a\0b",
    "no text": "",
    "zero": 0,
    "minus one": -1,
    "least": -(2**63),
    "most": 2**63 - 1,
    "float": 0.1 + 0.2,
    "whole float": 3.0,
    "minus zero": -0.0,
    "infinity": math.inf,
    "true": True,
    "false": False,
    "none": None,
    "list": [1, 2.0, "three", None, True, [], {}],
    "dict": {"a": {"b": [1, -1, 1e300, 5e-324]}, "": 0, "\u00e9": "\U0001f600"},
    "long text": "\u00e9" * 5000,
    "long list": list(range(5000)),
}

TYPES = {"bytes": "bytes", "text": "text", "zero": "int64", "float": "float64", "true": "boolean", "none": "null", "list": "json"}


class Values(SegmentTest):
    def setUp(self):
        super().setUp()
        self.kv = self.open()

    def check_same(self, value, got):
        self.assertEqual(repr(got), repr(value))
        self.assertIs(type(got), type(value))

    # proves [VAL-01] [VAL-03]
    def test_values_when_stored_come_back_as_they_were(self):
        for name, value in SAME.items():
            with self.subTest(name):
                self.kv[name] = value
                self.check_same(value, self.kv[name])
                self.check_same(value, self.kv.get(name, "default"))
        everything = self.kv.get_all()
        for key, value in self.kv.items():
            self.check_same(SAME[key.decode()], value)
            self.check_same(SAME[key.decode()], everything[key])

    def test_item_tells_the_type(self):
        for name, kind in TYPES.items():
            self.kv[name] = SAME[name]
            self.assertEqual(self.kv.get_item(name)["type"], kind)

    def test_nan_is_kept(self):
        self.kv["nan"] = math.nan
        self.assertTrue(math.isnan(self.kv["nan"]))

    # proves [VAL-02] [VAL-04]
    def test_what_would_be_lost_is_refused_and_changes_nothing(self):
        circular = []
        circular.append(circular)
        deep = []
        for _ in range(100000):
            deep = [deep]
        self.kv["k"] = "before"
        for bad, error in (
            (2**63, shmkv.BadValue),
            (-(2**63) - 1, shmkv.BadValue),
            ([2**63], ValueError),
            ([math.nan], ValueError),
            ({"a": math.inf}, ValueError),
            ({1: "int key"}, TypeError),
            ([b"bytes"], TypeError),
            (circular, ValueError),
            (deep, ValueError),
            ("\ud800", UnicodeEncodeError),
            (["\ud800"], UnicodeEncodeError),
            (object(), TypeError),
            (1j, TypeError),
        ):
            with self.subTest(bad=type(bad)), self.assertRaises(error):
                self.kv["k"] = bad
            self.assertEqual(self.kv["k"], "before")

    # proves [VAL-07]
    def test_what_others_could_not_read_is_refused(self):
        nested = []
        for _ in range(511):
            nested = [nested]
        self.kv["k"] = nested
        self.assertEqual(self.kv["k"], nested)
        with self.assertRaisesRegex(ValueError, "more than 512"):
            self.kv["k"] = {"one more": nested}
        self.assertEqual(self.kv["k"], nested)

    def test_subclasses_are_stored_as_what_they_extend(self):
        class Colour(enum.IntEnum):
            RED = 3

        class Name(str):
            pass

        self.kv["int"] = Colour.RED
        self.kv["str"] = Name("Ada")
        self.check_same(3, self.kv["int"])
        self.check_same("Ada", self.kv["str"])

    def test_buffers_are_bytes_but_not_single_numbers(self):
        self.kv["array"] = array.array("H", [1, 2])
        self.assertEqual(self.kv["array"], b"\1\0\2\0")
        with self.assertRaises(TypeError):
            self.kv["array"] = memoryview(b"12345678").cast("q", shape=[])

    # proves [VAL-05]
    def test_text_and_json_that_are_none_raise_badtype_and_give_their_bytes(self):
        for value, bad in (("abcd", b"ab\xffd"), ([1234], b"[12,4"), ([1234], b"[NaN]"), (["abc"], b'["a\xffc"]')):
            with self.subTest(bad=bad):
                forged = bad.ljust(len(self.stored(value)), b" ")
                self.kv["k"] = value
                self.forge(self.stored(value), forged)
                for read in (lambda: self.kv["k"], lambda: self.kv.get("k"), self.kv.get_all, lambda: list(self.kv.values())):
                    with self.assertRaisesRegex(shmkv.BadType, "get_bytes"):
                        read()
                self.assertEqual(self.kv.get_bytes("k"), forged)
                self.assertEqual(list(self.kv), [b"k"])

    def stored(self, value):
        self.kv["probe"] = value
        data = self.kv.get_bytes("probe")
        del self.kv["probe"]
        return data

    def forge(self, old, new):
        """What a peer may do who writes to the segment: other bytes in place of the value's."""
        with open("/dev/shm/" + self.kv.name, "r+b") as file:
            image = file.read()
            self.assertEqual(len(old), len(new))
            at = image.rindex(b"k" + bytes(7) + old)
            file.seek(at + 8)
            file.write(new)

    def test_get_bytes_gives_the_bytes_of_any_type(self):
        self.kv["n"] = 3
        self.kv["x"] = 0.5
        self.kv["j"] = {"a": [1, 2]}
        self.assertEqual(self.kv.get_bytes("n"), struct.pack("<q", 3))
        self.assertEqual(self.kv.get_bytes("x"), struct.pack("<d", 0.5))
        self.assertEqual(self.kv.get_bytes("j"), b'{"a":[1,2]}')
        self.assertIsNone(self.kv.get_bytes("none"))


class Conditions(SegmentTest):
    def setUp(self):
        super().setUp()
        self.kv = self.open()

    def test_add_and_replace(self):
        self.assertIs(self.kv.replace("k", 1), False)
        self.assertIs(self.kv.add("k", 2), True)
        self.assertIs(self.kv.add("k", 3), False)
        self.assertEqual(self.kv["k"], 2)
        self.assertIs(self.kv.replace("k", 4), True)
        self.assertEqual(self.kv["k"], 4)

    def test_swap_and_take(self):
        large = "x" * 100000
        self.assertIsNone(self.kv.swap("k", large))
        self.assertEqual(self.kv.swap("k", [1]), large)
        self.assertEqual(self.kv.take("k"), [1])
        self.assertIsNone(self.kv.take("k"))
        self.kv["k"] = None
        self.assertIsNone(self.kv.take("k", "default"))
        self.assertEqual(self.kv.take("k", "default"), "default")

    def test_cas_by_version_and_by_value(self):
        self.assertIs(self.kv.cas("k", 0, "first"), True)
        self.assertIs(self.kv.cas("k", 0, "second"), False)
        version = self.kv.get_item("k")["version"]
        self.assertIs(self.kv.cas("k", version, "second"), True)
        self.assertIs(self.kv.cas("k", version, "third"), False)
        self.assertIs(self.kv.cas_value("k", b"second", "third"), False, "of another type")
        self.assertIs(self.kv.cas_value("k", "second", "third"), True)
        self.assertIs(self.kv.delete_value("k", "second"), False)
        self.assertIs(self.kv.delete_if("k", version), False)
        self.assertIs(self.kv.delete_value("k", "third"), True)
        self.assertIs(self.kv.delete_if("k", version), False, "there is none")

    def test_modify_runs_again_when_another_came_between(self):
        self.kv["n"] = 1
        calls = []

        def add(value):
            calls.append(value)
            if len(calls) == 1:
                self.kv["n"] = 10
            return value + 1

        self.assertEqual(self.kv.modify("n", add), 11)
        self.assertEqual(calls, [1, 10])
        self.assertEqual(self.kv.modify("new", lambda value: value is None), True)

    def test_modify_gives_another_end_when_asked(self):
        self.kv.set("n", 1, ttl=1000)
        first = self.kv.get_item("n")["expires_ns"]
        self.kv.modify("n", lambda value: value + 1)
        self.assertEqual(self.kv.get_item("n")["expires_ns"], first)
        self.kv.modify("n", lambda value: value + 1, ttl=2000, bound=True)
        self.assertGreater(self.kv.get_item("n")["expires_ns"], first)
        self.assertTrue(self.kv.get_item("n")["bound"])
        self.kv.modify("n", lambda value: value + 1, ttl=math.inf)
        self.assertIsNone(self.kv.get_item("n")["expires_ns"])
        self.assertFalse(self.kv.get_item("n")["bound"])

    def test_modify_when_the_function_raises_changes_nothing(self):
        self.kv["n"] = 1
        with self.assertRaises(ZeroDivisionError):
            self.kv.modify("n", lambda value: value / 0)
        self.assertEqual(self.kv["n"], 1)
        self.kv["n"] = 2

    def test_ttl_in_the_past_or_future(self):
        self.kv.set("short", 1, ttl=0)
        self.kv.set("long", 2, ttl=1000)
        self.kv.set("ever", 3, ttl=math.inf)
        self.assertIsNone(self.kv.get("short"))
        self.assertEqual(self.kv["long"], 2)
        self.assertIsNone(self.kv.get_item("ever")["expires_ns"])
        self.assertGreater(self.kv.get_item("long")["expires_ns"], 1.7e18)
        for bad in (-1, math.nan, 1e300):
            with self.assertRaises(shmkv.BadArgument):
                self.kv.set("k", 1, ttl=bad)

    def test_default_ttl_is_for_what_has_none(self):
        kv = self.open(default_ttl=1000)
        self.assertEqual(kv.info()["default_ttl_ns"], 1000 * 10**9)
        kv["default"] = 1
        kv.set("ever", 2, ttl=math.inf)
        kv.set("own", 3, ttl=5000)
        kv.incr("counter")
        left = {key: kv.get_item(key)["expires_ns"] for key in ("default", "ever", "own", "counter")}
        self.assertIsNone(left["ever"])
        for key, seconds in (("default", 1000), ("own", 5000), ("counter", 1000)):
            self.assertAlmostEqual(left[key] / 1e9, time.time() + seconds, delta=300)
        self.open(default_ttl=math.inf)["k"] = 1
        for bad in (-1, math.nan, 1e300):
            with self.assertRaises(shmkv.BadArgument):
                self.open(default_ttl=bad)

    def test_a_cache_bounds_its_entries(self):
        kv = self.open(max_entries=100)
        for i in range(300):
            kv[f"k{i}"] = i
        self.assertEqual(len(kv), 100)
        self.assertEqual(kv.info()["max_entries"], 100)
        self.assertEqual(kv.info()["evicts"], 1)
        self.assertEqual(kv.stats()["evictions"], 200)
        self.assertEqual(self.kv.info()["evicts"], 0)

    def test_a_cache_bounds_its_bytes(self):
        kv = self.open(max_bytes=1 << 20)
        for i in range(300):
            kv[f"k{i}"] = b"x" * 10_000
        self.assertLessEqual(kv.stats()["entry_bytes"], 1 << 20)
        self.assertGreater(len(kv), 80)
        with self.assertRaises(shmkv.BadValue):
            kv["large"] = b"x" * (2 << 20)

    def test_a_full_cache_evicts(self):
        kv = self.open(max_size=1 << 20, evict=True)
        for i in range(2000):
            kv[f"k{i}"] = b"x" * 1000
        self.assertGreater(kv.stats()["evictions"], 1000)
        self.assertEqual(kv["k1999"], b"x" * 1000)

    def test_bound_goes_with_the_store(self):
        other = shmkv.open(self.kv.name)
        other.set("mine", 1, bound=True)
        self.assertTrue(self.kv.get_item("mine")["bound"])
        other.close()
        self.assertIsNone(self.kv.get("mine"))


class Counters(SegmentTest):
    def setUp(self):
        super().setUp()
        self.kv = self.open()

    def test_incr_and_decr(self):
        self.assertEqual(self.kv.incr("n"), 1)
        self.assertEqual(self.kv.incr("n", 41), 42)
        self.assertEqual(self.kv.decr("n", 2), 40)
        self.assertEqual(self.kv.decr("n"), 39)
        self.assertEqual(self.kv.incr("from ten", 1, 10), 11)
        self.assertEqual(self.kv.incr("from ten", initial=5), 12)
        self.assertIs(type(self.kv["n"]), int)

    def test_floats(self):
        self.assertEqual(self.kv.incr("f", 0.5), 0.5)
        self.assertEqual(self.kv.decr("f", 0.25), 0.25)
        self.assertEqual(self.kv.incr("g", 1, 0.5), 1.5)
        self.assertEqual(self.kv.at_least("f", 7.5), 7.5)
        self.assertEqual(self.kv.at_most("f", -7.5), -7.5)
        for bad in (float("nan"), float("inf")):
            with self.assertRaises(shmkv.BadArgument):
                self.kv.incr("f", bad)

    def test_at_least_and_at_most(self):
        self.assertEqual(self.kv.at_least("n", 5), 5)
        self.assertEqual(self.kv.at_least("n", 3), 5)
        self.assertEqual(self.kv.at_most("n", 4), 4)
        self.assertEqual(self.kv.at_most("m", -9), -9)

    def test_what_does_not_fit_changes_nothing(self):
        self.kv["n"] = 2**63 - 1
        for call in (lambda: self.kv.incr("n"), lambda: self.kv.decr("n", -(2**63))):
            with self.assertRaises(shmkv.Overflow):
                call()
        self.assertEqual(self.kv["n"], 2**63 - 1)
        self.kv["f"], self.kv["s"] = 1.0, "1"
        for key, amount in (("f", 1), ("n", 1.0), ("s", 1)):
            with self.assertRaises(shmkv.BadType):
                self.kv.incr(key, amount)
        for bad in ("1", None, True, [1]):
            with self.assertRaises(TypeError):
                self.kv.incr("n", bad)
        with self.assertRaises(shmkv.BadValue):
            self.kv.incr("n", 2**64)

    def test_none_is_lost(self):
        pids = []
        for _ in range(4):
            pid = os.fork()
            if not pid:
                status = 1
                try:
                    for _ in range(1000):
                        self.kv.incr("n")
                    status = 0
                finally:
                    os._exit(status)
            pids.append(pid)
        for pid in pids:
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.assertEqual(self.kv["n"], 4000)

    def test_append(self):
        self.assertEqual(self.kv.append("t", "caf"), 3)
        self.assertEqual(self.kv.append("t", "\u00e9"), 5)
        self.assertEqual(self.kv["t"], "caf\u00e9")
        self.assertEqual(self.kv.append("b", b"\xff"), 1)
        self.assertEqual(self.kv.append("b", "\u00e9"), 3)
        self.assertEqual(self.kv["b"], b"\xff\xc3\xa9")
        with self.assertRaises(shmkv.BadValue):
            self.kv.append("t", b"\xff")
        with self.assertRaises(TypeError):
            self.kv.append("t", 5)
        self.kv["n"] = 1
        with self.assertRaises(shmkv.BadType):
            self.kv.append("n", "1")
        self.assertEqual(self.kv.get_all(), {b"t": "caf\u00e9", b"b": b"\xff\xc3\xa9", b"n": 1})

    def test_get_or_set(self):
        large = "x" * 100_000
        self.assertEqual(self.kv.get_or_set("k", large), large)
        self.assertEqual(self.kv.get_or_set("k", "other"), large)
        self.assertIsNone(self.kv.setdefault("n"))
        self.assertIsNone(self.kv.setdefault("n", 5))
        self.assertEqual(self.kv.get_or_set("expired", 1, ttl=1000), 1)
        self.assertIsNotNone(self.kv.get_item("expired")["expires_ns"])


class Emptying(SegmentTest):
    def setUp(self):
        super().setUp()
        self.kv = self.open()

    def test_touch(self):
        self.assertFalse(self.kv.touch("k", 5))
        self.kv["k"] = "v"
        self.assertTrue(self.kv.touch("k", 1000))
        self.assertIsNotNone(self.kv.get_item("k")["expires_ns"])
        self.assertTrue(self.kv.touch("k"))
        self.assertIsNone(self.kv.get_item("k")["expires_ns"])
        self.assertTrue(self.kv.touch("k", 0))
        self.assertNotIn("k", self.kv)

    def test_sweep(self):
        for i in range(10):
            self.kv.set("k%d" % i, 1, ttl=0)
        self.kv["stays"] = 1
        self.assertEqual(self.kv.sweep(), 10)
        self.assertEqual(len(self.kv), 1)
        self.assertEqual(self.kv.sweep(5), 0)

    def test_popitem_and_clear(self):
        pairs = {b"k%d" % i: "v" * i for i in range(5)}
        pairs[b"k" * 65536] = b"x" * 1_000_000
        self.kv.update(pairs)
        popped = [self.kv.popitem() for _ in pairs]
        self.assertEqual(dict(popped), pairs)
        with self.assertRaises(KeyError):
            self.kv.popitem()
        self.kv.update(pairs)
        self.assertEqual(self.kv.clear(), 6)
        self.assertEqual(len(self.kv), 0)
        self.assertEqual(self.kv.verify(), [])


if __name__ == "__main__":
    unittest.main()
