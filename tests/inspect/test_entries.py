"""keys, get, dump, put, del: what users put in they get out, byte for byte, and safely."""

import base64
import os
import subprocess
import unittest

from inspector import DAMAGED, NO, OK, SYSTEM, USAGE, Case, complaint, objects, run, run_both

EVERY_BYTE = bytes(range(256))


class PutAndGet(Case):
    def test_value_comes_back(self):
        self.put("user:7", "Ada")
        self.assertEqual(run("get", self.segment, "user:7"), b"Ada\n")

    def test_value_is_replaced(self):
        self.put("k", "first")
        self.put("k", "a second one that is longer")
        self.assertEqual(run("get", self.segment, "k"), b"a second one that is longer\n")

    def test_empty_value_is_a_value(self):
        self.put("k", "")
        self.assertEqual(run("get", "--raw", self.segment, "k"), b"")
        self.assertEqual(run("get", self.segment, "k"), b"\n")

    def test_standard_input_is_stored_as_it_is(self):
        run("put", "--create", self.segment, "k", input=EVERY_BYTE + b"\n")
        self.assertEqual(run("get", "--raw", self.segment, "k"), EVERY_BYTE + b"\n")

    def test_large_value(self):
        value = EVERY_BYTE * 20000  # 5 MB
        run("put", "--create", self.segment, "k", input=value)
        self.assertEqual(run("get", "--raw", self.segment, "k"), value)

    def test_hexadecimal_in_and_out(self):
        self.put("00ff0a", "C0 de", "--hex")
        self.assertEqual(run("get", "--hex", self.segment, "00FF0A"), b"c0de\n")
        self.assertEqual(run("keys", "--hex", self.segment), b"00ff0a\n")
        self.assertEqual(objects(run("dump", "--hex", "--json", self.segment)), [{"key_hex": "00ff0a", "value_hex": "c0de", "type": "bytes"}])

    def test_hexadecimal_from_standard_input(self):
        run("put", "--create", "--hex", self.segment, "6b", input=b"00 01\n02 03\n")
        self.assertEqual(run("get", "--raw", self.segment, "k"), b"\0\1\2\3")

    def test_escaped_input(self):
        self.put(r"a\tb\\c", r"\x00\n\xff", "--escaped")
        self.assertEqual(run("get", "--raw", self.segment, "a\tb\\c"), b"\0\n\xff")

    def test_malformed_notation_is_a_usage_error(self):
        self.put("k", "v")
        for option, text in ("--hex", "abc"), ("--hex", "zz"), ("--escaped", "\\"), ("--escaped", "\\q"), ("--escaped", "\\x1"):
            with self.subTest(text=text):
                self.assertIn("key", complaint("get", option, self.segment, text, status=USAGE))
                complaint("put", option, self.segment, "6b", text, status=USAGE)
        self.assertEqual(run("get", self.segment, "k"), b"v\n")

    def test_key_that_begins_with_a_dash(self):
        self.put("-k", "-v")
        self.assertEqual(run("get", self.segment, "--", "-k"), b"-v\n")

    def test_absent_key(self):
        self.put("k", "v")
        out, err = run_both("get", self.segment, "other", status=NO)
        self.assertEqual(out, b"")
        self.assertIn(b"no such key", err)

    def test_put_does_not_create_a_segment(self):
        complaint("put", self.segment, "k", "v", status=NO)
        self.assertFalse(os.path.exists(self.object))

    def test_bad_keys(self):
        self.put("k", "v")
        complaint("put", self.segment, "", "v", status=USAGE)
        complaint("put", self.segment, "k" * 65537, "v", status=USAGE)
        self.assertEqual(run("keys", self.segment), b"k\n")

    def test_longest_key(self):
        key = "k" * 65536
        self.put(key, "v")
        self.assertEqual(run("get", self.segment, key), b"v\n")

    def test_json_of_one_value(self):
        self.put("k", 'say "hi"\n')
        self.assertEqual(objects(run("get", "--json", self.segment, "k")), [{"key": "k", "value": 'say "hi"\n', "type": "bytes"}])


class Types(Case):
    """What other programs store with a type is shown as what it is."""

    LINES = {
        "bound": "true",
        "boolean": "false",
        "coded": "\\xff",
        "expiring": "v",
        "float64": "0.1",
        "held": "old",
        "infinite": "-inf",
        "int64": "-9223372036854775808",
        "json": "[1,\\n2]",
        "null": "null",
        "text": "5",
        "whole": "3.0",
    }

    def setUp(self):
        super().setUp()
        self.writer_of_types()

    def test_lines(self):
        for options in (), ("--snapshot",):
            lines = dict(line.split("\t") for line in run("dump", *options, self.segment).decode().splitlines())
            self.assertEqual(lines, self.LINES)
        for key, value in self.LINES.items():
            self.assertEqual(run("get", self.segment, key).decode(), value + "\n")

    def test_json_tells_types_and_ends(self):
        expected = {
            "bound": {"value": True, "type": "boolean", "bound": True},
            "boolean": {"value": False, "type": "boolean"},
            "coded": {"value_b64": "/w==", "type": "coded"},
            "expiring": {"value": "v", "type": "bytes", "expires": "2100-01-01T00:00:00.000000000Z"},
            "float64": {"value": 0.1, "type": "float64"},
            "held": {"value": "old", "type": "bytes"},
            "infinite": {"value": "-inf", "type": "float64"},
            "int64": {"value": -(2**63), "type": "int64"},
            "json": {"value": "[1,\n2]", "type": "json"},
            "null": {"value": None, "type": "null"},
            "text": {"value": "5", "type": "text"},
            "whole": {"value": 3.0, "type": "float64"},
        }
        for options in (), ("--snapshot",):
            found = {entry.pop("key"): entry for entry in objects(run("dump", "--json", *options, self.segment))}
            self.assertEqual(found, expected)
        for key, entry in expected.items():
            self.assertEqual(objects(run("get", "--json", self.segment, key)), [{"key": key, **entry}])

    def stored(self, key):
        entry, = objects(run("get", "--json", "--hex", self.segment, key.encode().hex()))
        return entry["type"], entry["value_hex"]

    def test_put_reads_back_what_get_prints(self):
        for key in self.LINES:
            kind, value = self.stored(key)
            if kind == "coded":
                continue
            with self.subTest(key):
                text = run("get", self.segment, key)  # a newline behind a number does no harm
                text = text if kind in ("int64", "float64", "boolean", "null") else bytes.fromhex(value)
                run("put", "--type=" + kind, self.segment, "copy", input=text)
                self.assertEqual(self.stored("copy"), (kind, value))

    def test_put_of_what_is_not_of_the_type(self):
        run("put", self.segment, "k", "v")
        for kind, text in (
            ("int64", "9223372036854775808"), ("int64", "1.5"), ("int64", ""), ("int64", "1 2"), ("float64", "1e999"),
            ("float64", "x"), ("float64", "1" * 100), ("boolean", "1"), ("null", ""), ("text", b"\xff"), ("json", b"\xff"),
            ("coded", "x"), ("int", "1"), ("", "1"),
        ):
            with self.subTest(kind=kind, text=text):
                complaint("put", "--type", kind, self.segment, "k", text, status=USAGE)
        self.assertEqual(self.stored("k"), ("bytes", "76"))

    def test_bytes_of_a_number(self):
        self.assertEqual(run("get", "--hex", self.segment, b"int64".hex()), b"0000000000000080\n")
        self.assertEqual(run("get", "--raw", self.segment, "int64"), b"\0\0\0\0\0\0\0\x80")
        null = objects(run("get", "--hex", "--json", self.segment, b"null".hex()))
        self.assertEqual(null, [{"key_hex": b"null".hex(), "value_hex": "", "type": "null"}])


class Delete(Case):
    def test_key_is_gone(self):
        self.put("a", "1")
        self.put("b", "2")
        run("del", self.segment, "a")
        complaint("get", self.segment, "a", status=NO)
        self.assertEqual(run("keys", self.segment), b"b\n")

    def test_one_of_several_is_absent(self):
        self.put("a", "1")
        self.put("c", "3")
        self.assertIn("'b'", complaint("del", self.segment, "a", "b", "c", status=NO))
        self.assertEqual(run("keys", self.segment), b"")

    def test_no_segment(self):
        complaint("del", self.segment, "a", status=NO)
        self.assertFalse(os.path.exists(self.object))


class Walks(Case):
    def fill(self, count=500):
        for i in range(3):
            self.put("other:%d" % i, "x")
        for i in range(count):
            self.put("key:%d" % i, "value %d" % i)
        return {"key:%d" % i: "value %d" % i for i in range(count)}

    def test_every_entry_once(self):
        expected = self.fill(count=200)
        for options in (), ("--snapshot",):
            with self.subTest(options=options):
                lines = run("dump", "--prefix=key:", *options, self.segment).decode().splitlines()
                self.assertEqual(len(lines), 200)
                self.assertEqual(dict(line.split("\t") for line in lines), expected)
                keys = run("keys", *options, self.segment).decode().split("\n")
                self.assertEqual(sorted(keys), sorted([*expected, "other:0", "other:1", "other:2", ""]))

    def test_limit(self):
        self.fill(count=5)
        self.assertEqual(len(run("keys", "--limit=4", self.segment).splitlines()), 4)
        self.assertEqual(len(run("dump", "-n", "2", "-p", "other", self.segment).splitlines()), 2)
        self.assertEqual(run("keys", "--limit=0", self.segment), b"")

    def test_keys_as_they_are(self):
        self.put("a\nb", "1")
        self.assertEqual(run("keys", "--null", self.segment), b"a\nb\0")

    def test_empty_segment(self):
        self.put("k", "v")
        run("del", self.segment, "k")
        for command in "keys", "dump":
            self.assertEqual(run(command, self.segment), b"")
            self.assertEqual(run(command, "--json", "--snapshot", self.segment), b"")

    def test_of_a_damaged_segment_what_can_be_read(self):
        expected = self.fill(count=50)
        lines = objects(run("hexdump", "-Aj", "--part=runs", self.segment))
        slots = [line["offset"] for line in lines if ".slots[" in line["field"]]
        self.assertEqual(len(slots), 53)
        path = self.copy()
        with open(path, "r+b") as file:
            for slot in slots[::10]:  # in shards and buckets of their own, mostly
                file.seek(slot)
                file.write(b"\xff" * 6)
        for options in (), ("--json",):
            with self.subTest(options=options):
                out, err = run_both("dump", *options, path, status=DAMAGED)
                whole = len(out.splitlines())
                self.assertTrue(35 <= whole <= 47, whole)
                for line in out.decode().splitlines() if not options else ():
                    key, value = line.split("\t")
                    self.assertEqual(value, expected.get(key, "x"))
                self.assertTrue(1 <= len(err.splitlines()) <= 6, err)
                self.assertIn(b"damaged", err)
        self.assertEqual(len(run("keys", path, status=DAMAGED).splitlines()), whole)
        self.assertEqual(run("dump", "--snapshot", path, status=DAMAGED), b"")

    def test_bad_limit(self):
        self.put("k", "v")
        for text in "x", "-1", "", "1x", "0x", "99999999999999999999":
            with self.subTest(text=text):
                complaint("keys", "--limit=" + text, self.segment, status=USAGE)


class Notation(Case):
    """No byte is lost in any form, and none reaches the terminal that it might obey."""

    NASTY = [
        EVERY_BYTE,
        "Grüße, 世界 🎈".encode(),
        b"\x1b]0;title\x07\x1b[2J",  # what a terminal obeys
        "\u009b2J".encode(),  # the same in one character
        "user\u202egnp.exe\u2066".encode(),  # reads backwards
        "zero\u200bwidth\ufeff\U000e0041".encode(),
        b"back\\slash\\n",
        b"tab\tnewline\nreturn\r",
        b"\xed\xa0\x80 \xc0\x80 \xf4\x90\x80\x80 \xe2\x82",  # not UTF-8
        b'"quotes" \\u0041',
        b"\0",
        b" ",
    ]

    def setUp(self):
        super().setUp()
        for i, data in enumerate(self.NASTY):
            run("put", "--create", "--hex", self.segment, data.hex(), input=(b"%d:" % i + data).hex().encode())
        self.expected = {data: b"%d:" % i + data for i, data in enumerate(self.NASTY)}

    def assert_harmless(self, out):
        for character in out.decode():  # is UTF-8 as a whole
            self.assertTrue(character in "\t\n" or character.isprintable(), "%r in %r" % (character, out))

    def test_text_is_harmless(self):
        for command in ("keys",), ("dump",):
            self.assert_harmless(run(*command, self.segment))

    def test_json_is_harmless(self):
        self.assert_harmless(run("dump", "--json", self.segment))

    def test_what_nobody_sees_is_escaped(self):
        for character in "\u034f\u115f\u17b4\u180b\u180f\u3164\ufe00\ufe0f\uffa0\U0001bca0\U0001d17a\U000e0100":
            with self.subTest(character=character.encode("unicode_escape")):
                run("put", self.segment, "a" + character, "b")
                escaped = b"".join(b"\\x%02x" % byte for byte in character.encode())
                self.assertEqual(run("keys", "--prefix=a", self.segment), b"a" + escaped + b"\n")
                out = run("keys", "--json", "--prefix=a", self.segment)
                self.assertTrue(out.isascii(), out)
                self.assertEqual(objects(out), [{"key": "a" + character}])
                run("del", self.segment, "a" + character)

    def test_text_reads_back(self):
        lines = run("dump", self.segment).split(b"\n")
        self.assertEqual(lines.pop(), b"")
        self.assertEqual(len(lines), len(self.NASTY))
        for line in lines:
            key, value = line.split(b"\t")
            raw = run("get", "--raw", "--escaped", self.segment, key)
            self.assertIn(raw, self.expected.values())
            run("put", "--escaped", self.segment, "copy", value)
            self.assertEqual(run("get", "--raw", self.segment, "copy"), raw)

    def test_printf_of_a_shell_reads_it(self):
        key = b"a\tb\\c\x01d"
        run("put", "--create", "--hex", self.segment, key.hex(), "00")
        line = run("keys", "--hex", "--prefix=6109", self.segment)
        self.assertEqual(bytes.fromhex(line.decode()), key)
        text = run("keys", "--escaped", "--prefix=a\\t", self.segment).rstrip(b"\n")
        shell = subprocess.run(["bash", "-c", "printf %b \"$1\"", "bash", text], capture_output=True, check=True)
        self.assertEqual(shell.stdout, key)

    def test_json_reads_back(self):
        found = {}
        for entry in objects(run("dump", "--json", self.segment)):
            key, value = (
                entry[name].encode() if name in entry else base64.b64decode(entry[name + "_b64"], validate=True)
                for name in ("key", "value")
            )
            found[key] = value
        self.assertEqual(found, self.expected)

    def test_json_of_text_is_a_string(self):
        entries = objects(run("dump", "--json", "--prefix=Gr", self.segment))
        self.assertEqual(entries, [{"key": "Grüße, 世界 🎈", "value": "1:Grüße, 世界 🎈", "type": "bytes"}])

    def test_messages_are_harmless(self):
        for args in ("info", "\x1b[2J"), ("del", self.segment, "\x1b[2J\u202e"), ("\x1b[2J",):
            with self.subTest(args=args):
                err = complaint(*args, status=USAGE if len(args) == 1 else NO)
                self.assert_harmless(err.encode())
                self.assertIn("\\x1b[2J", err)


class Freeze(Case):
    def test_freeze_when_done_then_nothing_changes_any_more(self):
        self.put("k", "v")
        self.assertEqual(run("freeze", self.segment), b"")
        self.assertIn("frozen", complaint("put", self.segment, "k", "w", status=SYSTEM))
        self.assertIn("frozen", complaint("del", self.segment, "k", status=SYSTEM))
        self.assertEqual(run("get", self.segment, "k"), b"v\n")
        self.assertEqual(run("check", self.segment), b"ok\n")
        self.assertIn(b"frozen\tyes\n", run("info", self.segment))
        run("freeze", self.segment)
        run("unlink", self.segment)

    def test_freeze_when_there_is_no_segment_then_1(self):
        complaint("freeze", self.segment, status=NO)


if __name__ == "__main__":
    unittest.main()
