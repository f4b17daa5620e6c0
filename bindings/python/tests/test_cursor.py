"""Cursors: prefixes and positions."""

import itertools
import multiprocessing
import os
import signal
import unittest

import shmkv
from segments import SegmentTest


def filled(kv, count=2000):
    kv.put_many(("user:%d" % i if i % 2 else "other:%d" % i, i) for i in range(count))
    return kv


class Prefix(SegmentTest):
    def test_views_when_of_a_prefix_then_have_what_begins_with_it(self):
        kv = filled(self.open())
        users = {b"user:%d" % i: i for i in range(1, 2000, 2)}
        for prefix in ("user:", b"user:", memoryview(b"user:")):
            self.assertEqual(set(kv.keys(prefix=prefix)), set(users))
            self.assertEqual(sorted(kv.values(prefix=prefix)), sorted(users.values()))
            self.assertEqual(dict(kv.items(prefix=prefix)), users)
            self.assertEqual(len(kv.keys(prefix=prefix)), 1000)
        self.assertEqual(len(kv.items(prefix=b"")), 2000)
        self.assertEqual(len(kv.keys()), 2000)
        self.assertEqual(list(kv.keys(prefix="user:12345678")), [])
        self.assertEqual(list(kv.keys(prefix=b"user:1999")), [b"user:1999"])

    def test_views_when_asked_for_what_they_contain_then_heed_the_prefix(self):
        kv = filled(self.open(), 10)
        self.assertIn("user:1", kv.keys(prefix="user:"))
        self.assertIn(b"user:1", kv.keys(prefix="user:"))
        self.assertNotIn("other:2", kv.keys(prefix="user:"))
        self.assertIn("other:2", kv.keys())
        self.assertIn(("user:1", 1), kv.items(prefix=b"user:"))
        self.assertNotIn(("other:2", 2), kv.items(prefix=b"user:"))
        self.assertIn(1, kv.values(prefix="user:"))
        self.assertNotIn(2, kv.values(prefix="user:"))
        self.assertEqual(kv.keys(prefix="user:") & {b"user:1", b"other:2"}, {b"user:1"})

    def test_prefix_when_it_is_none_then_refused(self):
        kv = self.open()
        with self.assertRaises(TypeError):
            iter(kv.keys(prefix=5))
        with self.assertRaises(shmkv.BadKey):
            kv.cursor(prefix=b"x" * 65537)


class Position(SegmentTest):
    def test_cursor_when_another_goes_on_then_each_key_is_given_once(self):
        kv = filled(self.open())
        position, seen = None, []
        while True:
            with shmkv.open(kv.name, "r") as other:
                cursor = other.cursor(position=position, prefix="user:")
                some = list(itertools.islice(cursor, 70))
                position = cursor.position
            self.assertEqual(len(position), 32)
            seen += some
            if not some:
                break
            kv.put_many(("more:%d:%d" % (len(seen), i), None) for i in range(3000))
        self.assertEqual(sorted(seen), sorted((b"user:%d" % i, i) for i in range(1, 2000, 2)))
        self.assertEqual(list(kv.cursor(position=position)), [])

    def test_keys_only_when_asked_for_then_keys(self):
        kv = filled(self.open(), 10)
        self.assertEqual(set(kv.cursor(keys_only=True)), set(kv))
        self.assertEqual(set(kv.cursor(keys_only=True, prefix="user:")), set(kv.keys(prefix="user:")))
        self.assertEqual(len(kv.keys().__iter__().position), 32)

    def test_process_when_killed_then_another_goes_on(self):
        kv = filled(self.open(), 5000)
        ours, theirs = multiprocessing.Pipe()
        pid = os.fork()
        if not pid:
            try:
                cursor = kv.cursor()
                for n, (key, _) in enumerate(cursor, 1):
                    theirs.send((key, cursor.position))
                    if n == 1500:
                        signal.pause()
            finally:
                os._exit(1)
        seen = []
        while len(seen) < 1500:
            key, position = ours.recv()
            seen.append(key)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        kv.put_many(("more:%d" % i, i) for i in range(60000))
        seen += [key for key, _ in kv.cursor(position=position) if not key.startswith(b"more:")]
        self.assertEqual(len(seen), 5000)
        self.assertEqual(len(set(seen)), 5000)

    def test_position_when_it_is_none_then_refused(self):
        kv = filled(self.open(), 100)
        cursor = kv.cursor()
        next(cursor)
        position = cursor.position
        for wrong in (b"", b"x", position[:-1], position + b"\0", bytes(32), os.urandom(32), position[::-1]):
            with self.subTest(wrong), self.assertRaises(shmkv.BadArgument):
                kv.cursor(position=wrong)
        with self.assertRaises(TypeError):
            kv.cursor(position=5)
        with self.assertRaises(shmkv.Stale):
            self.open().cursor(position=position)
        with self.assertRaises((AttributeError, TypeError)):
            cursor.position = position
        shmkv.open(kv.name, "n").close()
        with self.assertRaises(shmkv.Stale):
            cursor.position
        with self.assertRaises(shmkv.Stale):
            kv.cursor(position=position)

    def test_cursor_when_at_its_end_or_closed_then_has_a_position_or_none(self):
        kv = filled(self.open(), 3)
        cursor = kv.cursor()
        self.assertEqual(len(list(cursor)), 3)
        self.assertEqual(list(kv.cursor(position=cursor.position)), [])
        cursor.close()
        cursor.close()
        with self.assertRaises(shmkv.Closed):
            cursor.position
        with self.assertRaises(shmkv.Closed):
            next(cursor)
        cursor = kv.cursor()
        kv.close()
        with self.assertRaises(shmkv.Closed):
            cursor.position
        with self.assertRaises(shmkv.Closed):
            kv.cursor()


if __name__ == "__main__":
    unittest.main()
