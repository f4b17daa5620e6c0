"""Bad input: one class per code, and nothing changed."""

import errno
import os
import pickle
import unittest

import shmkv
from segments import SegmentTest


class Errors(SegmentTest):
    def setUp(self):
        self.kv = self.open()
        self.kv["k"] = b"v"

    def tearDown(self):
        self.assertEqual(self.kv.get_all(), {b"k": b"v"}, "nothing has changed")

    def uses(self, key):
        kv = self.kv
        return {
            "[]": lambda: kv[key],
            "[]=": lambda: kv.__setitem__(key, b"x"),
            "del": lambda: kv.__delitem__(key),
            "get": lambda: kv.get(key),
            "get, default": lambda: kv.get(key, 1),
            "put": lambda: kv.put(key, b"x"),
            "delete": lambda: kv.delete(key),
            "exists": lambda: kv.exists(key),
            "pop": lambda: kv.pop(key),
            "setdefault": lambda: kv.setdefault(key, b"x"),
        }

    def test_bad_keys(self):
        for key in (b"", "", bytearray(), b"k" * 65537, "\u00e9" * 32769):
            for name, call in self.uses(key).items():
                with self.subTest(name, length=len(key)), self.assertRaises(shmkv.BadKey):
                    call()

    def test_wrong_types(self):
        for wrong in (None, 5, 1.5, [b"k"], (b"k",), {}, object(), self.kv):
            for name, call in self.uses(wrong).items():
                with self.subTest(name, key=wrong), self.assertRaises(TypeError):
                    call()
        for wrong in (object(), self.kv, {1, 2}, 1j, [object()], {"a": b"bytes"}, {5: "five"}):
            for call in (lambda: self.kv.put("k", wrong), lambda: self.kv.__setitem__("k", wrong)):
                with self.subTest(value=wrong), self.assertRaises(TypeError):
                    call()
        with self.assertRaisesRegex(TypeError, "a key must be bytes, str or a buffer, not list"):
            self.kv[[]]
        with self.assertRaisesRegex(TypeError, "a value must be bytes, str, int, .* not object"):
            self.kv["never"] = object()
        self.assertNotIn("never", self.kv)

    def test_buffers_that_are_not_contiguous(self):
        with self.assertRaises(BufferError):
            self.kv[memoryview(b"abcdef")[::2]] = b"x"

    def test_wrong_number_of_arguments(self):
        kv = self.kv
        for call in (
            lambda: kv.get(),
            lambda: kv.get(1, 2, 3),
            lambda: kv.put("k"),
            lambda: kv.put("k", "v", "w"),
            lambda: kv.exists(),
            lambda: kv.delete(),
            lambda: kv.get_size(1),
        ):
            with self.assertRaises(TypeError):
                call()

    def test_methods_want_a_store(self):
        for call in (
            lambda: shmkv.Store.get({}, "k"),
            lambda: shmkv.Store.put(None, "k", "v"),
            lambda: shmkv.Store.delete(iter(self.kv), "k"),
            lambda: shmkv.Store.__getitem__({}, "k"),
            lambda: type(iter(self.kv)).__next__(self.kv),
        ):
            with self.assertRaises(TypeError):
                call()
        with self.assertRaises(TypeError):
            type(iter(self.kv))()

    def test_bad_names(self):
        for name in ("", "n" * 255, "a/b", "a\0b", b"", b"a/b"):
            for flag in "rwcn":
                with self.subTest(name=name, flag=flag), self.assertRaises(shmkv.BadName):
                    shmkv.open(name, flag)
            with self.subTest(name=name), self.assertRaises(shmkv.BadName):
                shmkv.unlink(name)
        for name in (None, 5, ["x"]):
            with self.subTest(name=name), self.assertRaisesRegex(TypeError, "a segment name must be"):
                shmkv.open(name)
            with self.subTest(name=name), self.assertRaisesRegex(TypeError, "a segment name must be"):
                shmkv.unlink(name)

    def test_bad_options(self):
        name = self.kv.name
        for flag in ("x", "", "rw"):
            with self.subTest(flag=flag), self.assertRaises(shmkv.BadArgument):
                shmkv.open(name, flag)
        for flag in (None, 1, b"c"):
            with self.subTest(flag=flag), self.assertRaisesRegex(TypeError, name + ": flag must be a str, not "):
                shmkv.open(name, flag)
        for ttl in (-1, 10**400, 10**5000, float("nan"), 2**80):
            with self.assertRaisesRegex(shmkv.BadArgument, "default"):
                shmkv.open(name, default_ttl=ttl)
        for ttl in ("5", [], 1j):
            with self.subTest(ttl=ttl), self.assertRaisesRegex(TypeError, name + ": default_ttl must be"):
                shmkv.open(name, default_ttl=ttl)
        for option in ("reserve", "lock_timeout_ms", "permissions", "owner_slots", "max_size"):
            for number in (-1, 2**64, 10**5000):
                with self.subTest(option, number=number), self.assertRaises(shmkv.BadArgument):
                    shmkv.open(name, **{option: number})
            with self.subTest(option), self.assertRaises(TypeError):
                shmkv.open(name, **{option: "5"})
        with self.assertRaises(TypeError):
            shmkv.open(name, colour="red")

    def test_what_is_not_ours_is_left_alone(self):
        name = self.segment()
        path = "/dev/shm/" + name
        with open(path, "wb") as file:
            file.write(b"somebody else" * 1000)
        try:
            for flag in "rwcn":
                with self.subTest(flag), self.assertRaises(shmkv.Foreign):
                    shmkv.open(name, flag)
            with self.assertRaises(shmkv.Foreign):
                shmkv.unlink(name)
            with open(path, "rb") as file:
                self.assertEqual(file.read(), b"somebody else" * 1000)
        finally:
            os.unlink(path)

    def test_error_attributes(self):
        with self.assertRaises(shmkv.BadKey) as raised:
            self.kv[b""] = b"v"
        error = raised.exception
        self.assertIsInstance(error, shmkv.Error)
        self.assertIsInstance(error, ValueError)
        self.assertEqual(error.code, -11)
        self.assertEqual(error.name, "SHMKV_EKEY")
        self.assertIn("bad key", error.detail)
        self.assertEqual(str(error), error.detail)
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(again), again.args, again.detail), (type(error), error.args, error.detail))

    def test_missing_keys(self):
        kv = self.kv
        ways = {
            "[]": lambda key: kv[key],
            "del": lambda key: kv.__delitem__(key),
            "pop": lambda key: kv.pop(key),
            "txn []": lambda key: kv.transaction([key], lambda txn: txn[key]),
            "txn del": lambda key: kv.transaction([key], lambda txn: txn.__delitem__(key)),
        }
        for key in ("none", b"none", bytearray(b"none")):
            for name, way in ways.items():
                with self.subTest(name, key=key):
                    with self.assertRaises(KeyError) as raised:
                        way(key)
                    error = raised.exception
                    self.assertIs(type(error), shmkv.NotFound)
                    self.assertIs(error.args[0], key)
                    self.assertEqual(len(error.args), 1)
                    self.assertEqual((error.segment, error.code, error.name), (kv.name, -1, "SHMKV_ENOTFOUND"))
                    self.assertEqual(str(error), '%s: no such key (key "none")' % kv.name)
                    self.assertEqual(error.detail, str(error))
                    self.assertEqual(repr(error), "NotFound(%r)" % (key,))
                    again = pickle.loads(pickle.dumps(error))
                    self.assertEqual((type(again), again.args, str(again), again.segment),
                                     (type(error), error.args, str(error), error.segment))
        self.assertEqual(str(shmkv.NotFound("mine")), "'mine'")
        self.assertIsNone(shmkv.NotFound("mine").segment)
        empty = self.open()
        with self.assertRaisesRegex(KeyError, empty.name + ": popitem"):
            empty.popitem()

    def test_system_failure(self):
        with self.assertRaises(shmkv.SystemFailure) as raised:
            shmkv.open("/nowhere/at/all")
        error = raised.exception
        self.assertIsInstance(error, shmkv.Error)
        self.assertIsInstance(error, OSError)
        self.assertEqual(error.errno, errno.ENOENT)
        self.assertEqual(error.code, errno.ENOENT)
        self.assertIsNone(error.name)

    def test_one_class_per_code(self):
        classes = [getattr(shmkv, name) for name in shmkv.__all__ if isinstance(getattr(shmkv, name), type)]
        classes = [c for c in classes if issubclass(c, shmkv.Error) and c.code < 0]
        self.assertGreaterEqual(len(classes), 21)
        self.assertEqual(len({c.code for c in classes}), len(classes))
        for c in classes:
            self.assertRegex(c.name, r"\ASHMKV_E[A-Z]+\Z")
            self.assertTrue(c.__doc__)
            self.assertEqual(c.__module__, "shmkv")


if __name__ == "__main__":
    unittest.main()
