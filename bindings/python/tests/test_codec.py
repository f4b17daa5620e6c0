"""Values that no type holds, through a codec of the application. Spec 10.3."""

import datetime
import json
import pickle
import sys
import unittest

import shmkv
from segments import SegmentTest


class Strict:
    """A codec that takes dates, and tells what it was asked."""

    def __init__(self):
        self.asked = []

    def dumps(self, value):
        self.asked.append(value)
        if not isinstance(value, datetime.date):
            raise ZeroDivisionError("not a date")
        return value.isoformat().encode()

    def loads(self, data):
        return datetime.date.fromisoformat(data.decode())


DATE = datetime.date(2024, 2, 29)


class Codec(SegmentTest):
    def test_what_no_type_holds_goes_through_it(self):
        kv = self.open(codec=pickle)
        for value in (DATE, 2**64, {1, 2}, {"bytes": b"\0"}, {1: 2}, [float("nan").hex, 1][1:] + [2**70], "\ud800", 1j):
            kv["k"] = value
            self.assertEqual(kv.get_item("k")["type"], "coded")
            self.assertEqual(kv["k"], value)
            self.assertEqual(kv.get_all(), {b"k": value})
            self.assertEqual(list(kv.values()), [value])
            self.assertEqual(kv.get_many(["k"]), {"k": value})
            self.assertEqual(kv.swap("k", 1), value)
            self.assertTrue(kv.replace("k", value))
            self.assertTrue(kv.cas_value("k", value, value))
            self.assertEqual(kv.take("k"), value)
        kv["large"] = {DATE: "x" * 100_000}
        self.assertEqual(kv["large"], {DATE: "x" * 100_000})

    def test_what_a_type_holds_does_not(self):
        codec = Strict()
        kv = self.open(codec=codec)
        for value in (b"b", "t", 1, 1.5, True, None, [1], {"a": [None]}):
            kv["k"] = value
            self.assertEqual(kv["k"], value)
            self.assertNotEqual(kv.get_item("k")["type"], "coded")
        self.assertEqual(codec.asked, [])

    # proves [VAL-06]
    def test_nothing_is_decoded_without_it(self):
        kv = self.open(codec=pickle)
        kv["k"] = DATE
        plain = shmkv.open(kv.name)
        self.assertEqual(plain["k"], pickle.dumps(DATE))
        self.assertEqual(plain.get_all(), {b"k": pickle.dumps(DATE)})
        self.assertEqual(plain.get_item("k")["type"], "coded")
        with self.assertRaises(TypeError):
            plain["k"] = DATE
        plain["bytes"] = pickle.dumps(DATE)
        self.assertEqual(kv["bytes"], pickle.dumps(DATE), "bytes stay bytes")
        self.assertEqual(kv.get_bytes("k"), pickle.dumps(DATE))

    def test_what_the_codec_raises_comes_out_and_nothing_changes(self):
        codec = Strict()
        kv = self.open(codec=codec)
        kv["k"] = DATE
        for call in (lambda: kv.put("k", {1}), lambda: kv.set("k", 2**64), lambda: kv.modify("k", lambda _: {1})):
            with self.assertRaises(ZeroDivisionError):
                call()
        self.assertEqual(kv["k"], DATE)
        other = shmkv.open(kv.name, codec=pickle)
        for call in (lambda: other["k"], other.get_all, lambda: list(other.values()), lambda: other.get_many(["k"])):
            with self.assertRaises(pickle.UnpicklingError):
                call()
        self.assertEqual(other.verify(), [])

    def test_dumps_that_gives_no_bytes(self):
        kv = self.open(codec=json)
        with self.assertRaises(TypeError):
            kv["k"] = 2**70
        self.assertNotIn("k", kv)

    def test_codec_may_use_the_store_and_close_it(self):
        kv = self.open()
        name = kv.name

        class Closing(Strict):
            def loads(self, data):
                store.close()
                return super().loads(data)

        store = shmkv.open(name, codec=Closing())
        store["a"] = store["b"] = DATE
        self.assertEqual(store["a"], DATE)
        self.assertTrue(store.closed)
        store = shmkv.open(name, codec=Closing())
        with self.assertRaises(shmkv.Closed):
            list(store.values())
        store = shmkv.open(name, codec=Closing())
        self.assertEqual(store.get_all(), {b"a": DATE, b"b": DATE})

    def test_a_bad_codec_is_refused(self):
        for bad in (object(), 5, len):
            with self.assertRaises(TypeError):
                shmkv.open(self.segment(), codec=bad)

    def test_a_pickled_store_keeps_it(self):
        kv = self.open(codec=pickle)
        kv["k"] = DATE
        again = pickle.loads(pickle.dumps(kv))
        self.assertEqual(again["k"], DATE)
        self.assertEqual(pickle.loads(pickle.dumps(again))["k"], DATE)

    def test_nothing_leaks(self):
        codec = Strict()
        kv = shmkv.open(self.segment(), codec=codec)
        value, bad = DATE.replace(day=1), frozenset([1])
        kv["k"] = value
        before = [sys.getrefcount(x) for x in (value, bad, codec)]
        for _ in range(500):
            kv["k"] = value
            kv["k"]
            try:
                kv["k"] = bad
            except ZeroDivisionError:
                pass
        codec.asked.clear()
        after = [sys.getrefcount(x) for x in (value, bad, codec)]
        for was, now in zip(before, after):
            self.assertLess(abs(now - was), 10)
        count = sys.getrefcount(codec)
        del kv
        self.assertLess(sys.getrefcount(codec), count)


if __name__ == "__main__":
    unittest.main()
