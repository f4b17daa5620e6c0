"""Waiting for changes."""

import os
import signal
import threading
import unittest

import shmkv
from segments import SegmentTest


class Wait(SegmentTest):
    def setUp(self):
        super().setUp()
        self.kv = self.open()

    def in_thread(self, work):
        """Start work() in a thread; its result when called."""
        results = []
        thread = threading.Thread(target=lambda: results.append(work()))
        thread.start()

        def result():
            thread.join()
            return results[0]

        return result

    def test_what_is_another_already(self):
        self.assertTrue(self.kv.wait("k", 1))
        self.kv["k"] = 1
        version = self.kv.get_item("k")["version"]
        self.assertFalse(self.kv.wait("k", version, 0))
        self.assertFalse(self.kv.wait("k", timeout=0.01))
        self.assertTrue(self.kv.wait("k", 0))
        self.kv["k"] = 1
        self.assertTrue(self.kv.wait("k", version))

    def test_woken_by_a_change(self):
        results = [self.in_thread(lambda: self.kv.wait("k", 0)) for _ in range(3)]
        self.kv["other"] = 1
        self.kv["k"] = 1
        self.assertEqual([result() for result in results], [True] * 3)
        version = self.kv.get_item("k")["version"]
        result = self.in_thread(lambda: self.kv.wait("k", version, 60))
        self.in_child(lambda: self.kv.delete("k"))
        self.assertTrue(result())

    def test_watch(self):
        changed, position = self.kv.watch(timeout=0)
        self.assertFalse(changed)
        self.kv["k"] = 1
        changed, position = self.kv.watch(position)
        self.assertTrue(changed)
        self.assertEqual(self.kv.watch(position, 0.01), (False, position))
        result = self.in_thread(lambda: self.kv.watch(position))
        self.kv["l"] = 1
        self.assertTrue(result()[0])

    def test_a_signal_handler_may_raise(self):
        def interrupt(signum, frame):
            raise ZeroDivisionError

        for wait in (lambda: self.kv.wait("k"), lambda: self.kv.watch()):
            before = signal.signal(signal.SIGALRM, interrupt)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                with self.assertRaises(ZeroDivisionError):
                    wait()
            finally:
                signal.signal(signal.SIGALRM, before)
        self.kv["k"] = 1
        self.assertEqual(self.kv.verify(), [])

    def test_a_signal_handler_that_returns_does_not_end_it(self):
        before = signal.signal(signal.SIGALRM, lambda signum, frame: self.kv.put("seen", 1))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            self.assertTrue(self.kv.wait("seen"))
        finally:
            signal.signal(signal.SIGALRM, before)

    def test_closed_by_another_thread(self):
        def wait():
            try:
                return self.kv.wait("k", 0)
            except shmkv.Closed:
                return "closed"

        result = self.in_thread(wait)
        self.kv.close()
        self.assertEqual(result(), "closed")
        with self.assertRaises(shmkv.Closed):
            self.kv.watch()

    def test_what_cannot_be_waited_for(self):
        for call in (lambda: self.kv.wait("k", timeout=-1), lambda: self.kv.watch(0, float("nan"))):
            with self.assertRaises(shmkv.BadArgument):
                call()
        with self.assertRaises(shmkv.ReadOnly):
            shmkv.open(self.kv.name, "r").wait("k")
        with self.assertRaises(shmkv.BadKey):
            self.kv.wait("")
        self.kv.freeze()
        with self.assertRaises(shmkv.Frozen):
            self.kv.wait("k")


if __name__ == "__main__":
    unittest.main()
