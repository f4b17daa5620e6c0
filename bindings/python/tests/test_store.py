"""The store from Python: single keys, bytes, everything at once, life and death."""

import array
import copy
import os
import pickle
import tempfile
import threading
import unittest

import shmkv
from segments import SegmentTest

# What strings of bytes should survive, as key and as value.
BYTES = {
    "NUL inside": b"a\0b",
    "only NUL": b"\0",
    "trailing NUL": b"a\0",
    "invalid UTF-8": b"\xff\xfe\x80",
    "all bytes": bytes(range(256)),
    "newlines": b"\r\n\n",
    "just the stack": b"y" * 4096,
    "stack and a byte": b"x" * 4097,
}


class SingleKeys(SegmentTest):
    def test_put_get_exists_delete_get_size(self):
        kv = self.open()
        self.assertIsNone(kv.get("k"))
        self.assertFalse(kv.exists("k"))
        self.assertIsNone(kv.put("k", "one"))
        self.assertEqual(kv.get("k"), "one")
        self.assertTrue(kv.exists("k"))
        kv.put("k", "two")
        self.assertEqual(kv.get("k"), "two")
        self.assertEqual(kv.get_size(), 1)
        self.assertIs(kv.delete("k"), True)
        self.assertIs(kv.delete("k"), False)
        self.assertIsNone(kv.get("k"))
        self.assertEqual(kv.get_size(), 0)

    def test_get_with_default(self):
        kv = self.open()
        default = object()
        self.assertIs(kv.get("k", default), default)
        kv["k"] = "v"
        self.assertEqual(kv.get("k", default), "v")


class Bytes(SegmentTest):
    def test_bytes_come_back_as_they_went(self):
        kv = self.open()
        for name, data in BYTES.items():
            with self.subTest(name):
                kv[b"key " + data] = data
                self.assertEqual(kv[b"key " + data], data)
                self.assertEqual(kv.get(b"key " + data), data)
        self.assertEqual(kv.get_all(), {b"key " + data: data for data in BYTES.values()})

    def test_empty_value_is_not_none(self):
        kv = self.open()
        kv["empty"] = b""
        self.assertEqual(kv["empty"], b"")
        self.assertEqual(kv.get("empty"), b"")
        self.assertIn("empty", kv)

    def test_long_keys_and_values(self):
        kv = self.open()
        value = os.urandom(3_000_000)
        kv["large"] = value
        self.assertEqual(kv["large"], value)
        kv[b"k" * 65536] = b"long key"
        self.assertEqual(kv[b"k" * 65536], b"long key")

    def test_str_is_utf8(self):
        kv = self.open()
        kv["caf\u00e9 \u263a \U0001f600"] = "\u00fc"
        self.assertEqual(kv["caf\u00e9 \u263a \U0001f600".encode()], "\u00fc")
        self.assertEqual(list(kv), ["caf\u00e9 \u263a \U0001f600".encode()])
        with self.assertRaises(UnicodeEncodeError):
            kv["\ud800"] = b"lone surrogate"
        self.assertEqual(len(kv), 1)

    def test_any_buffer_will_do(self):
        kv = self.open()
        buffers = [
            bytearray(b"bytearray"),
            memoryview(b"memoryview"),
            memoryview(b"xsliced")[1:],
            array.array("B", b"array"),
        ]
        for buffer in buffers:
            with self.subTest(buffer):
                kv[buffer] = buffer
                self.assertEqual(kv[bytes(buffer)], bytes(buffer))
                self.assertIn(buffer, kv)
                self.assertEqual(kv.get(buffer), bytes(buffer))
                self.assertTrue(kv.delete(buffer))
        numbers = array.array("I", [1, 2, 3])
        kv.put("numbers", numbers)
        self.assertEqual(kv["numbers"], numbers.tobytes())

    def test_buffers_are_let_go(self):
        kv = self.open()
        buffer = bytearray(b"k")
        kv[buffer] = buffer
        kv[buffer], buffer in kv, kv.get(buffer)
        kv.put(buffer, buffer)
        kv.delete(buffer)
        for bad in (object(), [buffer]):
            with self.assertRaises(TypeError):
                kv.put(buffer, bad)
        buffer += b"k" * 1000  # BufferError while anything holds it

    def test_bytes_subclasses(self):
        class Key(bytes):
            pass

        kv = self.open()
        kv[Key(b"k")] = Key(b"v")
        self.assertEqual(kv[b"k"], b"v")


class Segments(SegmentTest):
    def test_segment_outlives_the_object(self):
        name = self.segment()
        with shmkv.open(name) as kv:
            kv["k"] = "v"
        with shmkv.open(name) as kv:
            self.assertEqual(kv["k"], "v")
            self.assertEqual(kv.verify(), [])
        shmkv.open(name)["dropped"] = b"without close"
        with shmkv.open(name, "r") as kv:
            self.assertEqual(kv["dropped"], b"without close")

    def test_flags(self):
        name = self.segment()
        for flag in "rw":
            with self.assertRaises(shmkv.NoSegment):
                shmkv.open(name, flag)
        kv = shmkv.open(name, "c")
        kv["k"] = b"v"
        self.assertEqual(shmkv.open(name)["k"], b"v")
        self.assertEqual(shmkv.open(name, "w")["k"], b"v")
        reader = shmkv.open(name, "r")
        self.assertEqual(reader["k"], b"v")
        self.assertEqual(reader.get_all(), {b"k": b"v"})
        with self.assertRaises(shmkv.ReadOnly):
            reader["k"] = b"w"
        with self.assertRaises(shmkv.ReadOnly):
            del reader["k"]
        self.assertEqual(kv["k"], b"v")
        fresh = shmkv.open(name, "n")
        self.assertEqual(len(fresh), 0)
        self.assertNotIn("k", kv, "an attached store moves along")
        kv["new"] = b"one"
        self.assertEqual(fresh["new"], b"one")

    def test_stay(self):
        name = self.segment()
        kv = shmkv.open(name, stay=True)
        kv["k"] = b"v"
        shmkv.open(name, "n").close()
        with self.assertRaises(shmkv.Stale):
            kv["k"]

    def test_two_stores_one_segment(self):
        name = self.segment()
        one, two = shmkv.open(name), shmkv.open(name)
        one["k"] = b"v"
        self.assertEqual(two["k"], b"v")
        self.assertEqual(one, two)

    def test_unlink(self):
        name = self.segment()
        kv = shmkv.open(name)
        kv["k"] = b"v"
        self.assertIsNone(kv.unlink())
        self.assertEqual(kv["k"], b"v", "an attached store keeps the segment")
        with self.assertRaises(shmkv.NoSegment):
            shmkv.unlink(name)
        shmkv.open(name)["k"] = b"other"
        self.assertEqual(kv["k"], b"v")
        shmkv.unlink(name.encode())

    def test_a_path_is_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "store")
            with shmkv.open(path) as kv:
                kv["k"] = b"v"
                self.assertEqual(kv.name, path)
            self.assertTrue(os.path.isfile(path))
            self.assertEqual(shmkv.open(path, "r")["k"], b"v")
            shmkv.unlink(path)
            self.assertFalse(os.path.exists(path))

    def test_pickled_store_opens_again(self):
        kv = self.open("n")
        kv["k"] = b"v"
        again = pickle.loads(pickle.dumps(kv))
        self.assertEqual(again["k"], b"v", "and 'n' does not begin afresh")
        again["k"] = b"w"
        self.assertEqual(kv["k"], b"w")
        self.assertEqual(copy.copy(kv)["k"], b"w")

    def test_facts(self):
        kv = self.open(permissions=0o640, owner_slots=16, lock_timeout_ms=1000, max_size=1 << 24)
        kv.update(("k%d" % i, b"v") for i in range(10))
        info = kv.info()
        self.assertEqual(info["revision"], 1)
        self.assertEqual(info["permissions"], 0o640)
        self.assertEqual(info["max_key"], 65536)
        self.assertEqual(info["max_value"], 2**32 - 1)
        self.assertRegex(info["uuid"], r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
        self.assertEqual(kv.stats()["entries"], 10)
        self.assertIn("shard", [lock["kind"] for lock in kv.locks()])
        self.assertIn((os.getpid(), "alive"), [(o["pid"], o["liveness"]) for o in kv.owners()])
        self.assertEqual(kv.verify(), [])
        self.assertRegex(shmkv.version(), r"\A\d+\.\d+\.\d+\Z")
        self.assertIn(kv.name, repr(kv))


class Life(SegmentTest):
    def use(self, kv):
        """Each way to use a store."""
        return {
            "[]": lambda: kv["k"],
            "[]=": lambda: kv.__setitem__("k", "v"),
            "del": lambda: kv.__delitem__("k"),
            "in": lambda: "k" in kv,
            "len": lambda: len(kv),
            "iter": lambda: iter(kv),
            "get": lambda: kv.get("k"),
            "put": lambda: kv.put("k", "v"),
            "delete": lambda: kv.delete("k"),
            "exists": lambda: kv.exists("k"),
            "get_size": lambda: kv.get_size(),
            "get_all": lambda: kv.get_all(),
            "keys": lambda: list(kv.keys()),
            "values": lambda: list(kv.values()),
            "items": lambda: list(kv.items()),
            "pop": lambda: kv.pop("k"),
            "popitem": lambda: kv.popitem(),
            "setdefault": lambda: kv.setdefault("k", "v"),
            "update": lambda: kv.update({"k": "v"}),
            "clear": lambda: kv.clear(),
            "==": lambda: kv == {},
            "info": lambda: kv.info(),
            "stats": lambda: kv.stats(),
            "verify": lambda: kv.verify(),
            "locks": lambda: kv.locks(),
            "owners": lambda: kv.owners(),
        }

    def test_use_after_close(self):
        kv = self.open()
        self.assertFalse(kv.closed)
        kv.close()
        kv.close()
        self.assertTrue(kv.closed)
        self.assertIn("closed", repr(kv))
        for name, call in self.use(kv).items():
            with self.subTest(name), self.assertRaises(shmkv.Closed):
                call()

    def test_use_before_init(self):
        for name, call in self.use(shmkv.Store.__new__(shmkv.Store)).items():
            with self.subTest(name), self.assertRaises(shmkv.Closed):
                call()

    def test_context_manager(self):
        name = self.segment()
        with self.assertRaises(ZeroDivisionError):
            with shmkv.open(name) as kv:
                kv["k"] = b"v"
                1 / 0
        self.assertTrue(kv.closed)

    def test_closed_by_another_thread(self):
        # A close() while others are inside get_all() and verify() must wait for them.
        for _ in range(20):
            kv = shmkv.open(self.segment())
            kv.update(("key %d" % i, b"v" * 100) for i in range(2000))
            failures = []

            def read():
                try:
                    while True:
                        if len(kv.get_all()) != 2000 or kv.verify():
                            failures.append("wrong")
                except shmkv.Closed:
                    pass
                except BaseException as error:
                    failures.append(error)

            threads = [threading.Thread(target=read) for _ in range(3)]
            for thread in threads:
                thread.start()
            kv.get_all()
            kv.close()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])

    def test_threads_share_a_store(self):
        kv = self.open()

        def write(worker):
            for i in range(1000):
                kv["%d/%d" % (worker, i)] = b"%d" % i

        threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(kv), 4000)
        self.assertEqual(kv.verify(), [])

    def test_many_keys(self):
        kv = self.open()
        n = 20_000
        for i in range(n):
            kv["key %d" % i] = b"value %d" % i
        self.assertEqual(len(kv), n)
        self.assertTrue(all(kv["key %d" % i] == b"value %d" % i for i in range(n)))
        for i in range(0, n, 2):
            del kv["key %d" % i]
        self.assertEqual(len(kv), n // 2)
        self.assertEqual(kv.get_all(), {b"key %d" % i: b"value %d" % i for i in range(1, n, 2)})
        self.assertEqual(kv.verify(), [])

    def test_calls_do_not_leak(self):
        import sys

        kv = self.open()
        key, value, default = b"a key of its own", b"some value", object()
        kv[key] = value
        before = [sys.getrefcount(x) for x in (key, value, default, None)]
        for _ in range(1000):
            kv[key], kv.get(key), kv.get(b"x", default), kv.put(key, value), kv.get(b"x")
            key in kv, kv.exists(key), kv.delete(b"x"), len(kv), list(kv), kv.get_size(), kv.locks()
            try:
                kv[b""]
            except shmkv.BadKey:
                pass
        after = [sys.getrefcount(x) for x in (key, value, default, None)]
        for was, now in zip(before, after):
            self.assertLess(abs(now - was), 500)


if __name__ == "__main__":
    unittest.main()
