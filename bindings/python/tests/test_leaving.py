"""Whichever way a function that we call is left: nothing stays locked, nothing has changed, and the next call works."""

import os
import pickle
import random
import signal
import subprocess
import threading
import time
import unittest

import shmkv
from segments import SegmentTest


class Gone(Exception):
    pass


def raising(what):
    def leave(*_):
        raise what

    return leave


def interrupt(*_):
    """As Ctrl-C does."""
    signal.raise_signal(signal.SIGINT)
    for _ in range(1000):
        pass
    raise AssertionError("Ctrl-C was not seen")


def time_out(*_):
    """A timer's handler raises while the function sleeps."""
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    while True:
        signal.pause()


def recurse(*_):
    return recurse()


# How to leave, and with what.
LEAVINGS = {
    "exception": (raising(Gone), Gone),
    "KeyboardInterrupt": (interrupt, KeyboardInterrupt),
    "SystemExit": (raising(SystemExit), SystemExit),
    "GeneratorExit": (raising(GeneratorExit), GeneratorExit),
    "MemoryError": (raising(MemoryError), MemoryError),
    "RecursionError": (recurse, RecursionError),
    "timer": (time_out, Gone),
    "one of our own": (lambda *_: shmkv.open("a/b"), shmkv.BadName),
}


def in_lock(kv, leave):
    with kv.lock("n"):
        leave()


def in_two_locks(kv, leave):
    with kv.lock("n"), kv.lock("other"):
        leave()


def in_lock_in_generator(kv, leave):
    def generator():
        with kv.lock("n"):
            yield 1
            leave()

    list(generator())


def in_transaction(kv, leave):
    def change(txn):
        txn["n"] = 8
        del txn["t"]
        leave()

    kv.transaction(["n", "t"], change)


def in_transaction_in_lock(kv, leave):
    with kv.lock("n"):
        in_transaction(kv, leave)


def in_lock_in_transaction(kv, leave):
    kv.transaction(["n"], lambda txn: in_lock(kv, leave))


def in_transaction_in_transaction(kv, leave):
    kv.transaction(["n"], lambda txn: (txn.put("n", 9), in_transaction(kv, leave)))


def walking(start):
    def walk(kv, leave):
        for _ in start(kv):
            leave()

    return walk


class Raising:
    """A codec that is left."""

    def __init__(self, leave):
        self.dumps, self.loads = leave, leave


def with_codec(use):
    def call(kv, leave):
        with shmkv.open(kv.name, codec=Raising(leave)) as coded:
            use(coded)

    return call


CALLS = {
    "modify": lambda kv, leave: kv.modify("n", leave),
    "modify, absent": lambda kv, leave: kv.modify("none", leave),
    "get_or_compute": lambda kv, leave: kv.get_or_compute("none", leave),
    "lock": in_lock,
    "two locks": in_two_locks,
    "lock, generator": in_lock_in_generator,
    "transaction": in_transaction,
    "transaction, keys": lambda kv, leave: kv.transaction((leave() for _ in range(2)), len),
    "transaction in lock": in_transaction_in_lock,
    "lock in transaction": in_lock_in_transaction,
    "transaction in transaction": in_transaction_in_transaction,
    "put_many": lambda kv, leave: kv.put_many(leave() for _ in range(2)),
    "update": lambda kv, leave: kv.update(("none", leave()) for _ in range(2)),
    "get_many": lambda kv, leave: kv.get_many(leave() for _ in range(2)),
    "delete_many": lambda kv, leave: kv.delete_many(leave() for _ in range(2)),
    "iter": walking(iter),
    "items": walking(lambda kv: kv.items()),
    "values": walking(lambda kv: kv.values()),
    "cursor": walking(lambda kv: kv.cursor()),
    "codec, put": with_codec(lambda coded: coded.put("n", object())),
    "codec, set": with_codec(lambda coded: coded.set("n", object(), ttl=5)),
    "codec, put_many": with_codec(lambda coded: coded.put_many([("none", object())])),
    "codec, modify": with_codec(lambda coded: coded.modify("n", lambda n: object())),
    "codec, transaction": with_codec(lambda coded: coded.transaction(["n"], lambda txn: txn.put("n", object()))),
    "codec, lock": with_codec(lambda coded: coded.get_or_compute("none", object)),
    "codec, get": with_codec(lambda coded: coded.get("coded")),
    "codec, get_item": with_codec(lambda coded: coded.get_item("coded")),
    "codec, get_all": with_codec(lambda coded: coded.get_all()),
    "codec, items": with_codec(lambda coded: list(coded.items())),
    "codec, txn.get": with_codec(lambda coded: coded.transaction(["coded"], lambda txn: txn["coded"])),
}


class Leaving(SegmentTest):
    def setUp(self):
        self.kv = self.open()
        self.kv.update({"n": 7, "t": "text"})
        with shmkv.open(self.kv.name, codec=pickle) as coded:
            coded["coded"] = {1, 2}
        self.other = shmkv.open(self.kv.name)
        self.addCleanup(self.other.close)
        for number, handler in ((signal.SIGALRM, raising(Gone)), (signal.SIGINT, signal.default_int_handler)):
            self.addCleanup(signal.signal, number, signal.signal(number, handler))
        self.was = {key: self.kv.get_item(key) for key in self.kv}

    def held(self):
        table = subprocess.run([os.environ["SHMKV_INSPECT"], "held", self.kv.name], check=True, stdout=subprocess.PIPE, text=True)
        return table.stdout.splitlines()[1:]

    def nothing_stays(self):
        self.assertEqual(self.held(), [])
        self.assertEqual([lock for lock in self.kv.locks() if lock["owner"]], [])
        self.assertEqual(self.kv.verify(), [])
        self.assertEqual({key: self.kv.get_item(key) for key in self.kv}, self.was)

    def the_next_call_works(self):
        for kv in (self.kv, self.other):
            with kv.lock("n", 0), kv.lock("other", 0), kv.lock("none", 0):
                self.assertEqual(len(self.held()), 3)
            self.assertEqual(kv.get_or_compute("next", lambda: 5, timeout=0), 5)
            self.assertEqual(kv.modify("next", lambda n: n + 1), 6)
            self.assertEqual(kv.transaction(["next"], lambda txn: txn.delete("next")), True)

    def test_each_call_left_in_each_way(self):
        for how, (leave, error) in LEAVINGS.items():
            for name, call in CALLS.items():
                with self.subTest(name, left_by=how):
                    with self.assertRaises(error):
                        call(self.kv, leave)
                    self.nothing_stays()
            self.the_next_call_works()

    def test_a_walk_that_is_broken_off(self):
        for start in (iter, lambda kv: kv.items(), lambda kv: kv.cursor()):
            for _ in start(self.kv):
                break
            self.nothing_stays()
        walk = iter(self.kv.items())
        next(walk)
        del walk
        self.the_next_call_works()

    def test_a_generator_that_is_closed_lets_its_lock_go(self):
        def work():
            with self.kv.lock("n"):
                yield 1

        generator = work()
        next(generator)
        self.assertEqual(len(self.held()), 1)
        generator.close()
        self.nothing_stays()
        generator = work()
        next(generator)
        del generator
        self.nothing_stays()

    def test_a_thread_that_ends_by_an_exception(self):
        for name, call in CALLS.items():
            caught = []

            def run():
                try:
                    call(self.kv, raising(Gone))
                except Gone as error:
                    caught.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
            self.assertEqual(len(caught), 1, name)
        self.nothing_stays()
        self.the_next_call_works()

    def test_a_child_that_leaves_does_not_let_the_parents_lock_go(self):
        def leave_in_child(lock):
            with self.assertRaises(shmkv.Changed):
                lock.__exit__(None, None, None)
            with self.assertRaises(shmkv.TimedOut):
                self.kv.lock("n", 0).__enter__()
            with self.kv.lock("other", 0):
                pass

        lock = self.kv.lock("n")
        with lock:
            self.in_child(lambda: leave_in_child(lock))
            self.in_child(self.kv.close)
            with self.assertRaises(shmkv.TimedOut):
                self.other.lock("n", 0).__enter__()
        self.nothing_stays()
        self.the_next_call_works()

    def test_a_lock_goes_with_its_object(self):
        # As when an interrupt comes between __enter__() and the block.
        lock = self.kv.lock("n")
        self.assertGreater(lock.__enter__(), 0)
        with self.assertRaises(shmkv.TimedOut):
            self.other.lock("n", 0).__enter__()
        del lock
        with self.other.lock("n", 0):
            pass
        self.nothing_stays()

    def test_close_inside_lets_it_go(self):
        with shmkv.open(self.kv.name) as kv, self.assertRaises(shmkv.Closed):
            with kv.lock("n"):
                kv.close()
        with shmkv.open(self.kv.name) as kv, self.assertRaises(Gone):
            with kv.lock("n"):
                kv.close()
                raise Gone
        self.nothing_stays()

    def test_an_interrupt_at_any_point_of_taking_and_letting_go(self):
        # Before this was in C, four of ten were in between, and the lock stayed.
        chance = random.Random(1)
        for _ in range(300):
            with self.assertRaises(Gone):
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(5e-5, 5e-4))
                end = time.monotonic() + 60
                while time.monotonic() < end:
                    with self.kv.lock("n"):
                        pass
            with self.other.lock("n", 0):
                pass
        self.nothing_stays()


if __name__ == "__main__":
    unittest.main()
