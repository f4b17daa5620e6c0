"""One segment, several processes."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import shmkv
from segments import SegmentTest


# A program, since multiprocessing imports the main one anew in the processes that it starts.
POOL = """
import multiprocessing
import pickle
import sys
import shmkv

def work(kv):
    for _ in range(100):
        kv.incr("n")
    kv["value"] = {1, 2}
    return kv.name

if __name__ == "__main__":
    with shmkv.open(sys.argv[2], "n", codec=pickle) as kv:
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            assert pool.map(work, [kv] * 4, chunksize=1) == [kv.name] * 4
        assert kv.get_all() == {b"n": 400, b"value": {1, 2}}, kv.get_all()
        assert kv.verify() == []
    print("done")
"""


class Multiprocessing(SegmentTest):
    def test_a_store_goes_to_processes_however_they_are_started(self):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "pool.py")
            with open(program, "w", encoding="ascii") as file:
                file.write(POOL)
            for method in ("spawn", "forkserver", "fork"):
                with self.subTest(method):
                    result = subprocess.run([sys.executable, program, method, self.segment()], text=True,
                                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=50)
                    self.assertEqual(result.stdout, "done\n")


class Fork(SegmentTest):
    def test_store_from_before_the_fork_works_in_both(self):
        kv = self.open()
        kv["parent"] = b"before"

        def work():
            assert kv["parent"] == b"before"
            kv["child"] = b"was here"
            kv["parent"] = b"seen"

        self.in_child(work)
        self.assertEqual(kv["child"], b"was here")
        self.assertEqual(kv["parent"], b"seen")
        kv["parent"] = b"after"
        self.assertEqual(kv["parent"], b"after")
        self.assertEqual(kv.verify(), [])

    def test_closing_in_the_child_leaves_the_parent_alone(self):
        kv = self.open()
        self.in_child(kv.close)
        kv["k"] = b"v"
        self.assertEqual(kv["k"], b"v")

    def test_child_opens_by_name(self):
        kv = self.open()

        def work():
            with shmkv.open(kv.name) as own:
                own["from"] = b"child"

        self.in_child(work)
        self.assertEqual(kv["from"], b"child")

    def test_iterating_across_a_fork(self):
        kv = self.open()
        kv.update(("k%d" % i, b"v") for i in range(100))
        walk = iter(kv)
        first = [next(walk) for _ in range(50)]

        def work():
            assert len(set(first) | set(walk)) == 100

        self.in_child(work)
        self.assertEqual(len(set(first) | set(walk)), 100)

    def test_children_write_at_once(self):
        kv = self.open()
        pids = []
        for worker in range(4):
            pid = os.fork()
            if not pid:
                status = 1
                try:
                    for i in range(1000):
                        kv["%d/%d" % (worker, i)] = b"value %d" % i
                    status = 0
                finally:
                    os._exit(status)
            pids.append(pid)
        self.assertEqual([os.waitpid(pid, 0)[1] for pid in pids], [0] * 4)
        expected = {b"%d/%d" % (w, i): b"value %d" % i for w in range(4) for i in range(1000)}
        self.assertEqual(kv.get_all(), expected)
        self.assertEqual(kv.verify(), [])

    def test_child_is_killed_while_it_writes(self):
        kv = self.open()
        for round_ in range(5):
            pid = os.fork()
            if not pid:
                i = 0
                while True:
                    kv["k%d" % (i % 50)] = b"%d " % i * 20
                    i += 1
            time.sleep(0.02)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            for key, value in kv.get_all().items():
                self.assertTrue(key == b"steady" or re.fullmatch(rb"(\d+ )\1{19}", value), (key, value))
            kv["steady"] = b"%d" % round_
            self.assertEqual(kv["steady"], b"%d" % round_)
        self.assertEqual(kv.verify(), [])

    def test_reader_works_while_the_writer_is_stopped(self):
        kv = self.open()
        kv["k"] = b"v"
        pid = os.fork()
        if not pid:
            while True:
                kv["other"] = b"x"
        try:
            time.sleep(0.02)
            os.kill(pid, signal.SIGSTOP)
            os.waitpid(pid, os.WUNTRACED)
            for _ in range(1000):
                self.assertEqual(kv["k"], b"v")
                self.assertEqual(kv["other"], b"x")
            self.assertEqual(sorted(kv), [b"k", b"other"])
            self.assertTrue([o for o in kv.owners() if o["pid"] == pid and o["stopped"]])
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def test_closing_in_a_child_that_was_forked_while_another_thread_waits(self):
        kv = self.open()
        kv["k"] = 0
        version = kv.get_item("k")["version"]
        waiting = threading.Thread(target=kv.wait, args=("k", version))
        waiting.start()

        def close_in_child():
            kv.set("bound", 1, bound=True)
            kv.close()
            with shmkv.open(kv.name) as other:
                self.assertIsNone(other.get("bound"), "it went with the Store")

        def close_inside():
            def close_and_open(txn):
                kv.set("bound", 1, bound=True)
                kv.close()  # which takes effect when the transaction has ended

            with self.assertRaises(shmkv.Closed):
                kv.transaction(["k"], close_and_open)
            with shmkv.open(kv.name) as other:
                self.assertIsNone(other.get("bound"))

        def fork_inside(txn):
            self.in_child(lambda: (kv.close(), os._exit(0)))
            return txn["k"]

        for _ in range(3):  # while we wait for the first, at the latest, it begins to
            self.in_child(close_in_child)
        self.in_child(close_inside)
        self.assertEqual(kv.transaction(["k"], fork_inside), 0)
        kv["k"] = 1
        waiting.join()
        kv.close()


if __name__ == "__main__":
    unittest.main()
