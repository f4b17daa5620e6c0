"""The examples of README.md do what it says, and docs/errors.md lists the errors of errors.h."""

import os
import re
import secrets
import subprocess
import tempfile
import unittest

TOP = os.getcwd()  # a test starts at the top of its tree
DIST = TOP + "/dist"


def read(path):
    with open(os.path.join(TOP, path)) as file:
        return file.read()


class Readme(unittest.TestCase):
    """Runs each block of code as it stands, but for the segment's name, which is unique here."""

    @classmethod
    def setUpClass(cls):
        cls.blocks = re.findall(r"(?m)^```(\w*)\n(.*?)^```$", read("README.md"), re.DOTALL | re.MULTILINE)

    def setUp(self):
        self.segment = "shmkv-test-readme-" + secrets.token_hex(8)
        self.addCleanup(lambda: os.path.exists("/dev/shm/" + self.segment) and os.unlink("/dev/shm/" + self.segment))
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.environment = dict(
            os.environ,
            PATH=DIST + "/bin:" + os.environ["PATH"],
            PERL5LIB=DIST + "/perl",
            PYTHONPATH=DIST + "/python",
            RUBYLIB=DIST + "/ruby",
            SHMKV_INCLUDE=DIST + "/include",
            SHMKV_LIB=DIST + "/lib",
            LD_LIBRARY_PATH=DIST + "/lib",
        )

    def block(self, language, containing=""):
        found = [code for name, code in self.blocks if name == language and containing in code]
        self.assertEqual(len(found), 1, "blocks in %r" % language)
        return found[0].replace("readme", self.segment).replace("sessions", self.segment)

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def run_command(self, *command):
        done = subprocess.run(command, env=self.environment, cwd=self.folder, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""), command)
        return done.stdout

    def run_c(self):
        self.file("example.c", self.block("c"))
        command = re.search(r"`(cc example\.c .*?)`", read("README.md"))[1]
        self.run_command("sh", "-c", command)
        return self.run_command("./a.out")

    def run_script(self, language, interpreter):
        return self.run_command(interpreter, self.file("example", self.block(language)))

    def test_each_language_finds_what_the_others_stored(self):
        self.assertEqual(self.run_c(), "Dennis\n")
        self.assertEqual(sorted(self.run_script("perl", "perl").splitlines()), ["Larry", "c: Dennis", "perl: Larry Wall"])
        out = self.run_script("python", "python3").splitlines()
        self.assertEqual(out[0], "Guido")
        self.assertIn("b'perl' b'Larry Wall'", out)
        out = self.run_script("ruby", "ruby").splitlines()
        self.assertEqual(out[0], "Matz")
        self.assertIn("python: Guido", out)
        self.assertEqual(out[-1], "nil")
        dump = self.run_command("shmkv-inspect", "dump", self.segment)
        self.assertIn("ruby\tMatz\n", dump)

    def test_ten_lines(self):
        for language, most in ("c", 14), ("perl", 10), ("python", 10), ("ruby", 10):
            with self.subTest(language=language):
                self.assertLessEqual(len(self.block(language).splitlines()), most)

    def test_shell(self):
        self.run_c()
        self.run_command("sh", "-ec", self.block("", containing="shmkv-inspect dump"))
        self.assertFalse(os.path.exists("/dev/shm/" + self.segment))

    def test_session_at_the_top(self):
        lines = self.block("", containing="$ ").splitlines()
        commands = [line[2:] for line in lines if line.startswith("$ ")]
        shown = [line for line in lines if not line.startswith("$ ")]
        out = "".join(self.run_command("sh", "-c", command) for command in commands)
        self.assertEqual(out.splitlines(), shown)


class Errors(unittest.TestCase):
    def test_errors_md_is_complete(self):
        header = re.findall(r'X\((\w+), +(-\d+), +(\w+), +"(.*)"\)', read("dist/include/shmkv/errors.h"))
        self.assertGreater(len(header), 10)
        table = re.findall(r"(?m)^\| `SHMKV_(\w+)` \| (-\d+) \| `(\w+)` \| (.*?) \|", read("docs/errors.md"))
        self.assertEqual([row[:3] for row in table], [row[:3] for row in header])
        for (name, _, _, text), (_, _, _, full) in zip(table, header):
            with self.subTest(name=name):
                self.assertTrue(full.startswith(text), "%r is not how %r begins" % (text, full))


class Changelog(unittest.TestCase):
    def test_format_comes_first(self):
        parts = re.split(r"(?m)^## ", read("CHANGELOG.md"))[1:]
        self.assertTrue(parts)
        for part in parts:
            self.assertEqual(re.findall(r"(?m)^\*\*(\w+)\.\*\*", part)[0], "Format")

    def test_names_the_version(self):
        version = re.search(r'#define SHMKV_VERSION "(.*)"', read("dist/include/shmkv/version.h"))[1]
        self.assertIn("## " + version, read("CHANGELOG.md"))


if __name__ == "__main__":
    unittest.main()
