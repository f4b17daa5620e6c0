"""spec/vectors is what its generator makes, and the reference reader reads it as the manifest says."""

import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).absolute().parents[2]
sys.path[:0] = [str(ROOT / "spec" / "reference")]

import dump  # noqa: E402
import reader  # noqa: E402

VECTORS = ROOT / "spec" / "vectors"
GENERATOR = ROOT / "tools" / "vectors" / "generate.py"
WHOLE_MANIFEST = json.loads((VECTORS / "manifest.json").read_text(encoding="utf-8"))
MANIFEST, DUMPS = WHOLE_MANIFEST["vectors"], WHOLE_MANIFEST["dumps"]


def told(description):
    """Bytes as the manifest tells them."""
    if "hex" in description:
        return bytes.fromhex(description["hex"])
    unit, length = bytes.fromhex(description["repeat"]), description["length"]
    return (unit * (length // len(unit) + 1))[:length]


def expected_entries(vector):
    return {told(e["key"]): (told(e["value"]), e["type"]) for e in vector["entries"]}


def attach(vector, writable):
    # Bazel's files are symbolic links, and a segment is never opened through one.
    return reader.Segment(str((VECTORS / vector["file"]).resolve()), any_owner=True, writable=writable)


def found(entry):
    return entry["value"], reader.enum_name("value_type", entry["type"])


class Generated(unittest.TestCase):
    def test_generator_when_run_again_then_gives_the_same_bytes(self):
        result = subprocess.run([sys.executable, GENERATOR, "--check", VECTORS], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_manifest_when_read_then_names_every_file_once(self):
        files = sorted(str(p.relative_to(VECTORS)) for p in VECTORS.glob("*/*"))
        self.assertEqual(files, sorted(v["file"] for v in MANIFEST + DUMPS))


class Read(unittest.TestCase):
    """proves [LAYOUT-01] to [LAYOUT-09], [LAYOUT-16], [LIFE-04], [LIFE-08], [OP-01], [OP-07], [OP-08], [EVOL-01] for the reader"""

    def outcome(self, function):
        """The name of the error, or OK and what the function gave."""
        try:
            return "OK", function()
        except reader.ShmkvError as error:
            return error.name, None

    def test_attach_when_any_vector_then_as_the_manifest_says(self):
        for vector in MANIFEST:
            with self.subTest(vector["file"]):
                self.assertEqual(self.outcome(lambda: attach(vector, True))[0], vector["attach"])
                self.assertEqual(self.outcome(lambda: attach(vector, False))[0], vector["attach_readonly"])

    def for_each_readable(self, look):
        for vector in MANIFEST:
            if vector["attach_readonly"] == "OK":
                with self.subTest(vector["file"]):
                    look(vector, attach(vector, False))

    def test_list_when_attached_then_gives_the_entries_or_the_error(self):
        def look(vector, segment):
            result, entries = self.outcome(lambda: list(reader.walk(segment)))
            if vector["list"] != "ANY":
                self.assertEqual(result, vector["list"])
            if vector["list"] == "OK":
                self.assertEqual(len(entries), len(vector["entries"]))
                self.assertEqual({e["key"]: found(e) for e in entries}, expected_entries(vector))
        self.for_each_readable(look)

    def test_get_when_attached_then_gives_each_entry(self):
        def look(vector, segment):
            for key, value in expected_entries(vector).items():
                self.assertEqual(found(reader.get(segment, key)), value)
            for key in map(told, vector.get("absent", [])):
                self.assertIsNone(reader.get(segment, key), key)
        self.for_each_readable(look)

    def test_get_when_the_key_is_damaged_then_ecorrupt(self):
        def look(vector, segment):
            for key in map(told, vector.get("damaged", [])):
                self.assertEqual(self.outcome(lambda: reader.get(segment, key))[0], "ECORRUPT", key)
        self.for_each_readable(look)

    def test_verify_when_attached_then_as_the_manifest_says(self):
        def look(vector, segment):
            problems = reader.Verifier(segment).problems
            self.assertEqual("ECORRUPT" if problems else "OK", vector["verify"], problems)
        self.for_each_readable(look)


class CommandLine(unittest.TestCase):
    def run_reader(self, *args):
        return subprocess.run([sys.executable, ROOT / "spec/reference/reader.py", "--any-owner", *map(str, args)],
                              capture_output=True, text=True)

    def test_reader_when_a_segment_is_whole_then_prints_entries_and_0(self):
        result = self.run_reader("--hex", (VECTORS / "valid/one-key.shmkv").resolve())
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(json.loads(result.stdout), {"key_hex": "6b6579", "value_hex": "76616c7565", "type": "bytes"})

    def test_reader_when_asked_for_other_things_then_prints_them(self):
        path = (VECTORS / "valid/one-key.shmkv").resolve()
        self.assertEqual(self.run_reader("--plain", path).stdout, "key\tvalue\n")
        self.assertEqual(self.run_reader("--get", "key", path).stdout, "value")
        self.assertIn("shard_count    2\n", self.run_reader("--info", path).stdout)
        self.assertIn("1 entries", self.run_reader("--verify-lite", path).stdout)

    def test_reader_when_it_cannot_then_one_clear_line_and_1(self):
        for name in ("corrupt/bad-magic.shmkv", "corrupt/zero-length.shmkv", "corrupt/slot-beyond.shmkv", "valid"):
            result = self.run_reader((VECTORS / name).resolve())
            self.assertEqual(result.returncode, 1, name)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertEqual(self.run_reader("no-such-segment-anywhere").returncode, 1)

    def test_reader_when_used_wrongly_then_2(self):
        self.assertEqual(self.run_reader().returncode, 2)
        self.assertEqual(self.run_reader("--hex", "--plain", "x").returncode, 2)


class Dumps(unittest.TestCase):
    """proves [DUMP-01] to [DUMP-04] for the reader"""

    def read(self, data):
        """The entries before the end or the error, and OK or the name of the error."""
        entries = []
        try:
            for entry in dump.Dump(io.BytesIO(data)):
                entries.append(entry)
        except reader.ShmkvError as error:
            return entries, error.name
        return entries, "OK"

    def stored(self, entries):
        """What a load would have stored by now."""
        now = time.time_ns()
        return {e["key"]: (e["value"], e["type"], e["expiry_ns"]) for e in entries if not 0 < e["expiry_ns"] <= now}

    def test_dump_when_read_then_as_the_manifest_says(self):
        for vector in DUMPS:
            with self.subTest(vector["file"]):
                entries, result = self.read((VECTORS / vector["file"]).read_bytes())
                self.assertEqual(result, vector["load"])
                expected = {told(e["key"]): (told(e["value"]), e["type"], e.get("expiry_ns", 0)) for e in vector["entries"]}
                self.assertEqual(self.stored(entries), expected)

    def test_dump_when_a_byte_is_changed_or_cut_off_then_never_ok(self):
        data = (VECTORS / "dumps/types.dump").read_bytes()
        for i in range(len(data)):
            self.assertEqual(self.read(data[:i])[1], "EDUMP", i)
            changed = bytearray(data)
            changed[i] ^= 0x10
            self.assertEqual(self.read(bytes(changed))[1], "EDUMP", i)

    def test_command_when_run_then_prints_entries_or_one_line(self):
        program = ROOT / "spec/reference/dump.py"

        def run(*args):
            return subprocess.run([sys.executable, program, *map(str, args)], capture_output=True, text=True)
        whole = run("--hex", VECTORS / "dumps/more-fields.dump")
        self.assertEqual((whole.returncode, whole.stderr), (0, ""))
        self.assertEqual(json.loads(whole.stdout), {"key_hex": "6170706c65", "value_hex": "726564", "type": "bytes"})
        self.assertIn("entries      8\n", run("--info", VECTORS / "dumps/types.dump").stdout)
        cut = run(VECTORS / "dumps/no-end.dump")
        self.assertEqual((cut.returncode, len(cut.stdout.splitlines()), len(cut.stderr.splitlines())), (1, 3, 1))
        self.assertEqual(run().returncode, 2)


class Hostile(unittest.TestCase):
    """proves [OP-01] for the reader: whatever the bytes are, an answer or a named error."""

    SEED = int(os.environ.get("SHMKV_TEST_SEED", "1"))
    ROUNDS = 60

    def read_all(self, path):
        try:
            segment = reader.Segment(str(path), any_owner=True)
            reader.Verifier(segment)
            for _ in reader.walk(segment):
                pass
        except reader.ShmkvError:
            pass

    def test_reader_when_words_are_scribbled_then_an_answer_or_an_error(self):
        import random
        chance = random.Random(self.SEED)
        print(f"SHMKV_TEST_SEED={self.SEED}")
        names = ["valid/few-keys.shmkv", "valid/split-uneven.shmkv", "valid/overflow-chain.shmkv", "valid/mid-split-half.shmkv"]
        images = [(VECTORS / name).read_bytes() for name in names]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "scribbled"
            for _ in range(self.ROUNDS):
                data = bytearray(chance.choice(images))
                used = [i for i in range(4096, len(data), 8) if data[i : i + 8] != bytes(8)]
                for _ in range(chance.randrange(1, 6)):
                    at = chance.choice(used)
                    value = chance.choice([chance.randrange(1 << 64), chance.randrange(1 << 16) << 4,
                                           int.from_bytes(data[at : at + 8], "little") ^ 1 << chance.randrange(64)])
                    data[at : at + 8] = value.to_bytes(8, "little")
                path.write_bytes(data)
                self.read_all(path)


if __name__ == "__main__":
    unittest.main()
