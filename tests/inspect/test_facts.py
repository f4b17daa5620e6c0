"""list, info, stat, check, unlink; help, usage, and what does not work."""

import os
import re
import socket
import subprocess
import unittest

from inspector import DAMAGED, NO, OK, PROGRAM, RETRY, SYSTEM, USAGE, Case, complaint, facts, objects, run, run_both, table

COMMANDS = "list info stat keys get dump put del check locks held owners hexdump export import freeze sync unlink".split()
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


class Help(unittest.TestCase):
    def test_version(self):
        self.assertRegex(run("--version").decode(), r"^shmkv-inspect \d+\.\d+\.\d+ \(library \d+\.\d+\.\d+, format 1\)\n$")

    def test_help_names_every_command(self):
        text = run("--help").decode()
        for command in COMMANDS:
            self.assertRegex(text, r"(?m)^  %s  " % command)
        self.assertEqual(run("help").decode(), text)
        self.assertEqual(run("-h").decode(), text)

    def test_help_of_each_command(self):
        for command in COMMANDS:
            with self.subTest(command=command):
                text = run(command, "--help").decode()
                self.assertIn("Usage: shmkv-inspect %s " % command, text)
                self.assertEqual(run("help", command).decode(), text)

    def test_manual_has_every_option(self):
        with open(os.environ["SHMKV_INSPECT_MANUAL"]) as file:
            manual = file.read()
        sections = dict(re.findall(r"(?m)^\.It Cm (\w+) (.*)$", manual))
        self.assertEqual(list(sections), COMMANDS)
        for command in COMMANDS:
            letters = re.findall(r"(?m)^  -(.), --([\w-]+)", run(command, "--help").decode())
            for letter, name in letters:
                with self.subTest(command=command, option=name):
                    self.assertIn(".It Fl %s , -%s" % (letter, name), manual.replace("Fl l ,", "\n.It Fl l ,"))
                    if name != "help":
                        self.assertRegex(sections[command], r"Fl \w*%s" % letter)

    def test_wrong_usage(self):
        for args in (), ("frobnicate",), ("help", "frobnicate"), ("info",), ("info", "a", "b"), ("get", "a"), ("del", "a"), \
                ("info", "--frobnicate", "a"), ("list", "a"), ("unlink",), ("keys", "--limit"), ("put", "a", "b", "c", "d"):
            with self.subTest(args=args):
                out, err = run_both(*args, status=USAGE)
                self.assertEqual(out, b"")
                self.assertRegex(err, rb"^(shmkv-inspect|Usage: shmkv-inspect)\b")


class Cache(Case):
    def test_bounds_and_what_they_cost(self):
        self.writer_of_a_cache()
        info, stat = facts(run("info", self.segment)), facts(run("stat", self.segment))
        self.assertEqual((info["evicts"], info["max_entries"], info["max_bytes"]), ("yes", "100", "-"))
        self.assertLessEqual(int(stat["entries"]), 100)
        self.assertEqual(int(stat["entries"]) + int(stat["evictions"]), 301)
        (info,) = objects(run("info", "--json", self.segment))
        self.assertIs(info["evicts"], True)
        self.assertEqual(info["max_entries"], 100)


class Facts(Case):
    def setUp(self):
        super().setUp()
        self.put("a", "1")
        self.put("b", "2")

    def test_info(self):
        info = facts(run("info", self.segment))
        self.assertEqual(info["name"], self.segment)
        self.assertEqual(info["revision"], "1")
        self.assertEqual(info["state"], "live")
        self.assertEqual(info["frozen"], "no")
        self.assertEqual(info["incarnation"], "1")
        self.assertRegex(info["uuid"], UUID)
        self.assertRegex(info["created"], TIME)
        self.assertEqual(info["creator_program"], "shmkv-inspect")
        self.assertEqual(info["permissions"], "0600")
        self.assertEqual(info["uid"], str(os.geteuid()))
        self.assertEqual(info["file_size"], str(os.stat(self.object).st_size))
        self.assertEqual(info["max_size"], "-")
        self.assertEqual(info["default_ttl_ns"], "-")
        self.assertEqual(info["evicts"], "no")
        self.assertEqual(info["max_entries"], "-")
        self.assertEqual(info["max_bytes"], "-")

    def test_info_as_json_says_the_same(self):
        (info,) = objects(run("info", "--json", self.segment))
        self.assertIsNone(info["max_size"])
        self.assertIs(info["frozen"], False)
        info["frozen"] = info["evicts"] = "no"
        for name in "max_size", "max_entries", "max_bytes", "default_ttl_ns":
            self.assertIsNone(info[name])
            info[name] = "-"
        self.assertEqual({name: str(value) for name, value in info.items()}, facts(run("info", self.segment)))
        self.assertIs(type(info["file_size"]), int)

    def test_stat(self):
        (stat,) = objects(run("stat", "--json", self.segment))
        self.assertEqual(stat["entries"], 2)
        self.assertEqual(stat["shards_used"], len({"a", "b"}) if stat["shards_used"] == 2 else 1)
        self.assertLessEqual(stat["limit"], os.stat(self.object).st_size)
        parts = sum(stat[name + "_bytes"] for name in ("meta", "free", "group", "slab", "large"))
        self.assertEqual(parts, stat["limit"])
        self.assertEqual({name: str(value) for name, value in stat.items()}, facts(run("stat", self.segment)))

    def test_check(self):
        self.assertEqual(run("check", self.segment), b"ok\n")
        self.assertEqual(objects(run("check", "--json", self.segment)), [{"ok": True, "problems": 0}])

    def test_reading_changes_nothing(self):
        with open(self.object, "rb") as file:
            before = file.read()
        for command in "info", "stat", "keys", "dump", "check", "locks", "held", "owners", "hexdump":
            run(command, self.segment)
        run("dump", "--snapshot", self.segment)
        run("hexdump", "--annotate", self.segment)
        run("list")
        with open(self.object, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_copied_file(self):
        path = self.copy()
        os.chmod(path, 0o400)
        self.assertEqual(run("get", path, "a"), b"1\n")
        self.assertEqual(facts(run("info", path))["uuid"], facts(run("info", self.segment))["uuid"])
        self.assertEqual(run("check", path), b"ok\n")
        self.assertEqual(sorted(run("dump", path).splitlines()), [b"a\t1", b"b\t2"])
        relative = run("get", "./copy.shmkv", "b", cwd=self.folder)
        self.assertEqual(relative, b"2\n")

    def test_name_of_a_file_without_a_slash(self):
        self.copy()
        self.assertIn("'./copy.shmkv'", complaint("info", "copy.shmkv", status=NO, cwd=self.folder))

    def test_unlink(self):
        run("unlink", self.segment)
        self.assertFalse(os.path.exists(self.object))
        complaint("unlink", self.segment, status=NO)

    def test_unlink_several(self):
        path = self.copy()
        complaint("unlink", self.segment, self.segment + "-not", path, status=NO)
        self.assertFalse(os.path.exists(self.object))
        self.assertFalse(os.path.exists(path))

    def test_output_that_cannot_be_written(self):
        for command in "list", "info", "dump", "hexdump":
            with self.subTest(command=command), open("/dev/full", "wb") as full:
                args = [PROGRAM, command] + [self.segment] * (command != "list")
                done = subprocess.run(args, stdout=full, stderr=subprocess.PIPE)
                self.assertEqual(done.returncode, SYSTEM)
                self.assertIn(b"could not write", done.stderr)

    def test_output_that_is_closed(self):
        def run_closed(*args):
            command = ["sh", "-c", '"$@" >&-', "sh", PROGRAM, *args]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            return done.returncode, done.stderr

        path = os.path.join(self.folder, "dump")
        for args in ("put", self.segment, "k", "v"), ("del", self.segment, "k"), ("sync", self.segment), (
            "export", self.segment, path), ("import", self.segment, path), ("unlink", self.segment):
            with self.subTest(args=args):
                self.assertEqual(run_closed(*args), (OK, b""))
        for args in ("list",), ("help",), ("--version",):
            with self.subTest(args=args):
                status, text = run_closed(*args)
                self.assertEqual(status, SYSTEM)
                self.assertIn(b"could not write", text)


class List(Case):
    def setUp(self):
        super().setUp()
        self.put("a", "1")

    def states(self, *options):
        return {row["name"]: row["state"] for row in table(run("list", "--dir", self.folder, *options))}

    def test_shared_memory(self):
        rows = [row for row in table(run("list")) if row["name"] == self.segment]
        self.assertEqual(len(rows), 1)
        self.assertEqual(rows[0]["state"], "ok")
        self.assertEqual(rows[0]["entries"], "1")
        self.assertEqual(rows[0]["permissions"], "0600")
        self.assertEqual(rows[0]["size"], str(os.stat(self.object).st_size))
        self.assertRegex(rows[0]["created"], TIME)

    def test_json(self):
        rows = [row for row in objects(run("list", "--json")) if row["name"] == self.segment]
        self.assertEqual(rows[0]["entries"], 1)
        self.assertEqual(list(rows[0]), run("list").decode().split("\n")[0].split("\t"))

    def test_a_folder_of_everything(self):
        image = open(self.copy("good"), "rb").read()
        self.file("foreign", b"not a segment, but a text\n" * 500)
        self.file("empty", b"")
        self.file("damaged", image[:200] + bytes([image[200] ^ 1]) + image[201:])
        self.file("short", image[:4096])
        self.file("newer", image[:8] + b"\2" + image[9:])
        self.file(".shmkv-swap-0123456789abcdef", image)
        self.file(".shmkv-new-0123", b"")
        os.symlink("good", os.path.join(self.folder, "link"))
        os.symlink("/dev/zero", os.path.join(self.folder, "zero"))
        os.mkfifo(os.path.join(self.folder, "fifo"))  # opened for reading, it would wait for ever
        os.mkdir(os.path.join(self.folder, "folder"))
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(os.path.join(self.folder, "socket"))
        shown = {
            "good": "ok",
            "damaged": "damaged",
            "short": "damaged",
            "newer": "newer",
            ".shmkv-swap-0123456789abcdef": "leftover",
            ".shmkv-new-0123": "leftover",
        }
        self.assertEqual(self.states(), shown)
        self.assertEqual(self.states("--all"), {**shown, "foreign": "foreign", "empty": "foreign"})

    def test_names_are_escaped(self):
        self.copy("\x1b[2J\tx\n")
        self.assertEqual(list(self.states()), ["\\x1b[2J\\tx\\n"])
        self.assertEqual([row["name"] for row in objects(run("list", "-j", "-d", self.folder))], ["\x1b[2J\tx\n"])

    def test_files_that_may_not_be_read(self):
        os.chmod(self.copy("mine"), 0)
        options = self.as_stranger()
        out, err = run_both("list", "--dir", self.folder, **options)
        self.assertEqual(table(out), [])
        self.assertIn(b"--all", err)
        rows = table(run("list", "--all", "--dir", self.folder, **options))
        self.assertIn(("mine", "denied"), [(row["name"], row["state"]) for row in rows])

    def test_no_such_folder(self):
        complaint("list", "--dir", os.path.join(self.folder, "none"), status=SYSTEM)


class Refusals(Case):
    """Every command that reads, on what is not a segment or not a whole one."""

    READERS = ("info",), ("stat",), ("keys",), ("get", "k"), ("dump",), ("check",), ("locks",), ("held",), ("owners",)

    def refused(self, segment, status, **options):
        for command, *operands in self.READERS:
            with self.subTest(command=command):
                complaint(command, segment, *operands, status=status, **options)

    def test_missing(self):
        self.refused(self.segment, NO)
        self.refused(os.path.join(self.folder, "none"), NO)
        complaint("hexdump", self.segment, status=NO)
        complaint("hexdump", "--annotate", self.segment, status=NO)

    def test_bad_names(self):
        for name in "", "a/b", "n" * 255, ".", "..":
            with self.subTest(name=name):
                self.refused(name, USAGE)
                complaint("put", "--create", name, "k", "v", status=USAGE)
                complaint("unlink", name, status=USAGE)
                complaint("hexdump", name, status=USAGE)

    def test_foreign_file_is_left_alone(self):
        content = b"somebody's data\n" * 1000
        with open(self.object, "wb") as file:
            file.write(content)
        self.refused(self.segment, DAMAGED)
        complaint("put", "--create", self.segment, "k", "v", status=DAMAGED)
        complaint("del", self.segment, "k", status=DAMAGED)
        complaint("unlink", self.segment, status=DAMAGED)
        complaint("hexdump", "--annotate", self.segment, status=DAMAGED)
        with open(self.object, "rb") as file:
            self.assertEqual(file.read(), content)

    def test_empty_file(self):
        self.refused(self.file("empty", b""), DAMAGED)

    def test_newer_format(self):
        self.put("k", "v")
        image = open(self.object, "rb").read()
        self.refused(self.file("newer", image[:8] + b"\2" + image[9:]), DAMAGED)

    def test_truncated(self):
        self.put("k", "v")
        image = open(self.object, "rb").read()
        for size in 4096, 8192, len(image) // 2:
            with self.subTest(size=size):
                self.refused(self.file("short", image[:size]), DAMAGED)

    def test_damaged_header(self):
        self.put("k", "v")
        image = open(self.object, "rb").read()
        path = self.file("damaged", image[:100] + b"\xff" + image[101:])
        self.refused(path, DAMAGED)
        result = objects(run("check", "--json", path, status=DAMAGED))
        self.assertEqual(result, [{"ok": False, "problems": 0, "error": "SHMKV_ECORRUPT"}])

    def test_damage_that_only_check_finds(self):
        self.put("k", "v")
        image = bytearray(open(self.object, "rb").read())
        field = [
            line
            for line in objects(run("hexdump", "-Aj", "--part=shards", self.segment))
            if line["field"] == "count" and line["value"] == "1"
        ]
        image[field[0]["offset"]] = 77
        path = self.file("damaged", image)
        self.assertEqual(run("get", path, "k"), b"v\n")
        lines = run("check", path, status=DAMAGED).decode().splitlines()
        self.assertTrue(lines)
        for line in lines:
            self.assertRegex(line, r"^0x[0-9a-f]+\t.")
        *problems, result = objects(run("check", "--json", path, status=DAMAGED))
        self.assertEqual(len(problems), len(lines))
        self.assertEqual((result["ok"], result["problems"]), (False, len(lines)))

    def test_symbolic_link_is_not_followed(self):
        self.put("k", "v")
        link = self.object + "-link"
        os.symlink(self.object, link)
        self.addCleanup(self.remove, link)
        self.refused(self.segment + "-link", DAMAGED)
        complaint("hexdump", self.segment + "-link", status=DAMAGED)

    def test_fifo_does_not_make_it_wait(self):
        path = os.path.join(self.folder, "fifo")
        os.mkfifo(path)
        self.refused(path, DAMAGED)
        complaint("hexdump", path, status=DAMAGED)

    def test_no_permission(self):
        self.put("k", "v")
        os.chmod(self.object, 0)
        options = self.as_stranger()
        self.refused(self.segment, SYSTEM, **options)
        complaint("put", self.segment, "k", "v", status=SYSTEM, **options)
        complaint("hexdump", self.segment, status=SYSTEM, **options)

    def test_segment_of_another_user(self):
        self.put("k", "v")
        try:
            os.chown(self.object, 1, 1)
        except OSError as error:
            self.skipTest("a file cannot be given to another user here: %s" % error)
        self.assertEqual(run("get", self.segment, "k"), b"v\n")
        self.assertIn("another user", complaint("put", self.segment, "k", "w", status=SYSTEM))
        self.assertIn("use rm", complaint("unlink", self.segment, status=SYSTEM))
        self.assertEqual(run("get", self.segment, "k"), b"v\n")
        run("put", "--any-owner", self.segment, "k", "w")
        self.assertEqual(run("get", self.segment, "k"), b"w\n")
        os.chown(self.object, 0, 0)


if __name__ == "__main__":
    unittest.main()
