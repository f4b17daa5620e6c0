"""Freeze and sync, dump and load, and many keys at once."""

import array
import errno
import fcntl
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import termios
import threading
import unittest

import shmkv
from segments import SegmentTest

ENTRIES = {b"bytes": b"\0\xff", b"text": "caf\u00e9", b"int": -1, b"float": 1.5, b"none": None, b"json": {"a": [1, True]}}


class Transfer(SegmentTest):
    def setUp(self):
        super().setUp()
        self.kv = self.open()
        self.kv.update(ENTRIES)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "dump")

    def loaded(self, file):
        kv = self.open()
        self.assertEqual(kv.load(file), len(ENTRIES))
        return kv.get_all()

    def test_a_path_of_each_kind(self):
        for path in (self.path, self.path.encode(), pathlib.Path(self.path)):
            self.assertEqual(self.kv.dump(path), len(ENTRIES))
            self.assertEqual(self.loaded(path), ENTRIES)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["dump"])

    def test_a_dump_that_fails_leaves_the_older_file(self):
        self.kv.dump(self.path)
        victim = shmkv.open(self.segment(), stay=True)
        shmkv.open(victim.name, "n").close()
        with self.assertRaises(shmkv.Stale):
            victim.dump(self.path)
        self.assertEqual(self.loaded(self.path), ENTRIES)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["dump"])

    def test_files_that_cannot_be_opened_are_named(self):
        missing = os.path.join(os.path.dirname(self.path), "none", "dump")
        for call in (self.kv.dump, self.kv.load):
            with self.assertRaises(shmkv.SystemFailure) as caught:
                call(missing)
            self.assertEqual(caught.exception.errno, 2)
            self.assertIn(missing, caught.exception.detail)
            with self.assertRaises(shmkv.BadArgument):
                call("nul\0byte")
            for bad in (None, 1.5, object()):
                with self.assertRaises(TypeError):
                    call(bad)
            with self.assertRaises(io.UnsupportedOperation):
                call(io.BytesIO())

    def test_open_files_before_and_behind_other_bytes(self):
        with open(self.path, "w+b") as file:
            file.write(b"before")
            self.kv.dump(file)
            self.kv.dump(file.fileno(), snapshot=True)
            file.seek(0, os.SEEK_END)
            file.write(b"behind")
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(6), b"before")
            self.assertEqual(self.loaded(file), ENTRIES)
            self.assertEqual(self.loaded(file), ENTRIES)
            self.assertEqual(file.read(), b"behind")
        with open(self.path, "rb") as file:
            file.seek(6)
            with open(self.path, "r+b") as writer:
                writer.seek(100)
                writer.write(b"damage!!")
            with self.assertRaises(shmkv.BadDump):
                self.open().load(file)

    def test_text_files(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write("before")
            self.kv.dump(file)
        with open(self.path, encoding="ascii") as file:
            file.buffer.read(6)
            self.assertEqual(self.loaded(file), ENTRIES)

    def test_a_pipe_to_another_process_while_other_threads_run(self):
        other = self.segment()
        self.kv["large"] = os.urandom(1_000_000)
        # The child reads when it gets a byte, which this thread sends while the other is in dump().
        code = "import os, shmkv, sys; os.read(0, 1); print(shmkv.open(sys.argv[1]).load(int(sys.argv[2])))"
        read, write = os.pipe()
        child = subprocess.Popen([sys.executable, "-c", code, other, str(read)], pass_fds=[read],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.close(read)
        thread = threading.Thread(target=lambda: (self.kv.dump(write), os.close(write)))
        thread.start()
        self.assertEqual(self.kv["int"], -1)
        self.assertEqual(child.communicate(b"!")[0].strip(), b"%d" % (len(ENTRIES) + 1))
        thread.join()
        self.assertEqual(child.returncode, 0)
        self.assertEqual(shmkv.open(other).get_all(), self.kv.get_all())

    def test_a_closed_pipe_is_an_error(self):
        read, write = os.pipe()
        os.close(read)
        with self.assertRaises(OSError) as caught:
            self.kv.dump(write)
        os.close(write)
        self.assertEqual(caught.exception.errno, errno.EPIPE)

    def test_a_load_under_way_finishes_after_close(self):
        self.kv.dump(self.path)
        with open(self.path, "rb") as file:
            dump = file.read()
        read, write = os.pipe()
        kv = shmkv.open(self.segment())
        loaded = []
        thread = threading.Thread(target=lambda: loaded.append(kv.load(read)))
        thread.start()
        os.write(write, dump[:100])
        waiting = array.array("i", [100])
        while waiting[0]:  # until it has read them, and so is inside
            fcntl.ioctl(read, termios.FIONREAD, waiting)
        kv.close()
        self.assertTrue(kv.closed)
        os.write(write, dump[100:])
        thread.join()
        os.close(read)
        os.close(write)
        self.assertEqual(loaded, [len(ENTRIES)])
        self.assertEqual(shmkv.open(kv.name).get_all(), ENTRIES)

    def test_options_of_load(self):
        self.kv.dump(self.path)
        kv = self.open()
        kv.update({"int": "own", "more": 1})
        self.assertEqual(kv.load(self.path, keep=True), len(ENTRIES) - 1)
        self.assertEqual(kv.get_all(), {**ENTRIES, b"int": "own", b"more": 1})
        self.assertEqual(kv.load(self.path), len(ENTRIES))
        self.assertEqual(kv.get_all(), {**ENTRIES, b"more": 1})
        self.assertEqual(kv.load(self.path, replace=True), len(ENTRIES))
        self.assertEqual(kv.get_all(), ENTRIES)
        with self.assertRaises(shmkv.BadArgument):
            kv.load(self.path, keep=True, replace=True)
        os.truncate(self.path, os.path.getsize(self.path) - 1)
        kv["mine"] = 1
        with self.assertRaises(shmkv.BadDump):
            kv.load(self.path, replace=True)
        self.assertEqual(kv["mine"], 1)

    def test_frozen(self):
        self.assertEqual(self.kv.info()["frozen"], 0)
        self.assertIsNone(self.kv.freeze())
        self.assertEqual(self.kv.info()["frozen"], 1)
        for call in (lambda: self.kv.put("k", 1), lambda: self.kv.delete("int"), lambda: self.kv.take("int")):
            with self.assertRaises(shmkv.Frozen):
                call()
        self.assertEqual(shmkv.open(self.kv.name).get_all(), ENTRIES)
        self.kv.freeze()

    def test_sync(self):
        self.assertIsNone(self.kv.sync())
        with shmkv.open(self.path) as kv:
            kv["k"] = 1
            self.assertIsNone(kv.sync())

    def test_after_close(self):
        self.kv.close()
        for call in (self.kv.freeze, self.kv.sync, lambda: self.kv.dump(self.path), lambda: self.kv.load(1),
                     lambda: self.kv.get_many([])):
            with self.assertRaises(shmkv.Closed):
                call()
        self.assertFalse(os.path.exists(self.path))


class Many(SegmentTest):
    def test_those_found_by_the_keys_as_given(self):
        kv = self.open()
        kv.update(ENTRIES)
        view = memoryview(b"bytes")
        self.assertEqual(kv.get_many(["int", b"text", "none", "absent", view]),
                         {"int": -1, b"text": "caf\u00e9", "none": None, view: b"\0\xff"})
        self.assertEqual(kv.get_many([]), {})
        self.assertEqual(kv.get_many(key for key in ENTRIES), ENTRIES)
        self.assertEqual(kv.get_many(kv.keys()), ENTRIES)
        self.assertEqual(kv.get_many(["int", "int"]), {"int": -1})

    def test_more_than_fit_at_once(self):
        kv = self.open()
        expected = {"key %d" % i: b"%d" % i * (i % 7 * 50) for i in range(3000)}
        expected["large"] = os.urandom(1_000_000)
        expected["larger"] = os.urandom(2_000_000)
        kv.update(expected)
        self.assertEqual(kv.get_many(list(expected) + ["absent"]), expected)

    def test_bad_keys(self):
        kv = self.open()
        kv["k"] = 1
        for keys, error in ((["k", ""], shmkv.BadKey), (["k", 5], TypeError), (5, TypeError),
                            ([bytearray(b"k")], TypeError)):
            with self.assertRaises(error):
                kv.get_many(keys)
        with self.assertRaises(ZeroDivisionError):
            kv.get_many(str(1 // i) for i in (1, 0))

    def test_nothing_leaks(self):
        kv = self.open()
        key, buffer = b"a key of its own", bytearray(b"buffer")
        kv[key] = b"v"
        before = sys.getrefcount(key)
        for _ in range(1000):
            kv.get_many([key, b"x"])
            for bad in ([key, memoryview(buffer), b""], [key, memoryview(buffer), 5], [key, buffer, key]):
                try:
                    kv.get_many(bad)
                except (shmkv.BadKey, TypeError):
                    pass
        self.assertLess(abs(sys.getrefcount(key) - before), 10)
        buffer += b"x" * 100  # BufferError while anything holds it


if __name__ == "__main__":
    unittest.main()
