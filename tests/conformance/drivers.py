"""Runs the drivers of the four languages. README.md has their commands."""

import os
import pathlib
import secrets
import struct
import subprocess
import threading
import unittest

HERE = pathlib.Path(__file__).absolute().parent
LANGUAGES = ("c", "perl", "python", "ruby")
PATIENCE = 60  # seconds; what takes longer than this never comes


class DriverError(Exception):
    """A driver answered `error ...`; the rest of that line is the argument."""


def _command(language):
    if language == "c":
        return [os.environ["SHMKV_DRIVER_C"]]
    suffix = {"perl": "pl", "python": "py", "ruby": "rb"}[language]
    return [os.environ["SHMKV_" + language.upper()], str(HERE / ("driver." + suffix))]


def tohex(data):
    return data.hex() or "-"


def unhex(word):
    return b"" if word == "-" else bytes.fromhex(word)


def describe(value):
    """As README.md says, but for arrays and objects."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, bytes):
        return "bytes:" + value.hex()
    if isinstance(value, str):
        return "text:" + value.encode().hex()
    if isinstance(value, int):
        return "int:%d" % value
    return "nan" if value != value else "float:" + struct.pack(">d", value).hex()


class Driver:
    """One driver process. Methods are commands; a failing one raises DriverError."""

    def __init__(self, language):
        self.language = language
        self._process = subprocess.Popen(_command(language), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid

    def send(self, *words):
        """Give a command; its answer is to be had from answer()."""
        words = (tohex(word) if isinstance(word, bytes) else str(word) for word in words)
        self._process.stdin.write((" ".join(words) + "\n").encode())
        self._process.stdin.flush()

    def answer(self):
        line = self._process.stdout.readline().decode()
        if not line.endswith("\n"):
            raise AssertionError("the %s driver is gone: %s" % (self.language, self._process.wait()))
        head, _, rest = line.rstrip("\n").partition(" ")
        if head == "error":
            raise DriverError(rest)
        return head, rest

    def _ask(self, *words):
        self.send(*words)
        return self.answer()

    def _entries(self, command):
        entries = []
        self.send(command)
        while True:
            head, rest = self.answer()
            if head == "end":
                return entries
            entries.append(tuple(map(unhex, rest.split())))

    def open(self, name, mode="shared", *options):
        return self._ask("open", os.fsencode(name), mode, *options)

    def begin(self, operation, *arguments):
        """Call an operation whose answers are to be had from line()."""
        self.send("call", operation, *map(describe, arguments))

    def line(self):
        """The next line of the answer as it is, also if it tells of an error."""
        try:
            return " ".join(self.answer()).rstrip()
        except DriverError as error:
            return "error %s" % error

    def woken(self):
        """The line with which a driver that waits for ever says that it does so no more. One that is not
        woken is killed, so that the test fails instead of hanging."""
        watchdog = threading.Timer(PATIENCE, self._process.kill)
        watchdog.start()
        try:
            return self.line()
        finally:
            watchdog.cancel()

    def call(self, operation, *arguments):
        self.begin(operation, *arguments)
        return self.line()

    def until_asleep(self):
        """Wait until the process sleeps. For one that has said that it is going to wait: it must not have
        answered, and so does not sleep for want of a command."""
        stat = pathlib.Path("/proc/%d/stat" % self.pid)
        while (state := stat.read_text().rpartition(") ")[2][0]) != "S":
            assert state != "Z", self.language
            os.sched_yield()
        assert not self._has_answered(), "the %s driver does not wait: %s" % (self.language, self.line())

    def _has_answered(self):
        out = self._process.stdout
        os.set_blocking(out.fileno(), False)
        try:
            return bool(out.peek(1))
        finally:
            os.set_blocking(out.fileno(), True)

    def unlink(self, name):
        return self._ask("unlink", os.fsencode(name))

    def put(self, key, value):
        return self._ask("put", key, value)

    def get(self, key):
        head, rest = self._ask("get", key)
        return None if head == "absent" else unhex(rest)

    def native(self, name):
        return self._ask("native", name)

    def describe(self, name):
        return self._ask("describe", name)[1]

    def exchange(self, one, other):
        return self._ask("exchange", one, other)

    def transfer(self, source, target, count):
        return self._ask("transfer", source, target, count)

    def delete(self, key):
        return self._ask("delete", key)[0] == "ok"

    def exists(self, key):
        return self._ask("exists", key)[0] == "yes"

    def count(self):
        return int(self._ask("count")[1])

    def all(self):
        return self._entries("all")

    def walk(self):
        return self._entries("walk")

    def verify(self):
        return int(self._ask("verify")[1])

    def load(self, first, count):
        return self._ask("load", first, count)

    def put_many(self, first, count):
        return self._ask("put_many", first, count)

    def delete_many(self, first, count):
        return int(self._ask("delete_many", first, count)[1])

    def steps(self, prefix, position, count):
        """The keys that it was given, and where it stands then."""
        keys = []
        self.send("steps", prefix, position, count)
        while True:
            head, rest = self.answer()
            if head == "end":
                return keys, unhex(rest)
            key, value = map(unhex, rest.split())
            assert value == 2 * key, (key, value)
            keys.append(key)

    def check(self, first, count):
        return int(self._ask("check", first, count)[1])

    def close(self):
        return self._ask("close")

    def end(self):
        self._process.stdin.close()
        status = self._process.wait()
        self._process.stdout.close()
        return status

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


class DriverTest(unittest.TestCase):
    """Has a driver per language as self.drivers, and makes segment names."""

    @classmethod
    def setUpClass(cls):
        cls.drivers = {language: Driver(language) for language in LANGUAGES}

    @classmethod
    def tearDownClass(cls):
        for driver in cls.drivers.values():
            driver.end()

    def segment(self):
        # Not the pid: tests in sandboxes of their own share pids, and /dev/shm.
        name = "shmkv-test-conf-" + secrets.token_hex(8)
        self.addCleanup(self._remove, name)
        return name

    def _remove(self, name):
        # Not by a driver: the test may have failed because that is gone.
        try:
            os.unlink("/dev/shm/" + name)
        except FileNotFoundError:
            pass
