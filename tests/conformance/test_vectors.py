"""Every language over every vector: what the manifest says, no crash, nothing out of bounds."""

import json
import pathlib
import shutil
import tempfile
import unittest

from drivers import DriverError, DriverTest

VECTORS = pathlib.Path(__file__).absolute().parents[2] / "spec" / "vectors"
MANIFEST = json.loads((VECTORS / "manifest.json").read_text(encoding="utf-8"))["vectors"]


def told(description):
    """Bytes as the manifest tells them."""
    if "hex" in description:
        return bytes.fromhex(description["hex"])
    unit, length = bytes.fromhex(description["repeat"]), description["length"]
    return (unit * (length // len(unit) + 1))[:length]


def outcome(call, *arguments):
    """OK or the name of the error, and what the call gave."""
    try:
        return "OK", call(*arguments)
    except DriverError as error:
        return str(error), None


class Vectors(DriverTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def for_each_vector(self, check):
        """Every language and vector, each time with a copy of its own: opening may repair it."""
        copy = self.folder / "copy.shmkv"
        for language, driver in self.drivers.items():
            for vector in MANIFEST:
                with self.subTest(language, file=vector["file"]):
                    shutil.copyfile(VECTORS / vector["file"], copy)
                    copy.chmod(0o600)
                    try:
                        check(driver, vector, str(copy))
                    finally:
                        copy.unlink()

    def entries(self, vector):
        return {told(entry["key"]): told(entry["value"]) for entry in vector["entries"]}

    def test_readonly_when_opened_then_as_the_manifest_says(self):
        def check(driver, vector, path):
            before = pathlib.Path(path).read_bytes()
            result, _ = outcome(driver.open, path, "readonly")
            self.assertEqual(result, vector["attach_readonly"])
            if result == "OK":
                self.look(driver, vector)
                driver.close()
            self.assertTrue(pathlib.Path(path).read_bytes() == before, "reading changed the file")

        self.for_each_vector(check)

    def look(self, driver, vector):
        expected = self.entries(vector)
        result, walked = outcome(driver.walk)
        if vector["list"] != "ANY":
            self.assertEqual(result, vector["list"], "walk")
        if vector["list"] == "OK":
            self.assertEqual(len(walked), len(expected))
            self.assertEqual(dict(walked), expected)
            self.assertEqual(dict(driver.all()), expected)
        for key, value in expected.items():
            self.assertEqual(driver.get(key), value)
        for key in map(told, vector.get("damaged", [])):
            self.assertEqual(outcome(driver.get, key)[0], "ECORRUPT", key)
        for key in map(told, vector.get("absent", [])):
            self.assertIsNone(driver.get(key), key)
            self.assertFalse(driver.exists(key), key)
        self.assertEqual("ECORRUPT" if driver.verify() else "OK", vector["verify"], "verify")

    def refuses_changes(self, driver, vector):
        """proves [LIFE-20]"""
        key = min(self.entries(vector))
        for call in ((driver.put, b"new", b"value"), (driver.put, key, b"value"), (driver.delete, key)):
            self.assertEqual(outcome(*call)[0], "EFROZEN")
        self.look(driver, vector)

    def test_writable_when_opened_then_repaired_and_usable(self):
        def check(driver, vector, path):
            result, _ = outcome(driver.open, path, "existing")
            self.assertEqual(result, vector["attach"])
            if result != "OK":
                return
            if vector.get("frozen"):
                self.refuses_changes(driver, vector)
            elif vector["verify"] == "OK":
                new = {b"new %d" % i: b"%d" % i for i in range(300)}  # every shard, and some growth
                for key, value in new.items():
                    driver.put(key, value)
                found = dict(driver.walk())
                if "absent" in vector:  # entries that time or a dead owner takes; count has them until then
                    self.assertEqual({key: found.get(key) for key in new}, new)
                    self.assertFalse(found.keys() & set(map(told, vector["absent"])))
                else:
                    self.assertEqual(found, {**self.entries(vector), **new})
                    self.assertEqual(driver.count(), len(found))
                self.assertEqual(driver.verify(), 0)
            else:
                for i in range(50):  # whatever comes of it, an answer
                    outcome(driver.put, b"new %d" % i, b"%d" % i)
                    outcome(driver.get, b"new %d" % i)
                    outcome(driver.delete, b"new %d" % i)
                outcome(driver.walk)
                outcome(driver.all)
                outcome(driver.count)
            outcome(driver.close)

        self.for_each_vector(check)

    def test_exclusive_when_a_segment_is_damaged_then_replaced_unless_foreign(self):
        def check(driver, vector, path):
            before = pathlib.Path(path).read_bytes()
            result, _ = outcome(driver.open, path, "exclusive")
            if vector["attach"] == "EFOREIGN":
                self.assertEqual(result, "EFOREIGN")
                self.assertTrue(pathlib.Path(path).read_bytes() == before, "it was left alone")
                self.assertEqual(outcome(driver.unlink, path)[0], "EFOREIGN")
            elif result == "OK":
                self.assertEqual(driver.count(), 0)
                driver.put(b"k", b"v")
                self.assertEqual(driver.walk(), [(b"k", b"v")])
                driver.close()

        self.for_each_vector(check)


if __name__ == "__main__":
    unittest.main()
