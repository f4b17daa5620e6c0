"""A Store is a MutableMapping, from bytes to bytes."""

import collections.abc
import copy
import pickle
import unittest

import shmkv
from segments import SegmentTest


class Mapping(SegmentTest):
    def filled(self, n):
        kv = self.open()
        for i in range(n):
            kv["k%d" % i] = b"v%d" % i
        return kv

    def expected(self, n):
        return {b"k%d" % i: b"v%d" % i for i in range(n)}

    def test_is_a_mutable_mapping(self):
        kv = self.open()
        self.assertIsInstance(kv, collections.abc.MutableMapping)
        for method in ("get put delete exists get_size get_all keys values items pop popitem setdefault clear close "
                       "unlink info stats verify locks owners").split():
            self.assertGreater(len(getattr(kv, method).__doc__.split()), 3, method)
        for method in dir(collections.abc.MutableMapping):
            if not method.startswith("_"):
                self.assertTrue(callable(getattr(kv, method)), method)

    def test_item_access(self):
        kv = self.open()
        with self.assertRaises(KeyError) as raised:
            kv["k"]
        self.assertIsInstance(raised.exception, shmkv.NotFound)
        self.assertEqual(raised.exception.args, ("k",))
        self.assertEqual(str(raised.exception), '%s: no such key (key "k")' % kv.name)
        kv["k"] = "v"
        self.assertEqual(kv["k"], "v")
        self.assertIn("k", kv)
        self.assertIn(b"k", kv)
        self.assertNotIn("other", kv)
        self.assertEqual(len(kv), 1)
        del kv["k"]
        self.assertNotIn("k", kv)
        with self.assertRaises(KeyError):
            del kv["k"]

    def test_truth_is_length(self):
        kv = self.open()
        self.assertFalse(kv)
        kv["k"] = b"v"
        self.assertTrue(kv)

    def test_iteration(self):
        kv = self.filled(500)
        expected = self.expected(500)
        self.assertEqual(sorted(kv), sorted(expected))
        self.assertEqual(sorted(kv.keys()), sorted(expected))
        self.assertEqual(sorted(kv.values()), sorted(expected.values()))
        self.assertEqual(dict(kv.items()), expected)
        self.assertEqual(dict(kv), expected)
        self.assertEqual({**{k.decode(): v for k, v in kv.items()}}, {k.decode(): v for k, v in expected.items()})

    def test_views(self):
        kv = self.filled(10)
        self.assertEqual(len(kv.keys()), 10)
        self.assertEqual(len(kv.values()), 10)
        self.assertEqual(len(kv.items()), 10)
        self.assertIn("k1", kv.keys())
        self.assertNotIn("k99", kv.keys())
        self.assertIn(b"v1", kv.values())
        self.assertNotIn("v1", kv.values(), "text is not bytes")
        self.assertNotIn(b"v99", kv.values())
        self.assertIn(("k1", b"v1"), kv.items())
        self.assertIn((b"k1", bytearray(b"v1")), kv.items())
        self.assertNotIn(("k1", "v1"), kv.items())
        self.assertNotIn((b"k1", b"v2"), kv.items())
        self.assertNotIn((b"k99", b"v2"), kv.items())
        self.assertEqual(kv.keys() & {b"k1", b"nothing"}, {b"k1"})
        keys = kv.keys()
        kv["later"] = b""
        self.assertEqual(len(keys), 11, "a view shows what is there now")

    def test_pop_popitem_setdefault_update_clear(self):
        kv = self.filled(3)
        self.assertEqual(kv.pop("k0"), b"v0")
        with self.assertRaises(KeyError):
            kv.pop("k0")
        self.assertEqual(kv.pop("k0", "other"), "other")
        self.assertIsNone(kv.pop("k0", None))
        with self.assertRaises(TypeError):
            kv.pop("k0", 1, 2)
        self.assertEqual(kv.setdefault("k1", "x"), b"v1")
        self.assertEqual(kv.setdefault("new", "x"), "x")
        self.assertEqual(kv["new"], "x")
        self.assertIsNone(kv.setdefault("none"))
        self.assertIsNone(kv.pop("none", "default"), "None is a value")
        pairs = dict([kv.popitem(), kv.popitem(), kv.popitem()])
        self.assertEqual(pairs, {b"k1": b"v1", b"k2": b"v2", b"new": "x"})
        with self.assertRaises(KeyError):
            kv.popitem()
        kv.update({"a": "1"}, b="2")
        kv.update([("c", "3")])
        self.assertEqual(kv, {b"a": "1", b"b": "2", b"c": "3"})
        kv.clear()
        self.assertEqual(len(kv), 0)

    def test_equality(self):
        kv, same, other = self.filled(3), self.filled(3), self.filled(4)
        self.assertEqual(kv, same)
        self.assertNotEqual(kv, other)
        self.assertEqual(kv, self.expected(3))
        self.assertEqual(self.expected(3), kv)
        self.assertNotEqual(kv, 5)
        with self.assertRaises(TypeError):
            hash(kv)

    def test_what_cannot_be_a_key_is_not_in_it(self):
        kv = self.filled(3)
        for wrong in (5, None, 1.5, (b"k1",), object(), frozenset(), "", b"", "k" * 65537, "\ud800"):
            with self.subTest(wrong=str(type(wrong))):
                self.assertFalse(wrong in kv)
                self.assertFalse(wrong in kv.keys())
                self.assertFalse(wrong in kv.keys(prefix="k"))
                self.assertFalse((wrong, b"v1") in kv.items())
                self.assertFalse((wrong, b"v1") in kv.items(prefix="k"))
        for wrong in ([], {}, {b"k1"}, kv):  # as with a dict
            for where in (kv, kv.keys(), kv.keys(prefix="k")):
                with self.assertRaises(TypeError):
                    wrong in where
        self.assertIn(bytearray(b"k1"), kv)
        self.assertIn(memoryview(b"k1"), kv.keys(prefix=bytearray(b"k")))
        for wrong in (5, None, b"k1", (b"k1",), (b"k1", b"v1", 1), [b"k1", b"v1"]):
            self.assertFalse(wrong in kv.items())
        self.assertEqual(kv.keys() & {b"k1", 5, None, "k2"}, {b"k1", "k2"})
        self.assertTrue(kv.keys().isdisjoint([5, None]))
        self.assertEqual(kv.keys() - {5, b"k1"}, {b"k0", b"k2"})
        self.assertFalse(kv.keys() == {1, 2, 3})
        kv.close()
        for key in (b"k1", 5, ""):
            with self.assertRaises(shmkv.Closed):
                key in kv

    def test_or_and_the_like(self):
        kv = self.filled(1)
        same = kv
        kv |= {"a": 1}
        kv |= [("b", 2), (b"k0", 3)]
        self.assertIs(kv, same)
        self.assertEqual(kv, {b"k0": 3, b"a": 1, b"b": 2})
        other = self.open()
        other |= kv
        self.assertEqual(other, kv)
        for wrong in (5, None, [5]):
            with self.assertRaises(TypeError):
                kv |= wrong
        for call in (lambda: kv | {}, lambda: {} | kv, lambda: reversed(kv), lambda: kv < {}):
            with self.assertRaises(TypeError):
                call()
        for name in ("copy", "fromkeys"):
            self.assertFalse(hasattr(kv, name))
        with self.assertRaisesRegex(TypeError, kv.name + r": update\(\) takes a mapping or pairs .* not NoneType"):
            kv.update(None)

    def test_copies_are_the_same_pairs(self):
        kv = self.open("n", codec=pickle)
        kv["k"] = {1, 2}
        for copied in (copy.copy(kv), copy.deepcopy(kv), pickle.loads(pickle.dumps(kv)), copy.deepcopy({"in": [kv]})["in"][0]):
            self.assertEqual(copied["k"], {1, 2}, "it is not made anew")
            self.assertIsNot(copied, kv)
            copied["copy"] = 1
            self.assertEqual(kv.pop("copy"), 1)
            copied.close()
            self.assertEqual(kv["k"], {1, 2})
        self.assertNotEqual(kv, {"k": {1, 2}}, "keys are bytes")
        for thing in (kv.cursor(), iter(kv)):
            with self.assertRaises(TypeError):
                pickle.dumps(thing)
            with self.assertRaises(TypeError):
                copy.copy(thing)

    def test_shown(self):
        kv = self.filled(1)
        name = kv.name
        cursor = kv.cursor()
        self.assertEqual(repr(kv), "<shmkv.Store %r>" % name)
        self.assertEqual(repr(kv.keys()), "KeysView(<shmkv.Store %r>)" % name)
        self.assertEqual(repr(kv.items(prefix="a")), "ItemsView(<shmkv.Store %r>, prefix=b'a')" % name)
        self.assertEqual(repr(kv.lock("l")), "<shmkv lock 'l' of %r>" % name)
        self.assertEqual(repr(cursor), "<shmkv.Cursor of %r (open)>" % name)
        list(cursor)
        self.assertEqual(repr(cursor), "<shmkv.Cursor of %r (at its end)>" % name)
        kv.close()
        self.assertEqual(repr(kv.keys()), "KeysView(<shmkv.Store %r (closed)>)" % name)
        cursor.close()
        self.assertEqual(repr(cursor), "<shmkv.Cursor of %r (closed)>" % name)

    def test_a_transaction_is_no_sequence(self):
        kv = self.filled(1)
        for call in (list, iter, len, lambda txn: 5 in txn):
            with self.assertRaises(TypeError):
                kv.transaction(["k0"], call)

    def test_get_all_is_a_snapshot(self):
        kv = self.filled(3)
        everything = kv.get_all()
        self.assertIs(type(everything), dict)
        kv["k0"] = b"changed"
        everything[b"k1"] = b"mine"
        self.assertEqual(everything[b"k0"], b"v0")
        self.assertEqual(kv["k1"], b"v1")

    def test_deleting_while_iterating(self):
        kv = self.filled(300)
        for key in kv:
            del kv[key]
        self.assertEqual(len(kv), 0)

    def test_keys_that_stay_are_seen_once_while_others_come(self):
        kv = self.filled(200)
        seen = []
        for i, key in enumerate(kv):
            if key.startswith(b"k"):
                seen.append(key)
            if i < 2000:
                for extra in range(10):
                    kv["extra %d %d" % (i, extra)] = b"x" * 100
        self.assertEqual(sorted(seen), sorted(self.expected(200)))

    def test_iterators_are_independent(self):
        kv = self.filled(100)
        one, two = iter(kv), iter(kv.items())
        for _ in range(50):
            next(one)
        self.assertEqual(len(list(two)), 100)
        self.assertEqual(len(list(one)), 50)
        self.assertEqual(list(one), [], "the end stays the end")

    def test_iterator_keeps_the_segment(self):
        walk = iter(self.filled(10).items())
        self.assertEqual(dict(walk), self.expected(10))

    def test_iterators_after_close_raise(self):
        kv = self.filled(100)
        walks = [iter(kv), iter(kv.keys()), iter(kv.values()), iter(kv.items())]
        ended = iter(kv)
        list(ended)
        for walk in walks:
            next(walk)
        kv.close()
        for walk in walks + [ended]:
            with self.assertRaises(shmkv.Closed):
                next(walk)

    def test_iterator_of_a_replaced_segment_raises(self):
        kv = self.filled(100)
        walk = iter(kv)
        next(walk)
        shmkv.open(kv.name, "n").close()
        with self.assertRaises(shmkv.Stale):
            list(walk)
        self.assertEqual(list(kv), [])


if __name__ == "__main__":
    unittest.main()
