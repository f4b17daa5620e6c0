"""Several keys that change together or not at all."""

import pickle
import threading
import unittest

import shmkv
from segments import SegmentTest


class Transaction(SegmentTest):
    def setUp(self):
        super().setUp()
        self.kv = self.open(lock_timeout_ms=100)

    def refused(self, function, keys=("a", "b")):
        """What the transaction raises; nothing has changed."""
        before = self.kv.get_all()
        with self.assertRaises(BaseException) as raised:
            self.kv.transaction(keys, function)
        self.assertEqual(self.kv.get_all(), before)
        return raised.exception

    def test_changes_are_made_together(self):
        self.kv.update(a=100, gone="x", kept=1.5)

        def change(txn):
            txn["a"] -= 10
            txn[b"b"] = {"list": [1, "\u00e9"]}
            txn[bytearray(b"none")] = None
            del txn["gone"]
            return txn["kept"]

        self.assertEqual(self.kv.transaction(["a", "b", b"gone", "kept", "none"], change), 1.5)
        self.assertEqual(self.kv.get_all(), {b"a": 90, b"b": {"list": [1, "\u00e9"]}, b"kept": 1.5, b"none": None})
        self.assertIsNone(self.kv.transaction(iter(["a"]), lambda txn: None))

    def test_it_sees_what_it_did(self):
        self.kv["a"] = 1

        def look(txn):
            self.assertEqual((txn.get("a"), txn.get("b"), txn.get("b", 7)), (1, None, 7))
            self.assertTrue("a" in txn and "b" not in txn and not txn.exists("b"))
            txn.put("b", None)
            self.assertTrue("b" in txn and txn.get("b", 7) is None)
            self.assertTrue(txn.delete("a"))
            self.assertFalse(txn.delete("a"))
            for missing in (lambda: txn["a"], lambda: txn.__delitem__("a")):
                with self.assertRaises(shmkv.NotFound):
                    missing()
            txn["a"] = "again"
            return txn["a"]

        self.assertEqual(self.kv.transaction(["a", "b"], look), "again")

    def test_it_runs_again_if_a_key_has_changed(self):
        seen = []

        def change(txn):
            seen.append((txn.get("a", 0), txn.get("b", 0)))
            if len(seen) == 1:
                self.in_child(lambda: self.kv.put("a", 50))  # no lock is held
                txn["b"] = "forgotten"
            txn["b"] = txn.get("a", 0) + 1
            return seen[-1]

        self.assertEqual(self.kv.transaction(["a", "b"], change), (50, 0))
        self.assertEqual(seen, [(0, 0), (50, 0)])
        self.assertEqual(self.kv.get_all(), {b"a": 50, b"b": 51})

    def test_an_exception_changes_nothing(self):
        self.kv["a"] = 1
        error = KeyboardInterrupt()

        def fail(txn):
            txn["a"] = 2
            txn["b"] = 2
            raise error

        self.assertIs(self.refused(fail), error)
        self.in_child(lambda: self.kv.put("b", 3))  # nothing is left locked
        self.assertEqual(self.kv.verify(), [])
        self.assertIsInstance(self.refused(lambda txn: txn.put("b", object())), TypeError)
        self.assertIsInstance(self.refused(lambda txn: txn.put("b", 2**64)), shmkv.BadValue)
        self.assertIsInstance(self.refused(lambda txn: txn.set("b", 1, ttl=-1)), shmkv.BadArgument)
        self.assertIsInstance(self.refused(lambda txn: txn.put(5, 1)), TypeError)

    def test_the_store_itself_may_be_used(self):
        def change(txn):
            self.kv["other"] = self.kv.transaction(["c"], lambda inner: inner.put("c", 1) or 5)
            txn["a"] = 1

        self.kv.transaction(["a"], change)
        self.assertEqual(self.kv.get_all(), {b"a": 1, b"c": 1, b"other": 5})

    def test_a_key_that_keeps_changing(self):
        calls = []

        def change(txn):
            calls.append(1)
            self.kv["a"] = len(calls)
            txn["b"] = 1

        with self.assertRaises(shmkv.Busy):
            self.kv.transaction(["a", "b"], change)
        self.assertGreater(len(calls), 1)
        self.assertEqual(self.kv.get_all(), {b"a": len(calls)})

    def test_only_declared_keys_and_only_while_it_runs(self):
        kept = []

        def look(txn):
            kept.append(txn)
            for use in (txn.get, txn.exists, txn.delete, txn.__getitem__, lambda key: txn.put(key, 1)):
                with self.assertRaisesRegex(shmkv.BadArgument, "not given to the transaction"):
                    use("other")

        self.kv.transaction(["a"], look)
        for use in (kept[0].get, kept[0].exists, kept[0].delete, lambda key: kept[0].put(key, 1)):
            with self.assertRaisesRegex(shmkv.BadArgument, "not running"):
                use("a")

    def test_closed_by_its_function(self):
        other = shmkv.open(self.kv.name)
        self.addCleanup(other.close)

        def close(txn):
            txn["a"] = 1
            self.kv.close()

        for _ in range(2):
            with self.assertRaises(shmkv.Closed):
                self.kv.transaction(["a"], close)
        self.assertEqual(other.get_all(), {})

    def test_what_is_no_transaction(self):
        nothing = lambda txn: None
        self.assertIsInstance(self.refused(nothing, []), shmkv.BadArgument)
        self.assertIsInstance(self.refused(nothing, ["a", b"a"]), shmkv.BadArgument)
        self.assertIsInstance(self.refused(nothing, map(str, range(1025))), shmkv.BadArgument)
        self.assertIsInstance(self.refused(nothing, ["a", ""]), shmkv.BadKey)
        self.assertIsInstance(self.refused(nothing, "ab"), TypeError)
        self.assertIsInstance(self.refused(nothing, [1]), TypeError)
        self.assertIsInstance(self.refused(nothing, 5), TypeError)
        self.assertIsInstance(self.refused(5), TypeError)
        with shmkv.open(self.kv.name, "r") as reading:
            with self.assertRaises(shmkv.ReadOnly):
                reading.transaction(["a"], lambda txn: txn.put("a", 1))

    def test_ends_and_codec(self):
        kv = self.open(codec=pickle)

        def change(txn):
            txn["set"] = {1, 2}
            txn.set("session", 1, ttl=60)
            txn.set("mine", 1, bound=True)
            return txn["set"]

        self.assertEqual(kv.transaction(["set", "session", "mine"], change), {1, 2})
        self.assertEqual(kv["set"], {1, 2})
        self.assertIsNotNone(kv.get_item("session")["expires_ns"])
        self.assertTrue(kv.get_item("mine")["bound"])

    def test_many_keys_in_any_order(self):
        keys = ["key %d" % i for i in range(1024)]

        def count(txn):
            for key in reversed(keys):
                txn[key] = txn.get(key, 0) + 1

        for _ in range(2):
            self.kv.transaction(keys, count)
        self.assertEqual(self.kv.get_all(), {key.encode(): 2 for key in keys})

    def test_threads(self):
        self.kv.update(a=1000, b=0)
        kv = shmkv.open(self.kv.name)
        self.addCleanup(kv.close)

        def work():
            def move(txn):
                txn["a"] -= 1
                txn["b"] += 1

            for _ in range(100):
                kv.transaction(["a", "b"], move)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(kv.get_all(), {b"a": 600, b"b": 400})


if __name__ == "__main__":
    unittest.main()
