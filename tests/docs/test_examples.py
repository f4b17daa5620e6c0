"""Each program in docs/examples prints what its last comment says, and leaves nothing behind."""

import os
import re
import secrets
import subprocess
import tempfile
import unittest

EXAMPLES = "docs/examples/"
NAMES = sorted(name[: -len(".c")] for name in os.listdir(EXAMPLES) if name.endswith(".c"))


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def promised(name):
    """The lines of the comment, without its stars."""
    comment = re.search(r"^/\* It prints:\n \*\n((?: \* .*\n)+) \*/\n\Z", read(EXAMPLES + name + ".c"), re.MULTILINE)
    return re.sub(r"(?m)^ \* ", "", comment[1])


class Examples(unittest.TestCase):
    def run_example(self, name, segment, folder):
        done = subprocess.run([os.path.abspath(EXAMPLES + name), segment], cwd=folder, capture_output=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(done.stdout.decode(), promised(name))

    def test_each_prints_what_it_says(self):
        self.assertGreater(len(NAMES), 10)
        for name in NAMES:
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                shared = "shmkv-test-example-" + secrets.token_hex(8)
                self.addCleanup(lambda path="/dev/shm/" + shared: os.path.exists(path) and os.unlink(path))
                self.run_example(name, shared, folder)
                self.assertFalse(os.path.exists("/dev/shm/" + shared))
                self.run_example(name, "./file", folder)
                self.assertEqual(os.listdir(folder), [])

    def test_page_lists_each_once(self):
        page = read(EXAMPLES + "README.md")
        self.assertEqual(sorted(re.findall(r"^\| \[(\w+)\.c\]\(\1\.c\) \|", page, re.MULTILINE)), NAMES)

    def test_header_names_examples_for_each_group(self):
        header = read("core/include/shmkv/shmkv.h")
        groups = re.findall(r"^/\* -{20,} .* \*/\n(.*)", header, re.MULTILINE)
        self.assertGreater(len(groups), 10)
        named = set()
        for line in groups:
            self.assertRegex(line, r"^/\* In docs/examples: \w+\.c(, \w+\.c)* \*/$")
            named.update(re.findall(r"(\w+)\.c", line))
        self.assertEqual(sorted(named), NAMES)


if __name__ == "__main__":
    unittest.main()
