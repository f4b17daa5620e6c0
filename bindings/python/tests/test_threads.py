"""Threads of one process on one Store: who waits lets others run, and a close ends what the others do."""

import threading
import unittest

import shmkv
from segments import SegmentTest


class Threads(SegmentTest):
    def test_other_threads_run_while_one_waits(self):
        kv = self.open()
        other = shmkv.open(kv.name)
        self.addCleanup(other.close)
        with other.lock("held"):
            for name, wait in {
                "wait": lambda: kv.wait("none", 0, 60),
                "watch": lambda: kv.watch(timeout=60),
                "lock": lambda: kv.lock("held", 60).__enter__(),
                "get_or_compute": lambda: kv.get_or_compute("held", lambda: 1, timeout=60),
            }.items():
                with self.subTest(name):
                    ended = []

                    def run():
                        try:
                            wait()
                        except shmkv.Closed:
                            ended.append("closed")

                    thread = threading.Thread(target=run)
                    thread.start()
                    self.assertEqual(sum(1 for _ in range(10000)), 10000)
                    kv.close()  # were the interpreter held, this would come a minute later
                    thread.join(30)
                    self.assertFalse(thread.is_alive())
                    self.assertEqual(ended, ["closed"])
                    kv = shmkv.open(kv.name)
        kv.close()

    def test_a_close_ends_what_the_others_do(self):
        works = {
            "get": lambda kv: kv.get("k"),
            "put": lambda kv: kv.put("k", b"x" * 100),
            "get_all": lambda kv: kv.get_all(),
            "items": lambda kv: list(kv.items()),
            "put_many": lambda kv: kv.put_many(("k%d" % i, i) for i in range(100)),
            "transaction": lambda kv: kv.transaction(["k"], lambda txn: txn.put("k", 1)),
            "sweep": lambda kv: kv.sweep(),
            "verify": lambda kv: kv.verify(),
        }
        watcher = self.open()
        watcher["k"] = 0
        owners = len(watcher.owners())
        for _ in range(5):
            kv = shmkv.open(watcher.name)
            begun = threading.Barrier(len(works) + 1)
            ends = {}

            def run(name, work):
                begun.wait()
                try:
                    while True:
                        work(kv)
                except shmkv.Error as error:
                    ends[name] = type(error)

            threads = [threading.Thread(target=run, args=pair) for pair in works.items()]
            for thread in threads:
                thread.start()
            begun.wait()
            kv.close()
            for thread in threads:
                thread.join()
            self.assertEqual(ends, dict.fromkeys(works, shmkv.Closed))
        self.assertEqual(watcher.verify(), [])
        self.assertEqual(len(watcher.owners()), owners, "closed, they have given their slots back")


if __name__ == "__main__":
    unittest.main()
