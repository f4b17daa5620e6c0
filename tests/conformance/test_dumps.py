"""Dumps between the C library and the reference reader: what one writes or holds the other reads."""

import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).absolute().parents[2]
sys.path[:0] = [str(ROOT / "spec" / "reference")]

import dump  # noqa: E402
import reader  # noqa: E402

VECTORS = ROOT / "spec" / "vectors"
MANIFEST = json.loads((VECTORS / "manifest.json").read_text(encoding="utf-8"))
PROGRAM = os.path.abspath(os.environ["SHMKV_INSPECT"])
STATUS = {"OK": 0, "EDUMP": 3, "EFORMAT": 3}


def told(description):
    """Bytes as the manifest tells them."""
    if "hex" in description:
        return bytes.fromhex(description["hex"])
    unit, length = bytes.fromhex(description["repeat"]), description["length"]
    return (unit * (length // len(unit) + 1))[:length]


def inspect(*args, data=b""):
    return subprocess.run([PROGRAM, *map(str, args)], input=data, capture_output=True, timeout=120)


def held(path):
    """What a segment holds, as the reference reader sees it."""
    segment = reader.Segment(str(path), any_owner=True)
    return {e["key"]: (e["value"], reader.enum_name("value_type", e["type"]), e["extra"]["expiry_ns"] if e["extra"] else 0)
            for e in reader.walk(segment)}


class Dumps(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "segment.shmkv"

    def test_vectors_when_loaded_then_the_reference_reader_finds_what_the_manifest_says(self):
        """proves [DUMP-01] [DUMP-03] [DUMP-04]"""
        for vector in MANIFEST["dumps"]:
            for replace in (False, True):
                with self.subTest(vector["file"], replace=replace):
                    self.path.unlink(missing_ok=True)
                    self.assertEqual(inspect("put", "--create", self.path, "here", "before").returncode, 0)
                    options = ["--replace"] if replace else []
                    result = inspect("import", *options, self.path, data=(VECTORS / vector["file"]).read_bytes())
                    self.assertEqual(result.returncode, STATUS[vector["load"]], result.stderr)
                    expected = {told(e["key"]): (told(e["value"]), e["type"], e.get("expiry_ns", 0)) for e in vector["entries"]}
                    if replace and vector["load"] != "OK":
                        expected = {}
                    if not replace or vector["load"] != "OK":
                        expected[b"here"] = (b"before", "BYTES", 0)
                    self.assertEqual(held(self.path), expected)
                    self.assertEqual(inspect("check", self.path).stdout, b"ok\n")

    def test_segments_when_dumped_then_the_reference_reader_finds_the_entries(self):
        """proves [DUMP-06]"""
        for vector in MANIFEST["vectors"]:
            if vector["list"] != "OK" or vector["verify"] != "OK" or vector["attach_readonly"] != "OK":
                continue
            for options in ([], ["--snapshot"]):
                with self.subTest(vector["file"], options=options):
                    source = (VECTORS / vector["file"]).resolve()
                    result = inspect("export", *options, source)
                    self.assertEqual((result.returncode, result.stderr), (0, b""))
                    found = dump.Dump(io.BytesIO(result.stdout))
                    entries = {e["key"]: (e["value"], e["type"], e["expiry_ns"]) for e in found}
                    bound = {key for key, value in self.bound(source)}
                    expected = {key: value for key, value in held(source).items() if key not in bound}
                    self.assertEqual(entries, expected)
                    self.assertEqual(found.name, os.fsencode(source.name))

    def bound(self, source):
        """The entries that die with a process."""
        segment = reader.Segment(str(source), any_owner=True)
        return [(e["key"], e["value"]) for e in reader.walk(segment) if e["extra"] and e["extra"]["owner"]]


if __name__ == "__main__":
    unittest.main()
