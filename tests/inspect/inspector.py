"""What the inspector's tests share: running it as a user does, unique segments, writers to look at."""

import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import unittest

PROGRAM = os.path.abspath(os.environ["SHMKV_INSPECT"])
HOLDER = os.path.abspath(os.environ["SHMKV_HOLDER"])

OK, NO, USAGE, DAMAGED, RETRY, SYSTEM = range(6)
LIBC = ctypes.CDLL(None, use_errno=True)

# In the middle of a put: the lock of one shard is held, the intent is written, the commit is not.
POINT = "commit-before-first"


def run(*args, input=b"", status=OK, **options):
    """Run the inspector; the exit status must be as told. Returns standard output."""
    return run_both(*args, input=input, status=status, **options)[0]


def complaint(*args, status, **options):
    """Run the inspector, which must fail with this status. Returns what it says on standard error."""
    out, err = run_both(*args, status=status, **options)
    assert err, "no message from %r" % (args,)
    return err.decode()


def run_both(*args, input=b"", status=OK, **options):
    done = subprocess.run([PROGRAM, *args], input=input, capture_output=True, timeout=120, **options)
    if done.returncode != status:
        raise AssertionError(
            "shmkv-inspect %r: status %d, not %d\n%s\n%s" % (args, done.returncode, status, done.stdout, done.stderr)
        )
    return done.stdout, done.stderr


def objects(text):
    """JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def table(text):
    """A table with its header, as a list of dicts."""
    lines = [line.split("\t") for line in text.decode().splitlines()]
    for line in lines[1:]:
        assert len(line) == len(lines[0]), line
    return [dict(zip(lines[0], line)) for line in lines[1:]]


def facts(text):
    return dict(line.split("\t") for line in text.decode().splitlines())


class Case(unittest.TestCase):
    """Has a segment name of its own, a folder, and no leftovers."""

    def setUp(self):
        self.segment = "shmkv-test-inspect-" + secrets.token_hex(8)  # pids repeat in sandboxes
        self.object = "/dev/shm/" + self.segment
        self.addCleanup(self.remove, self.object)
        self.folder = tempfile.mkdtemp(prefix="shmkv-inspect-")
        self.addCleanup(shutil.rmtree, self.folder)

    def remove(self, path):
        if os.path.lexists(path):
            os.unlink(path)

    def put(self, key, value, *options):
        run("put", "--create", *options, "--", self.segment, key, value)

    def copy(self, name="copy.shmkv"):
        """A copy of the segment as a regular file; its path."""
        path = os.path.join(self.folder, name)
        with open(self.object, "rb") as source, open(path, "wb") as target:
            target.write(source.read())
        return path

    def file(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def hold(self, *args, name=None):
        """Start a writer; it is gone when the test is over."""
        environment = dict(os.environ, **({"HOLDER_NAME": name} if name else {}))
        process = subprocess.Popen(
            [HOLDER, self.segment, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()

    def waiting_writer(self, **options):
        """A writer that is attached and does nothing."""
        process = self.hold("wait", **options)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def writer_of_types(self):
        """A writer that has stored a value of each type, and goes on holding those bound to it."""
        process = self.hold("types")
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def writer_of_a_cache(self):
        """A writer that has stored 300 entries and one more in a new cache of 100, and is still attached."""
        process = self.hold("cache")
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def stopped_writer(self, **options):
        """A writer that stopped in the middle of a put."""
        process = self.hold("stop", POINT, **options)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        self.assertTrue(os.WIFSTOPPED(status), "the writer did not reach %s" % POINT)
        return process

    def dead_writer(self):
        """A writer that was killed in the middle of a put. Returns its pid."""
        process = self.hold("die", POINT)
        self.assertEqual(process.wait(), -signal.SIGKILL, "the writer did not reach %s" % POINT)
        return process.pid

    def as_stranger(self):
        """Options for run() with which a file of mode 0 may not be read, by root neither."""
        return {"preexec_fn": drop_capabilities} if os.geteuid() == 0 else {}


def drop_capabilities():
    """What this process executes next will heed file permissions, although it is root."""
    PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
    for capability in CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH:
        if LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
