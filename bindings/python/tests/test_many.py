"""put_many, delete_many and update: many keys in one call."""

import collections
import pickle
import threading
import unittest

import shmkv
from segments import SegmentTest


class PutMany(SegmentTest):
    def test_mapping_and_pairs_when_put_then_all_are_there_with_their_types(self):
        kv = self.open()
        values = {"text": "é", "bytes": b"\0\xff", "int": -5, "float": 2.5, "true": True, "none": None,
                  "list": [1, "two", None], "dict": {"a": {}}, "empty": "", "long": "x" * 100000}
        self.assertIsNone(kv.put_many(values))
        self.assertEqual(kv.get_all(), {key.encode(): value for key, value in values.items()})
        kv.clear()
        kv.put_many((key, value) for key, value in values.items())
        kv.put_many([[b"list of two", 1], (bytearray(b"a buffer"), memoryview(b"value"))])
        self.assertEqual(len(kv), len(values) + 2)
        self.assertEqual(kv["a buffer"], b"value")
        kv.put_many({})
        kv.put_many([])
        kv.put_many(collections.UserDict(a=1))
        self.assertEqual(kv["a"], 1)

    def test_other_store_when_put_then_copied(self):
        kv, other = self.open(), self.open()
        other.put_many((str(i), i) for i in range(5000))
        kv.put_many(other)
        self.assertEqual(kv, other)

    def test_key_twice_when_put_then_the_last_value_stays(self):
        kv = self.open()
        kv.put_many([("a", 1), ("b", 2), (b"a", 3)])
        self.assertEqual(kv.get_all(), {b"a": 3, b"b": 2})

    def test_argument_when_wrong_then_nothing_is_stored(self):
        kv = self.open()
        for wrong, error in [(("", 1), shmkv.BadKey), (("k" * 65537, 1), shmkv.BadKey), ((5, 1), TypeError),
                             (("k", 2**64), shmkv.BadValue), (("k", object()), TypeError), (("k",), ValueError),
                             (("k", 1, 2), ValueError), (5, TypeError), (("k", [float("nan")]), ValueError)]:
            pairs = [(str(i), i) for i in range(1000)]
            pairs.insert(700, wrong)
            with self.subTest(wrong), self.assertRaises(error):
                kv.put_many(pairs)
            self.assertEqual(len(kv), 0)
        with self.assertRaises(TypeError):
            kv.put_many(5)
        with self.assertRaises(shmkv.BadArgument):
            kv.put_many({"a": 1}, ttl=-1)
        self.assertEqual(len(kv), 0)

    def test_space_when_short_then_the_detail_tells_how_many(self):
        kv = self.open(max_size=4 << 20)
        with self.assertRaises(shmkv.NoSpace) as caught:
            kv.put_many((str(i), bytes(50000)) for i in range(200))
        self.assertRegex(caught.exception.detail, r'key "%d"; %d of 200 done' % (len(kv), len(kv)))
        self.assertEqual(caught.exception.done, len(kv))
        self.assertTrue(10 < len(kv) < 200)
        with self.assertRaises(shmkv.BadKey) as caught:
            kv.put_many({"": 1})
        self.assertEqual(caught.exception.done, 0)
        with self.assertRaises(shmkv.BadKey) as caught:
            kv.put("", 1)
        self.assertIsNone(caught.exception.done)

    def test_options_when_given_then_of_all(self):
        kv = self.open()
        kv.put_many({"a": 1, "b": 2}, ttl=0)
        self.assertNotIn("a", kv)
        kv.put_many({"a": 1, "b": 2}, ttl=1000)
        self.assertIsNotNone(kv.get_item("b")["expires_ns"])
        with shmkv.open(kv.name) as other:
            other.put_many({"c": 3, "d": 4}, bound=True)
            self.assertTrue(kv.get_item("d")["bound"])
        self.assertNotIn("c", kv)

    def test_codec_when_it_raises_or_closes_then_nothing_is_stored(self):
        class Closing:
            loads = staticmethod(pickle.loads)

            def dumps(self, value):
                if value == {1}:
                    raise LookupError("no")
                kv.close()
                return b"coded"

        kv = shmkv.open(self.segment(), codec=Closing())
        with self.assertRaises(LookupError):
            kv.put_many({"a": 1, "b": {1}})
        self.assertEqual(len(kv), 0)
        with self.assertRaises(shmkv.Closed):
            kv.put_many({"a": 1, "b": {2}})
        with self.assertRaises(shmkv.Closed):
            kv.put_many({})

    def test_threads_when_they_put_at_once_then_all_is_stored(self):
        kv = self.open()

        def work(number):
            for i in range(20):
                kv.put_many(("%d-%d-%d" % (number, i, k), bytearray(b"x" * k)) for k in range(100))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(kv), 4 * 20 * 100)
        self.assertEqual(kv["3-19-99"], b"x" * 99)
        self.assertEqual(kv.verify(), [])

    def test_update_when_called_as_of_a_dict_then_does_as_a_dict(self):
        kv, plain = self.open(), {}
        for arguments, keywords in [(({"a": 1},), {}), (([("b", 2), ("a", 3)],), {}), ((), {"c": 4}),
                                    (({"d": 5},), {"a": 6}), ((collections.UserDict(e=7),), {})]:
            kv.update(*arguments, **keywords)
            plain.update(*arguments, **keywords)
        self.assertEqual(kv.get_all(), {key.encode(): value for key, value in plain.items()})
        kv.update((str(i), i) for i in range(2500))
        self.assertEqual(len(kv), 2505)
        with self.assertRaises(TypeError):
            kv.update(5)
        with self.assertRaises(TypeError):
            kv.update({}, {})


class DeleteMany(SegmentTest):
    def test_keys_when_deleted_then_tells_how_many_there_were(self):
        kv = self.open()
        kv.put_many((str(i), i) for i in range(1000))
        self.assertEqual(kv.delete_many(str(i) for i in range(500, 1500)), 500)
        self.assertEqual(len(kv), 500)
        self.assertEqual(kv.delete_many(["0", b"0", bytearray(b"1"), "none"]), 2)
        self.assertEqual(kv.delete_many([]), 0)
        self.assertEqual(kv.delete_many(kv.keys()), 498)

    def test_key_when_wrong_then_none_is_deleted(self):
        kv = self.open()
        kv.put_many({"a": 1, "b": 2})
        with self.assertRaises(shmkv.BadKey):
            kv.delete_many(["a", "b", ""])
        with self.assertRaises(TypeError):
            kv.delete_many(["a", 5])
        self.assertEqual(len(kv), 2)
        kv.close()
        with self.assertRaises(shmkv.Closed):
            kv.delete_many(["a"])


if __name__ == "__main__":
    unittest.main()
