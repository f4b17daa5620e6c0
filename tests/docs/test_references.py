"""What documents point to is there: files and headings behind links, and both ends of each pair of
docs/design/memory-ordering.md. Reads the source tree itself."""

import pathlib
import re
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = re.compile(r"^(bazel-|\.git$)")  # what is built, and history


def documents(root):
    for path in sorted(root.iterdir()):
        if SKIPPED.match(path.name):
            continue
        if path.is_dir():
            yield from documents(path)
        elif path.suffix == ".md":
            yield path


def headings(path):
    """Their anchors, as GitHub makes them."""
    titles = re.findall(r"(?m)^#+ (.*)$", path.read_text())
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(root):
    broken, seen = [], 0
    for document in documents(root):
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            if re.match(r"https?:", link):
                continue
            seen += 1
            name, _, anchor = link.partition("#")
            target = document.parent / name if name else document
            if not target.exists() or (anchor and anchor not in headings(target)):
                broken.append("%s: %s" % (document.relative_to(root), link))
    return broken, seen


class Links(unittest.TestCase):
    def test_each_leads_somewhere(self):
        broken, seen = broken_links(ROOT)
        self.assertEqual(broken, [])
        self.assertGreater(seen, 100)

    def test_one_that_leads_nowhere_is_found(self):
        for text in "[x](y.md)", "[x](a.md#y)", "[x](#y)":
            with self.subTest(text=text), tempfile.TemporaryDirectory() as folder:
                root = pathlib.Path(folder)
                (root / "a.md").write_text("# A title\n[x](#a-title) [x](a.md) " + text)
                self.assertEqual(len(broken_links(root)[0]), 1)


class MemoryOrdering(unittest.TestCase):
    def setUp(self):
        page = (ROOT / "docs/design/memory-ordering.md").read_text()
        self.rows = re.findall(r"(?m)^\| `([a-z-]+)` \| (.*?) \| (.*?) \|", page)
        self.core = {path.name: path.read_text() for path in (ROOT / "core/src").glob("*.[ch]")}

    def test_pairs_are_those_that_the_code_names(self):
        code = " ".join(re.sub(r"\s*\n\s*\*?\s*", " ", text) for text in self.core.values())
        named = set(re.findall(r"\bORDER ([a-z]+(?:-[a-z]+)*)", code))
        self.assertEqual({name for name, _, _ in self.rows}, named)

    def test_functions_are_in_their_files(self):
        seen = 0
        for name, *ends in self.rows:
            file = None
            for word in re.findall(r"`([^`]+)`", " ".join(ends)):
                if word in self.core:
                    file = word
                elif word.endswith("()"):
                    seen += 1
                    with self.subTest(name=name, file=file, function=word):
                        self.assertTrue(re.search(r"\b%s\(" % word[:-2], self.core[file]))
        self.assertGreater(seen, 20)


if __name__ == "__main__":
    unittest.main()
