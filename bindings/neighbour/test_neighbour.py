"""A module of somebody else, made by SWIG as ours is, with the same names of types: each makes its own objects."""

import secrets
import unittest

import shmkv

import _neighbour  # behind ours: the one that is loaded last is who would get ours


class Neighbour(unittest.TestCase):
    def test_each_has_its_own_objects(self):
        name = "shmkv-test-py-" + secrets.token_hex(8)
        with shmkv.open(name) as kv:
            self.addCleanup(shmkv.unlink, name)
            kv["k"] = 1
            self.assertIs(type(iter(kv)), shmkv.Cursor)
            self.assertEqual(list(kv.items()), [(b"k", 1)])
            self.assertEqual(kv.transaction(["k"], lambda txn: txn["k"] + 1), 2)
            with kv.lock("n"):
                pass
        other = _neighbour.Cursor()
        other.number = 7
        self.assertEqual((type(other), other.number), (_neighbour.Cursor, 7))


if __name__ == "__main__":
    unittest.main()
