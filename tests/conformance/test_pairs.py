"""Sixteen pairs: what one language writes, each reads, byte for byte."""

import base64
import itertools
import json
import os
import pathlib
import subprocess
import sys
import unittest

from drivers import LANGUAGES, DriverError, DriverTest

ROOT = pathlib.Path(__file__).absolute().parents[2]
sys.path.insert(0, str(ROOT / "spec" / "reference"))

import reader  # noqa: E402  the reference reader, which shares no code with the others

PAIRS = list(itertools.product(LANGUAGES, LANGUAGES))

# Bytes that a careless wrapper would change, cut or refuse. As keys, then as values.
STRINGS = {
    "NUL alone": b"\0",
    "NULs": b"\0\0\0",
    "NUL inside": b"a\0b",
    "NUL first": b"\0ab",
    "NUL last": b"ab\0",
    "digit zero": b"0",
    "number": b"0012.50",
    "blank": b" ",
    "blanks around": b"  a  ",
    "line ends": b"\r\n\n\r",
    "invalid UTF-8": b"\xff\xfe\x80\xc0\xaf",
    "surrogate in UTF-8": b"\xed\xa0\x80",
    "truncated UTF-8": b"caf\xc3",
    "latin-1": b"caf\xe9",
    "UTF-8": "caf\u00e9 \u263a \U0001f600".encode(),
    "byte order mark": b"\xef\xbb\xbfx",
    "UTF-16": "ab".encode("utf-16"),
    "all bytes": bytes(range(256)),
    "high bytes": bytes(range(128, 256)),
    "format": b"%s%n%d",
    "quotes": b"\"'`\\",
    "undef": b"undef",
    "None": b"None",
    "hyphen": b"-",
    "15 bytes": b"x" * 15,
    "16 bytes": b"x" * 16,
    "17 bytes": b"x" * 17,
    "255 bytes": b"y" * 255,
    "256 bytes": b"y" * 256,
    "4095 bytes": b"z" * 4095,
    "4096 bytes": b"z" * 4096,
    "4097 bytes": b"z" * 4097,
    "65535 bytes": bytes(i * 7 & 255 for i in range(65535)),
    "65536 bytes": bytes(i * 11 & 255 for i in range(65536)),
}
VALUES = {
    "empty": b"",
    "65537 bytes": b"v" * 65537,
    "a megabyte and one": bytes(i * 13 & 255 for i in range(1048577)),
    **STRINGS,
}


class Pairs(DriverTest):
    def for_each_pair(self, check):
        for writer, reader_ in PAIRS:
            with self.subTest(writer=writer, reader=reader_):
                check(self.drivers[writer], self.drivers[reader_])

    def opened(self, writer, reader_):
        """Both on a new segment; they are the same driver when a language reads its own."""
        name = self.segment()
        writer.open(name)
        if reader_ is not writer:
            reader_.open(name, "readonly")
        return name

    def test_values_when_written_then_read_alike(self):
        def check(writer, reader_):
            self.opened(writer, reader_)
            expected = {}
            for name, value in VALUES.items():
                writer.put(name.encode(), value)
                expected[name.encode()] = value
                self.assertEqual(reader_.get(name.encode()), value, name)
            self.assertEqual(dict(reader_.all()), expected)

        self.for_each_pair(check)

    def test_keys_when_written_then_found(self):
        def check(writer, reader_):
            self.opened(writer, reader_)
            expected = {}
            for name, key in STRINGS.items():
                self.assertFalse(reader_.exists(key), name)
                writer.put(key, name.encode())
                expected[key] = name.encode()
                self.assertTrue(reader_.exists(key), name)
                self.assertEqual(reader_.get(key), name.encode())
            self.assertEqual(reader_.count(), len(STRINGS))
            walked = reader_.walk()
            self.assertEqual(dict(walked), expected)
            self.assertEqual(len(walked), len(expected), "each once")
            self.assertEqual(dict(reader_.all()), expected)

        self.for_each_pair(check)

    def test_overwriting_and_deleting_when_done_then_seen(self):
        def check(writer, reader_):
            self.opened(writer, reader_)
            for size in (0, 1, 31, 32, 5000, 100_000, 3, 0):
                writer.put(b"k", b"s" * size)
                self.assertEqual(reader_.get(b"k"), b"s" * size)
            self.assertEqual(reader_.count(), 1)
            self.assertTrue(writer.delete(b"k"))
            self.assertIsNone(reader_.get(b"k"))
            self.assertFalse(writer.delete(b"k"))
            self.assertEqual(reader_.count(), 0)
            self.assertEqual(reader_.verify(), 0)

        self.for_each_pair(check)

    def test_both_when_writing_in_turn_then_one_store(self):
        def check(writer, reader_):
            name = self.segment()
            writer.open(name)
            reader_.open(name)
            for i in range(50):
                writer.put(b"w%d" % i, b"%d" % i)
                reader_.put(b"r%d" % i, b"%d" % i)
                reader_.delete(b"w%d" % (i - 5))
            self.assertEqual(writer.count(), 55)
            self.assertEqual(dict(writer.all()), dict(reader_.all()))
            self.assertEqual(writer.verify(), 0)

        self.for_each_pair(check)

    def test_exclusive_when_opened_by_one_then_the_other_moves_along(self):
        def check(writer, reader_):
            name = self.opened(writer, reader_)
            writer.put(b"old", b"1")
            self.assertEqual(reader_.get(b"old"), b"1")
            writer.open(name, "exclusive")
            writer.put(b"new", b"2")
            self.assertIsNone(reader_.get(b"old"))
            self.assertEqual(reader_.get(b"new"), b"2")

        self.for_each_pair(check)

    def test_segment_when_all_have_closed_it_then_is_still_there(self):
        def check(writer, reader_):
            name = self.segment()
            writer.open(name)
            writer.put(b"k\0", b"\0v")
            writer.close()
            reader_.open(name, "existing")
            self.assertEqual(reader_.get(b"k\0"), b"\0v")
            reader_.close()

        self.for_each_pair(check)

    def test_errors_when_provoked_then_named_alike(self):
        name = self.segment()
        for language, driver in self.drivers.items():
            with self.subTest(language):
                cases = [
                    ("ENOSEGMENT", lambda: driver.open(self.segment(), "existing")),
                    ("ENOSEGMENT", lambda: driver.open(self.segment(), "readonly")),
                    ("ENOSEGMENT", lambda: driver.unlink(self.segment())),
                    ("ENAME", lambda: driver.open("a/b")),
                    ("ENAME", lambda: driver.open("")),
                    ("ENAME", lambda: driver.open("n" * 255)),
                    ("errno 2", lambda: driver.open("/nowhere/at/all")),
                    ("ECLOSED", lambda: driver.get(b"k")),
                ]
                for expected, call in cases:
                    with self.assertRaises(DriverError) as raised:
                        call()
                    self.assertEqual(str(raised.exception), expected)
                driver.open(name)
                for key in (b"", b"k" * 65537):
                    for call in (lambda: driver.put(key, b"v"), lambda: driver.get(key), lambda: driver.delete(key),
                                 lambda: driver.exists(key)):
                        with self.assertRaisesRegex(DriverError, "^EKEY$"):
                            call()
                driver.put(b"k", b"v")
                driver.open(name, "readonly")
                for call in (lambda: driver.put(b"k", b"w"), lambda: driver.delete(b"k")):
                    with self.assertRaisesRegex(DriverError, "^EREADONLY$"):
                        call()
                self.assertEqual(driver.all(), [(b"k", b"v")])


class Others(DriverTest):
    """The reference reader and the inspector see in live segments what the languages put there."""

    def filled(self, driver):
        name = self.segment()
        driver.open(name)
        expected = {}
        for label, key in STRINGS.items():
            value = VALUES.get(label, b"")[::-1]
            driver.put(key, value)
            expected[key] = value
        for i in range(2000):
            driver.put(b"filler %d" % i, b"%d" % i * (i % 50))
            expected[b"filler %d" % i] = b"%d" % i * (i % 50)
        for i in range(0, 2000, 3):
            driver.delete(b"filler %d" % i)
            del expected[b"filler %d" % i]
        return name, expected

    def test_reference_reader_when_a_segment_is_live_then_agrees(self):
        for language, driver in self.drivers.items():
            with self.subTest(language):
                name, expected = self.filled(driver)
                segment = reader.Segment(name)
                entries = list(reader.walk(segment))
                self.assertEqual(len(entries), len(expected))
                self.assertEqual({entry["key"]: entry["value"] for entry in entries}, expected)
                self.assertEqual(reader.Verifier(segment).problems, [])

    def test_inspector_when_a_segment_is_live_then_agrees_with_the_reference_reader(self):
        for language, driver in self.drivers.items():
            with self.subTest(language):
                name, expected = self.filled(driver)
                for options in ([], ["--hex"]):
                    inspector = self.dump(os.environ["SHMKV_INSPECT"], "dump", "--json", *options, name)
                    reference = self.dump(sys.executable, ROOT / "spec/reference/reader.py", *options, name)
                    self.assertTrue(inspector == expected, "the inspector")
                    self.assertTrue(reference == expected, "the reference reader")

    def dump(self, *command):
        """The entries that a program prints as lines of JSON."""
        output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        pairs = [json.loads(line) for line in output.splitlines()]
        entries = {self.bytes_of(pair, "key"): self.bytes_of(pair, "value") for pair in pairs}
        self.assertEqual(len(entries), len(pairs), "each once")
        return entries

    @staticmethod
    def bytes_of(pair, field):
        if field + "_hex" in pair:
            return bytes.fromhex(pair[field + "_hex"])
        if field + "_b64" in pair:
            return base64.b64decode(pair[field + "_b64"], validate=True)
        return pair[field].encode()


if __name__ == "__main__":
    unittest.main()
