"""tools/demo/run: its success, and above all that it does not succeed when something is wrong."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

TOP = os.getcwd()  # a test starts at the top of its tree

STATUS = "".join(
    "Package: package-%d\nStatus: install ok installed\nSection: %s\nArchitecture: all\n"
    "Version: %d.0-1+%s\nDescription: one\n and more\n\n" % (i, "abc"[i % 3], i, "x" * (i % 60))
    for i in range(200)
)


class Demo(unittest.TestCase):
    def setUp(self):
        self.tree = tempfile.mkdtemp(prefix="shmkv-demo-test-")
        self.addCleanup(shutil.rmtree, self.tree)
        os.makedirs(self.tree + "/bazel-bin/tools/demo")
        os.makedirs(self.tree + "/tools/demo")
        os.symlink(TOP + "/dist", self.tree + "/bazel-bin/dist")
        os.symlink(TOP + "/tools/demo/check", self.tree + "/bazel-bin/tools/demo/check")
        shutil.copy(TOP + "/tools/env", self.tree + "/tools/env")
        for name in "run", "fill.pl", "count.py", "mark.rb":
            shutil.copy(TOP + "/tools/demo/" + name, self.tree + "/tools/demo/" + name)
        self.segment = None

    def file(self, text):
        path = self.tree + "/input"
        with open(path, "w") as file:
            file.write(text)
        return path

    def edit(self, name, old, new):
        path = self.tree + "/tools/demo/" + name
        with open(path) as file:
            text = file.read()
        self.assertIn(old, text)
        with open(path, "w") as file:
            file.write(text.replace(old, new))

    def start(self, *args, **environment):
        # A session of its own: what is left of it can be told from the rest.
        process = subprocess.Popen(
            [self.tree + "/tools/demo/run", *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True, env=dict(os.environ, **environment),
        )
        self.addCleanup(process.stdout.close)
        return process

    def finish(self, process):
        """The output; nothing may be left of the segment, nor of the processes."""
        out = process.communicate(timeout=120)[0]
        segment = re.search(r"in the segment '([^']+)'", out)
        if segment:
            self.assertFalse(os.path.exists("/dev/shm/" + segment[1]), "the segment is left")
        with self.assertRaises(ProcessLookupError, msg="a process is left"):
            os.killpg(process.pid, 0)
        return out

    def test_succeeds(self):
        self.edit("run", "status=/var/lib/dpkg/status", "status=" + self.file(STATUS))
        process = self.start()
        out = self.finish(process)
        self.assertEqual(process.returncode, 0, out)
        for text in "200 packages to store", "[perl]", "[python]", "[ruby]", "[c]", "a 67, b 67, c 66", "\nok\n", "It works":
            self.assertIn(text, out)

    def test_other_file(self):
        process = self.start(self.file("# comment\n\nhttp 80/tcp www\nlonely\nhttp 80/udp # again\n"))
        out = self.finish(process)
        self.assertEqual(process.returncode, 0, out)
        self.assertIn("3 packages to store", out)
        self.assertIn("http.5:line", out)

    def test_system_without_packages(self):
        self.edit("run", "status=/var/lib/dpkg/status", "status=/none")
        self.edit("run", "/etc/services", self.file("one line\nand two\n"))
        process = self.start()
        out = self.finish(process)
        self.assertEqual(process.returncode, 0, out)
        self.assertIn("take the place of packages", out)

    def test_nothing_to_read(self):
        for path in "/none", self.file("# only a comment\n"):
            process = self.start(path)
            self.assertIn("FAILED", self.finish(process))
            self.assertEqual(process.returncode, 1)

    def test_wrong_value_is_found(self):
        self.edit("fill.pl", '["$name:$arch", $version]', '["$name:$arch", "not $version"]')
        process = self.start(self.file("a 1\nb 2\nc 3\n"))
        out = self.finish(process)
        self.assertEqual(process.returncode, 1, out)
        self.assertIn("FAILED", out)

    def test_missing_value_is_found(self):
        self.edit("fill.pl", "$kv->put('demo/complete'", "$kv->delete($packages[0][0]); $kv->put('demo/complete'")
        process = self.start(self.file("a 1\nb 2\nc 3\n"))
        out = self.finish(process)
        self.assertEqual(process.returncode, 1, out)

    def test_each_failure_counts(self):
        for name, text, bad in (
            ("fill.pl", "my @packages = packages($status);", "exit 3;"),
            ("fill.pl", "$kv->close;", "exit 3;"),
            ("count.py", "main(*sys.argv[1:])", "sys.exit(3)"),
            ("mark.rb", "segment, status = ARGV", "exit 3"),
            ("mark.rb", 'pipe.puts "enough"', "exit 3"),
        ):
            with self.subTest(name=name, text=text):
                self.setUp()
                self.edit(name, text, bad)
                process = self.start(self.file("a 1\nb 2\nc 3\n"))
                out = self.finish(process)
                self.assertEqual(process.returncode, 1, out)
                self.assertNotIn("It works", out)

    def test_interrupted(self):
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            with self.subTest(number=number):
                self.setUp()
                self.edit("count.py", "if walks == ENOUGH:", "if False:")  # so that it does not end by itself
                process = self.start(self.file("a 1\nb 2\nc 3\n"))
                lines = [process.stdout.readline()]
                while "stored the other" not in lines[-1]:
                    self.assertTrue(lines[-1], "".join(lines))
                    lines.append(process.stdout.readline())
                segment = re.search(r"in the segment '([^']+)'", "".join(lines))[1]
                self.assertTrue(os.path.exists("/dev/shm/" + segment))
                os.kill(process.pid, number)
                self.finish(process)
                self.assertEqual(process.returncode, 128 + number)
                self.assertFalse(os.path.exists("/dev/shm/" + segment))


if __name__ == "__main__":
    unittest.main()
