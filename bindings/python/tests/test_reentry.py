"""Code of the user, other threads and signals in the middle of a call, which change what it works on."""

import gc
import os
import signal
import sys
import tempfile
import threading
import unittest
import weakref

import shmkv
from segments import SegmentTest


class Codec:
    """One that leads back to the Store that uses it."""

    def __init__(self, name):
        self.kv = shmkv.open(name, codec=self)

    def dumps(self, value):
        return b"coded"

    def loads(self, data):
        return self.kv.name


class Reentry(SegmentTest):
    def test_keys_that_another_thread_changes_while_they_are_stored(self):
        kv = self.open()
        keys = [bytearray(b"%06d" % i) for i in range(5000)]
        stop = threading.Event()

        def change():
            i = 0
            while not stop.is_set():
                i += 1
                for key in keys[::3]:
                    key[0] = 48 + i % 10

        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(20):
                kv.put_many((key, 1) for key in keys)
                kv.delete_many(keys[::2])
        finally:
            stop.set()
            thread.join()
        self.assertEqual(kv.verify(), [])
        found = list(kv)
        self.assertEqual(len(found), len(set(found)))
        self.assertTrue(all(key in kv for key in found))

    def test_the_name_of_a_lock_that_changes_inside(self):
        kv = self.open()
        for name in (bytearray(b"name"), memoryview(bytearray(b"name"))):
            with kv.lock(name):
                name[0] = ord("g")
            with shmkv.open(kv.name) as other, other.lock("name", 0), other.lock("game", 0):
                pass

    def test_a_transaction_that_ends_before_the_key_is_found_missing(self):
        kv = self.open()
        kept = []
        kv.transaction(["k"], kept.append)
        with self.assertRaises(shmkv.BadArgument):
            kept[0]["k"]
        with self.assertRaises(shmkv.NotFound):
            kept[0]._txn._missing("k", "k")  # as another thread may, that looked before

    def test_a_codec_that_leads_back_to_its_store(self):
        name = self.segment()
        with Codec(name).kv as kv:
            kv["k"] = object()
            self.assertEqual(kv["k"], name)
        codec = Codec(name)
        gone, walk = weakref.ref(codec), iter(codec.kv.values())
        del codec
        gc.collect()
        self.assertEqual(next(walk), name)  # the walk keeps it
        del walk
        gc.collect()
        self.assertIsNone(gone())

    def test_a_codec_in_a_cycle_is_called_as_long_as_it_is_there(self):
        kv = Codec(self.segment()).kv
        gc.collect()
        kv["k"] = object()
        self.assertEqual(kv["k"], kv.name)
        kv.close()

    def test_signals_while_the_other_end_of_a_fifo_is_not_there(self):
        kv = self.open()
        kv["k"] = 1
        with tempfile.TemporaryDirectory() as folder:
            fifo = os.path.join(folder, "fifo")
            os.mkfifo(fifo)
            for code, call in (
                ("import sys; open(sys.argv[1], 'rb').read()", lambda: kv.dump(fifo)),
                ("import shmkv, sys; shmkv.open(sys.argv[2]).dump(sys.argv[1])", lambda: kv.load(fifo)),
            ):
                came = []
                old = signal.signal(signal.SIGALRM, lambda *_: came.append(1))
                self.addCleanup(signal.signal, signal.SIGALRM, old)
                read, write = os.pipe()
                pid = os.fork()
                if not pid:  # the signal first, and then the other end
                    try:
                        os.close(write)
                        os.read(read, 1)
                        os.kill(os.getppid(), signal.SIGALRM)
                        os.kill(os.getppid(), signal.SIGALRM)
                        os.execv(sys.executable, [sys.executable, "-c", code, fifo, kv.name])
                    finally:
                        os._exit(1)
                os.close(read)
                os.close(write)
                self.assertEqual(call(), 1)
                self.assertEqual(os.waitpid(pid, 0)[1], 0)
                self.assertTrue(came)


if __name__ == "__main__":
    unittest.main()
