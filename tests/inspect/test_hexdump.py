"""hexdump: plain bytes, fields by name, and files that mean harm."""

import os
import random
import shutil
import subprocess
import unittest

from inspector import DAMAGED, NO, OK, RETRY, SYSTEM, USAGE, PROGRAM, Case, complaint, objects, run, run_both

PAGE = 4096


class Plain(Case):
    def setUp(self):
        super().setUp()
        self.put("key", "value")

    def test_as_hexdump_has_it(self):
        image = open(self.object, "rb").read()
        self.assertEqual(read_back(run("hexdump", self.segment), len(image)), image)

    def test_range(self):
        image = open(self.object, "rb").read()
        out = run("hexdump", "--offset=0x3", "--length=40", self.segment)
        self.assertEqual(read_back(out, 43)[3:], image[3:43])
        self.assertTrue(out.startswith(b"00000003  "))
        self.assertEqual(run("hexdump", "--offset=%d" % (len(image) + 5), self.segment), b"%08x\n" % len(image))

    def test_program_of_the_system_agrees(self):
        if not shutil.which("hexdump"):
            self.skipTest("hexdump is not installed")
        theirs = subprocess.run(["hexdump", "-C", self.object], capture_output=True, check=True).stdout
        self.assertEqual(run("hexdump", self.segment), theirs)

    def test_range_across_blocks(self):
        run("put", self.segment, "large", input=bytes(range(256)) * 2000)
        image = open(self.object, "rb").read()
        for offset in 0, 1, 4095, 65536 * 3 + 7:
            with self.subTest(offset=offset):
                out = run("hexdump", "--offset=%d" % offset, self.segment)
                self.assertEqual(read_back(out, len(image))[offset:], image[offset:])

    def test_holes_are_jumped_over(self):
        path = self.copy()
        os.truncate(path, 1 << 40)
        with open(path, "r+b") as file:
            file.seek((1 << 40) - 16)
            file.write(b"the end")
        out = run("hexdump", path)
        self.assertTrue(out.endswith(b"  |the end.........|\n10000000000\n"), out[-200:])

    def test_a_file_that_is_not_a_segment(self):
        path = self.file("text", b"hello, hexdump")
        self.assertEqual(run("hexdump", path).split(b"|")[1], b"hello, hexdump")

    def test_options_that_need_annotate(self):
        for option in "--json", "--all", "--part=header":
            complaint("hexdump", option, self.segment, status=USAGE)


def read_back(text, size):
    """The bytes that a plain dump shows; a star repeats the line before."""
    image = bytearray()
    starred = False
    for line in text.decode().splitlines():
        if line == "*":
            starred = True
            continue
        offset = int(line.split()[0], 16)
        while starred and len(image) < offset:
            image += image[-16:]
        starred = False
        image += bytes(offset - len(image))
        if "|" in line:
            image += bytes.fromhex(line[8:58].replace(" ", ""))
    assert len(image) == size, (len(image), size)
    return bytes(image)


class Annotated(Case):
    def setUp(self):
        super().setUp()
        self.put("a key", "a value")
        run("put", self.segment, "large", input=b"L" * 100000)
        self.image = open(self.object, "rb").read()
        self.lines = objects(run("hexdump", "--annotate", "--json", self.segment))

    def fields(self, part, thing=None):
        return {line["field"]: line for line in self.lines if line["part"] == part and thing in (None, line["thing"])}

    def test_every_line_shows_the_bytes_of_the_file(self):
        for line in self.lines:
            shown = bytes.fromhex(line["bytes_hex"])
            self.assertEqual(self.image[line["offset"] :][: len(shown)], shown)
            self.assertLessEqual(line["offset"] + line["length"], len(self.image))

    def test_parts_in_the_order_of_the_file(self):
        self.assertEqual(list(dict.fromkeys(line["part"] for line in self.lines)), ["header", "shards", "arenas", "space", "runs"])

    def test_header(self):
        header = self.fields("header")
        self.assertEqual(header["magic"]["value"], '"ShmKV\\r\\n\\x1a"')
        self.assertEqual(header["state"]["value"], "1 (LIVE)")
        self.assertEqual(header["creator_name"]["value"], '"shmkv-inspect"')
        info = objects(run("info", "--json", self.segment))[0]
        self.assertEqual(header["uuid"]["value"], info["uuid"])
        self.assertIn(info["created"], header["created_ns"]["value"])
        self.assertEqual(header["shard_count"]["value"], "%d (0x%x)" % (info["shards"], info["shards"]))

    def test_records(self):
        keys = [line for line in self.lines if line["field"] == "key"]
        self.assertEqual(sorted(line["value"] for line in keys), ['"a key"', '"large"'])
        values = {line["value"]: line["length"] for line in self.lines if line["field"] == "value"}
        self.assertEqual(values, {'"a value"': 7, '"%s"...' % ("L" * 40): 100000})

    def test_slots_lead_to_records(self):
        slots = [line for line in self.lines if ".slots[" in line["field"]]
        records = ["0x%x" % line["offset"] for line in self.lines if line["field"] == "version" and line["thing"] == "record"]
        self.assertEqual(len(slots), 2)
        self.assertEqual(sorted(line["value"].split(",")[0] for line in slots), sorted("at " + at for at in records))

    def test_text_has_the_same_fields(self):
        out = run("hexdump", "--annotate", self.segment).decode()
        names = [line.split("|")[3].strip() for line in out.splitlines() if line.count("|") >= 4]
        self.assertEqual(names, [line["field"] for line in self.lines])

    def test_part(self):
        lines = objects(run("hexdump", "-Aj", "--part=space,header", self.segment))
        self.assertEqual({line["part"] for line in lines}, {"header", "space"})
        for parts in "", "head", "header,", "header,,runs", "all":
            with self.subTest(parts=parts):
                if parts != "header,":
                    complaint("hexdump", "-A", "--part=" + parts, self.segment, status=USAGE)

    def test_range(self):
        lines = objects(run("hexdump", "-Aj", "--offset=0", "--length=1", self.segment))
        self.assertEqual({line["part"] for line in lines}, {"header"})

    def test_owners(self):
        process = self.waiting_writer(name="a\x1bwriter")
        lines = objects(run("hexdump", "-Aj", "--part=owners", self.segment))
        fields = {line["field"]: line["value"] for line in lines if line["thing"] == "owner 0"}
        self.assertEqual(fields["name"], '"a\\x1bwriter"')
        self.assertEqual(fields["pid"].split()[0], str(process.pid))
        self.assertIn("state 1", fields["state"])

    def test_all_shows_free_places(self):
        few = len(run("hexdump", "-A", "--part=owners,shards", self.segment).splitlines())
        many = len(run("hexdump", "-Aa", "--part=owners,shards", self.segment).splitlines())
        self.assertGreater(many, few + 512 * 10)

    def test_stray_bytes_between_fields_are_shown(self):
        image = bytearray(self.image)
        image[300] = 0x55
        lines = objects(run("hexdump", "-Aj", "--part=header", self.file("stray", image)))
        self.assertTrue([line for line in lines if "unused" in line["field"] and "55" in line["bytes_hex"]])


class Vectors(Case):
    """Segments in every state that the specification knows."""

    def segments(self):
        folder = os.path.join(os.getcwd(), "spec", "vectors", "valid")
        names = sorted(os.listdir(folder))
        self.assertGreater(len(names), 50)
        return {name: os.path.join(folder, name) for name in names}

    def annotated(self, path):
        with open(path, "rb") as file:  # a test's data are links, which are not followed
            copy = self.file("copy", file.read())
        return objects(run("hexdump", "-Aj", copy))

    def test_every_run_of_a_good_segment_is_shown(self):
        for name, path in self.segments().items():
            with self.subTest(name=name):
                lines = self.annotated(path)
                limit = [line["value"] for line in lines if line["part"] == "space" and line["field"] == "limit"]
                heads = [line for line in lines if line["part"] == "runs" and line["field"] == "head"]
                pages = [int.from_bytes(bytes.fromhex(line["bytes_hex"])[4:], "little") for line in heads]
                ends = [line["offset"] + PAGE * n for line, n in zip(heads, pages)]
                self.assertEqual(max(ends, default=PAGE * 3), int(limit[0].split()[0]))

    def test_a_group_that_was_left_behind_leads_to_its_overflow(self):
        lines = self.annotated(self.segments()["left-behind.shmkv"])
        links = {line["thing"] for line in lines if line["field"].endswith(".link")}
        self.assertEqual(links, {"left group"})
        text = run("hexdump", "-A", self.file("left", open(self.segments()["left-behind.shmkv"], "rb").read()))
        self.assertIn(b"\noverflow bucket at 0x8040: of shard 0\n", text)

    def test_flags_of_a_record_have_names(self):
        seen = set()
        for name in "one-key", "extra-future", "hidden-entries":
            lines = self.annotated(self.segments()[name + ".shmkv"])
            seen |= {line["value"] for line in lines if line["thing"] == "record" and line["field"] == "flags"}
        self.assertEqual(seen, {"0 (none)", "1 (EXTRA)", "3 (EXTRA, HIDDEN)"})


class Hostile(Case):
    """No file makes the inspector crash, hang, or read out of bounds."""

    READERS = (
        ("info",),
        ("stat",),
        ("keys",),
        ("dump", "--json"),
        ("dump", "--snapshot"),
        ("check",),
        ("locks", "--all"),
        ("owners",),
        ("hexdump", "--annotate", "--all"),
        ("get", "--raw"),
    )
    STATUSES = OK, NO, DAMAGED, RETRY, SYSTEM

    def setUp(self):
        super().setUp()
        for i in range(40):
            self.put("key %d" % i, "value %d" % i)
        run("put", self.segment, "large", input=b"L" * 100000)
        self.image = open(self.object, "rb").read()

    def survive(self, image, what):
        path = self.file("hostile", image)
        for reader, *options in self.READERS:
            args = [PROGRAM, reader, *options, path] + ["key 1"] * (reader == "get")
            done = subprocess.run(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
            self.assertIn(done.returncode, self.STATUSES, "%s of %s: %s" % (args, what, done.stderr))

    def used_places(self):
        """Where something is written: a change elsewhere says little."""
        return [i for i in range(256, len(self.image)) if self.image[i]]

    def test_changed_bytes(self):
        seed = int(os.environ.get("SHMKV_TEST_SEED", random.randrange(1 << 32)))
        print("SHMKV_TEST_SEED=%d" % seed)
        chance = random.Random(seed)
        places = self.used_places()
        for _ in range(40):
            image = bytearray(self.image)
            changes = {chance.choice(places): chance.randrange(256) for _ in range(chance.choice((1, 4, 40)))}
            for place, value in changes.items():
                image[place] = value
            self.survive(image, changes)

    def test_words_that_lead_nowhere(self):
        places = [line["offset"] for line in objects(run("hexdump", "-Aj", "--part=shards,space,runs", self.segment))
                  if line["type"] == "u64"][::7]
        for place in places[:20]:
            for word in 2**64 - 1, place, 4096:
                image = self.image[:place] + word.to_bytes(8, "little") + self.image[place + 8 :]
                self.survive(image, "0x%x at 0x%x" % (word, place))

    def test_every_length(self):
        for size in [*range(0, 600, 100), *range(PAGE, len(self.image), 11 * PAGE)]:
            self.survive(self.image[:size], "the first %d bytes" % size)


if __name__ == "__main__":
    unittest.main()
