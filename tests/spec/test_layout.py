"""layout.toml agrees with itself and with the chapters, and the chapters' numbers are right."""

import copy
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).absolute().parents[2]
sys.path[:0] = [str(ROOT / "spec" / "reference"), str(ROOT / "tools" / "layout")]

import generate  # noqa: E402
from xxh3 import xxh3_64  # noqa: E402

LAYOUT = generate.load(ROOT / "spec" / "layout.toml")
CHAPTERS = sorted((ROOT / "spec").glob("*.md"))


class Chapters(unittest.TestCase):
    def test_tables_when_compared_with_the_layout_then_agree(self):
        self.assertEqual(generate.check_chapters(LAYOUT, CHAPTERS), 0)

    def test_links_when_followed_then_lead_somewhere(self):
        for chapter in CHAPTERS:
            for link in re.findall(r"\]\(([\w.-]+\.md)", chapter.read_text(encoding="utf-8")):
                self.assertTrue((ROOT / "spec" / link).exists(), f"{chapter.name}: {link}")

    def test_hashes_when_computed_then_are_those_of_the_chapter(self):
        """proves [LAYOUT-17] for the reference reader"""
        text = (ROOT / "spec" / "3-segment-layout.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (\d+) \| `([0-9a-f]{16})` \| `([0-9a-f]{16})` \|$", text, re.M)
        self.assertGreaterEqual({int(n) for n, _, _ in rows}, {1, 16, 17, 128, 129, 240, 241, 1000})
        for n, plain, seeded in rows:
            key = bytes(i % 251 for i in range(int(n)))
            self.assertEqual(xxh3_64(key), int(plain, 16), n)
            self.assertEqual(xxh3_64(key, 0x0123456789ABCDEF), int(seeded, 16), n)


class Layout(unittest.TestCase):
    def contradicted(self, change):
        layout = copy.deepcopy(LAYOUT)
        change(layout)
        with self.assertRaises(generate.LayoutError):
            generate.check(layout)

    def test_check_when_fields_overlap_then_refuses(self):
        self.contradicted(lambda l: l["structs"]["header"]["fields"][1].update(offset=4))

    def test_check_when_a_field_is_not_aligned_then_refuses(self):
        self.contradicted(lambda l: l["structs"]["shard"]["fields"][1].update(offset=132))

    def test_check_when_a_struct_is_too_short_then_refuses(self):
        self.contradicted(lambda l: l["structs"]["owner"].update(size=64))

    def test_check_when_bits_overlap_then_refuses(self):
        self.contradicted(lambda l: l["words"]["slot"]["class"].update(bits=[40, 6]))

    def test_check_when_a_word_is_too_wide_then_refuses(self):
        self.contradicted(lambda l: l["words"]["lock"]["waiters"].update(bits=[32, 1]))

    def test_hash_fields_when_compared_then_do_not_overlap(self):
        """Spec 3.6: disjoint bits for shard, directory, bucket and tag."""
        generate.check_bits("hash", generate.bit_fields(LAYOUT["hash_bits"]), 64)

    def test_slot_when_compared_with_other_words_then_the_offset_is_in_place(self):
        """Spec 3.3: bits 4 to 41 of every such word are the offset."""
        for name in ("slot", "root", "cell"):
            self.assertEqual(LAYOUT["words"][name]["unit"]["bits"], [4, 38])
            self.assertEqual(LAYOUT["words"][name]["class"]["bits"], [42, 6])

    def test_outputs_when_made_twice_then_are_the_same(self):
        for make in (generate.c_header, generate.c_names):
            self.assertEqual(make(LAYOUT), make(LAYOUT))


if __name__ == "__main__":
    unittest.main()
