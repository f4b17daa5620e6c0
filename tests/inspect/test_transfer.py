"""export and import: all entries, through files and pipes, whole or not at all."""

import os
import pty
import resource
import signal
import stat
import subprocess
import unittest

from inspector import DAMAGED, NO, OK, PROGRAM, SYSTEM, USAGE, Case, complaint, objects, run, run_both


class Transfer(Case):
    ENTRIES = {"a": "1", "b": "two\nlines", "c": "", "Grüße": "x" * 5000}

    def setUp(self):
        super().setUp()
        for key, value in self.ENTRIES.items():
            self.put(key, value)
        self.other = self.segment + "-other"
        self.addCleanup(self.remove, "/dev/shm/" + self.other)
        self.path = os.path.join(self.folder, "dump")

    def found(self, segment):
        return {entry["key"]: entry["value"] for entry in objects(run("dump", "--json", segment))}

    def test_export_when_imported_then_the_same_entries(self):
        for options in ((), ("--snapshot",)):
            with self.subTest(options=options):
                self.assertEqual(run("export", *options, self.segment, self.path), b"")
                self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
                run("import", "--create", self.other, self.path)
                self.assertEqual(self.found(self.other), self.ENTRIES)
                run("unlink", self.other)
        self.assertEqual(os.listdir(self.folder), ["dump"])

    def test_export_when_streamed_then_the_same_bytes_as_in_a_file(self):
        run("export", self.segment, self.path)
        with open(self.path, "rb") as file:
            expected = file.read()
        self.assertEqual(run("export", self.segment), expected)
        self.assertEqual(run("export", self.segment, "-"), expected)
        run("import", "--create", self.other, input=expected)
        self.assertEqual(self.found(self.other), self.ENTRIES)
        run("import", self.other, "-", input=expected)

    def test_import_when_keys_are_there_then_over_keep_or_replace(self):
        dump = run("export", self.segment)
        run("put", "--create", self.other, "a", "mine")
        run("put", self.other, "z", "mine")
        run("import", "--keep", self.other, input=dump)
        self.assertEqual(self.found(self.other), {**self.ENTRIES, "a": "mine", "z": "mine"})
        run("import", self.other, input=dump)
        self.assertEqual(self.found(self.other), {**self.ENTRIES, "z": "mine"})
        run("import", "--replace", self.other, input=dump)
        self.assertEqual(self.found(self.other), self.ENTRIES)

    def test_import_when_the_dump_is_damaged_then_3_and_the_byte(self):
        dump = run("export", self.segment)
        run("put", "--create", self.other, "z", "mine")
        for bad in (dump[:-1], dump[:200], b"", b"no dump", dump[:300] + b"?" + dump[301:]):
            err = complaint("import", "--replace", self.other, input=bad, status=DAMAGED)
            self.assertRegex(err, r"byte \d+")
            self.assertIn("as it was", err)
        self.assertEqual(self.found(self.other), {"z": "mine"})
        err = complaint("import", self.other, input=dump[:-1], status=DAMAGED)
        self.assertIn("4 entries were stored before that", err)

    def test_export_when_it_fails_then_the_older_file_stays(self):
        older = self.file("dump", b"older")
        complaint("export", self.segment + "-absent", older, status=NO)
        complaint("export", self.segment, os.path.join(self.folder, "no", "folder"), status=SYSTEM)
        complaint("export", self.segment, "/dev/full", status=SYSTEM)
        with open(older, "rb") as file:
            self.assertEqual(file.read(), b"older")
        run("export", self.segment, older)
        run("import", "--create", self.other, older)
        self.assertEqual(os.listdir(self.folder), ["dump"])

    def test_export_when_a_signal_ends_it_then_no_draft_stays(self):
        def at_most_1000_bytes():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        older = self.file("dump", b"older")
        command = [PROGRAM, "export", self.segment, older]
        done = subprocess.run(command, preexec_fn=at_most_1000_bytes, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, -signal.SIGXFSZ)
        self.assertEqual(os.listdir(self.folder), ["dump"])
        # And where the signal is ignored, as Python has it:
        done = subprocess.run(command, preexec_fn=at_most_1000_bytes, restore_signals=False, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, SYSTEM, done.stderr)
        self.assertEqual(os.listdir(self.folder), ["dump"])
        with open(older, "rb") as file:
            self.assertEqual(file.read(), b"older")

    def test_commands_when_used_wrongly_then_2(self):
        complaint("import", "--keep", "--replace", self.segment, self.path, status=USAGE)
        complaint("import", self.segment, "a", "b", status=USAGE)
        complaint("export", status=USAGE)
        complaint("import", self.segment, self.path, status=SYSTEM)  # there is none
        complaint("import", self.other, "/dev/null", status=NO)

    def on_terminal(self, *args, **streams):
        """Run with a terminal in place of the streams named; the exit status and what it showed."""
        master, slave = pty.openpty()
        streams = {name: slave if stream is pty else stream for name, stream in streams.items()}
        process = subprocess.Popen([PROGRAM, *args], **streams)
        os.close(slave)
        status, shown = process.wait(timeout=60), b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(master)
        return status, shown

    def test_dump_when_it_would_go_to_or_come_from_a_terminal_then_2(self):
        self.assertEqual(self.on_terminal("export", self.segment, stdout=pty, stderr=subprocess.DEVNULL)[0], USAGE)
        self.assertEqual(self.on_terminal("import", self.segment, stdin=pty, stderr=subprocess.DEVNULL)[0], USAGE)

    def test_progress_when_stderr_is_a_terminal_then_told_and_cleared(self):
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        dump = run("export", self.segment)
        master, slave = pty.openpty()
        process = subprocess.Popen([PROGRAM, "import", self.segment, fifo], stderr=slave)
        os.close(slave)
        shown = b""
        with open(fifo, "wb", buffering=0) as pipe:
            pipe.write(dump[:-1])  # it waits for the last byte, and tells how far it is
            while b"entries read" not in shown:
                shown += os.read(master, 100)
            pipe.write(dump[-1:])
        self.assertEqual(process.wait(timeout=60), OK)
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:
                break
            if not part:
                break
            shown += part
        os.close(master)
        self.assertIn(b"4 entries read", shown)
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown)

    def test_progress_when_stderr_is_no_terminal_then_silent(self):
        out, err = run_both("export", self.segment, self.path)
        self.assertEqual((out, err), (b"", b""))


if __name__ == "__main__":
    unittest.main()
