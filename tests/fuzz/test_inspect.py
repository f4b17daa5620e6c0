"""The inspector on mutated segments: its reading commands end soon, say a bounded amount in printable
characters, print JSON that is JSON, and leave the file as it was."""

import json
import os
import random
import re
import resource
import secrets
import shutil
import struct
import subprocess
import time
import unittest

PROGRAM = os.path.abspath(os.environ["SHMKV_INSPECT"])
IMAGES = "spec/vectors"
COMMANDS = [
    ["info"], ["info", "-j"], ["stat"], ["stat", "-j"], ["keys"], ["keys", "-j"], ["dump"], ["dump", "-j"],
    ["check"], ["check", "-j"], ["locks"], ["locks", "-j"], ["held"], ["held", "-j"], ["owners"], ["owners", "-j"], ["hexdump"],
    ["hexdump", "--annotate"],
]
CASES = int(os.environ.get("SHMKV_INSPECT_CASES", "150"))


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Inspector(unittest.TestCase):
    def setUp(self):
        self.seed = int(os.environ.get("SHMKV_TEST_SEED") or secrets.randbits(32))
        print("test_inspect: SHMKV_TEST_SEED=%d" % self.seed)
        self.dice = random.Random(self.seed)
        self.folder = "/dev/shm/shmkv-test-fuzz-" + secrets.token_hex(8)
        os.mkdir(self.folder, 0o700)
        self.addCleanup(shutil.rmtree, self.folder)
        self.images = []
        for kind in "valid", "corrupt":
            for name in sorted(os.listdir(os.path.join(IMAGES, kind))):
                with open(os.path.join(IMAGES, kind, name), "rb") as f:
                    self.images.append((name, bytearray(f.read())))

    def mutated(self):
        """Words replaced behind the sealed header, which most commands insist on."""
        name, image = self.dice.choice(self.images)
        image = bytearray(image)
        words = [i for i in range(256, len(image) - 7, 8) if image[i:i + 8] != bytes(8)]
        for _ in range(self.dice.randrange(8) if words else 0):
            at = self.dice.choice(words)
            value = self.dice.choice([
                self.dice.getrandbits(64),
                int.from_bytes(image[at:at + 8], "little") ^ 1 << self.dice.randrange(64),
                int.from_bytes(b"\x1b]0;x\x07\xff", "little"),
                struct.unpack_from("<Q", image, self.dice.choice(words))[0],
                len(image) - self.dice.choice([0, 8, 64, 4096]),
            ])
            struct.pack_into("<Q", image, at, value % 2**64)
        return name, image

    def look(self, name, image, path, command):
        before, cpu = os.stat(path), children_cpu()
        done = subprocess.run([PROGRAM, *command, path], capture_output=True, timeout=60)
        cpu = children_cpu() - cpu
        about = "%s of %s: status %d" % (" ".join(command), name, done.returncode)
        self.assertIn(done.returncode, range(6), about)
        self.assertLess(cpu, 1.0, about)
        self.assertLess(len(done.stdout), 100 * len(image) + 1000000, about)
        self.assertLess(len(done.stderr), 200000, about)
        for text in done.stdout, done.stderr:
            try:
                plain = text.decode()
            except UnicodeDecodeError:
                self.fail("%s: not UTF-8" % about)
            # What is not ASCII may be printed as it is, but no control character, of whichever set.
            bad = re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", plain)
            self.assertIsNone(bad, "%s: %r" % (about, bad))
        if "-j" in command:
            for line in done.stdout.splitlines():
                json.loads(line)
        after = os.stat(path)
        for fact in "st_ino", "st_size", "st_mode", "st_mtime_ns", "st_ctime_ns", "st_blocks":
            self.assertEqual(getattr(before, fact), getattr(after, fact), "%s: %s" % (about, fact))
        with open(path, "rb") as f:
            self.assertEqual(f.read(), bytes(image), about)

    def test_mutated_segments(self):
        began = time.monotonic()
        for case in range(CASES):
            name, image = self.mutated()
            path = os.path.join(self.folder, "\x1b[2J%d" % case)
            with open(path, "wb") as f:
                f.write(image)
            for command in COMMANDS:
                self.look(name, image, path, command)
            os.unlink(path)
        print("%d segments, %d commands, %.1f s" % (CASES, CASES * len(COMMANDS), time.monotonic() - began))

    def test_another_users_files_looked_at_by_root(self):
        """In a directory that everybody may write to, as in /dev/shm."""
        if os.geteuid() != 0:
            self.skipTest("SKIPPED: not root")
        os.chmod(self.folder, 0o1777)
        for case in range(20):
            name, image = self.mutated()
            path = os.path.join(self.folder, "\x1b]0;%d\x07" % case)
            with open(path, "wb") as f:
                f.write(image)
            os.chmod(path, 0o666)
            try:
                os.chown(path, 12345, 12345)
            except OSError as e:
                self.skipTest("SKIPPED: no other users here: %s" % e)
            for command in COMMANDS:
                self.look(name, image, path, command)
        self.assertEqual(len(os.listdir(self.folder)), 20)

    def test_what_is_no_file_is_refused_at_once(self):
        """A link is not followed, a FIFO not waited for, and nothing is opened for writing."""
        path, target = os.path.join(self.folder, "\x1b[2J"), os.path.join(self.folder, "target")
        shutil.copy(os.path.join(IMAGES, "valid", "few-keys.shmkv"), target)
        before = os.stat(target)
        for make in [os.mkfifo, os.mkdir, lambda p: os.symlink(target, p), lambda p: os.symlink("/dev/zero", p)]:
            make(path)
            for command in COMMANDS:
                done = subprocess.run([PROGRAM, *command, path], capture_output=True, timeout=60)
                self.assertIn(done.returncode, range(1, 6), (command, make))
                self.assertNotIn(b"\x1b", done.stdout + done.stderr, (command, make))
            os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        self.assertEqual(before, os.stat(target))

    def test_holes_of_gigabytes(self):
        """A small file that says it is large: nobody who looks at it fills it."""
        with open(os.path.join(IMAGES, "valid", "few-keys.shmkv"), "rb") as f:
            image = bytearray(f.read())
        (space,) = struct.unpack_from("<Q", image, 112)
        struct.pack_into("<Q", image, space + 1024, 4 << 30)
        path = os.path.join(self.folder, "sparse")
        with open(path, "wb") as f:
            f.write(image)
            f.truncate(4 << 30)
        blocks = os.stat(path).st_blocks
        for command in COMMANDS:
            done = subprocess.run([PROGRAM, *command, path], capture_output=True, timeout=60)
            self.assertIn(done.returncode, range(6), command)
            self.assertLess(len(done.stdout), 10000000, command)
            self.assertEqual(os.stat(path).st_blocks, blocks, command)


if __name__ == "__main__":
    unittest.main()
