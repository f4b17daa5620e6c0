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


class Lock(SegmentTest):
    def setUp(self):
        super().setUp()
        self.kv = self.open()

    def test_one_holder_at_a_time(self):
        self.kv["n"] = 0

        def work():
            kv = shmkv.open(self.kv.name)
            for _ in range(100):
                with kv.lock("n"):
                    kv["n"] = kv["n"] + 1

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        self.in_child(work)
        for thread in threads:
            thread.join()
        self.assertEqual(self.kv["n"], 400)
        self.assertEqual(len(self.kv), 1, "no lock is an entry")

    def test_what_raises_lets_it_go(self):
        other = shmkv.open(self.kv.name)
        with self.assertRaises(ZeroDivisionError):
            with self.kv.lock("l") as token:
                self.assertGreater(token, 0)
                with self.assertRaises(shmkv.TimedOut) as caught:
                    other.lock("l", 0).__enter__()
                self.assertIn(str(os.getpid()), caught.exception.detail)
                with self.assertRaises(shmkv.Deadlock):
                    self.kv.lock("l").__enter__()
                1 / 0
        with other.lock("l", 0):
            pass

    def test_a_lock_that_was_lost(self):
        with self.assertRaisesRegex(shmkv.Changed, "lock was lost"):
            with self.kv.lock("l"):
                shmkv.open(self.kv.name, "n").close()

    def test_a_holder_that_is_killed(self):
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            with self.kv.lock("l"):
                os.write(write, b"!")
                signal.pause()
        os.read(read, 1)
        os.close(read)
        os.close(write)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with self.kv.lock("l"):
            pass

    def test_a_signal_handler_may_raise(self):
        def interrupt(signum, frame):
            raise ZeroDivisionError

        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            with shmkv.open(self.kv.name) as other, other.lock("l"):
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                with self.assertRaises(ZeroDivisionError):
                    self.kv.lock("l").__enter__()
        finally:
            signal.signal(signal.SIGALRM, before)
        with self.kv.lock("l", 0):
            pass

    def test_get_or_compute(self):
        calls = []
        self.assertEqual(self.kv.get_or_compute("k", lambda: calls.append(1) or 5, ttl=1000), 5)
        self.assertEqual(self.kv.get_or_compute("k", lambda: calls.append(1) or 6), 5)
        self.assertEqual(calls, [1])
        self.assertIsNotNone(self.kv.get_item("k")["expires_ns"])
        with self.assertRaises(ZeroDivisionError):
            self.kv.get_or_compute("bad", lambda: 1 // 0)
        self.assertIsNone(self.kv.get_or_compute("bad", lambda: None, timeout=0))


if __name__ == "__main__":
    unittest.main()
