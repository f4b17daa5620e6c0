"""locks, held and owners, and everything else, while a writer is attached, stopped or dead."""

import os
import signal
import time
import unittest

from inspector import NO, RETRY, Case, complaint, facts, objects, run, table


class AliveWriter(Case):
    def test_owner_is_shown(self):
        process = self.waiting_writer()
        (row,) = table(run("owners", self.segment))
        self.assertEqual((row["state"], row["pid"], row["program"]), ("alive", str(process.pid), "holder"))
        self.assertEqual((row["locks"], row["uid"]), ("0", str(os.geteuid())))
        self.assertEqual(row["pid_ns"], str(os.stat("/proc/self/ns/pid").st_ino))

    def test_owner_as_json(self):
        process = self.waiting_writer()
        (row,) = objects(run("owners", "--json", self.segment))
        self.assertEqual((row["state"], row["pid"], row["locks"]), ("alive", process.pid, 0))
        self.assertEqual(list(row), run("owners", self.segment).decode().split("\n")[0].split("\t"))

    def test_owner_is_gone_after_it_closed(self):
        process = self.waiting_writer()
        process.communicate(b"")
        self.assertEqual(process.returncode, 0)
        self.assertEqual(table(run("owners", self.segment)), [])

    def test_program_name_is_escaped(self):
        self.waiting_writer(name="\x1b[2J\x07x")
        (row,) = table(run("owners", self.segment))
        self.assertEqual(row["program"], "\\x1b[2J\\x07x")

    def test_no_lock_is_held(self):
        self.waiting_writer()
        self.assertEqual(table(run("locks", self.segment)), [])
        rows = table(run("locks", "--all", self.segment))
        info = facts(run("info", self.segment))
        self.assertEqual(len(rows), int(info["shards"]) + int(info["arenas"]) + 1)
        self.assertEqual({row["slot"] for row in rows}, {"-"})

    def test_locks_as_json(self):
        self.waiting_writer()
        rows = objects(run("locks", "--all", "--json", self.segment))
        self.assertEqual(list(rows[0]), run("locks", self.segment).decode().split("\n")[0].split("\t"))
        self.assertEqual((rows[0]["lock"], rows[0]["slot"], rows[0]["waiters"]), ("shard", None, False))

    def test_a_segment_that_is_unlinked_lives_on(self):
        process = self.waiting_writer()
        run("unlink", self.segment)
        complaint("info", self.segment, status=NO)
        process.communicate(b"")
        self.assertEqual(process.returncode, 0)


class NamedLock(Case):
    def holder(self, lock):
        process = self.hold("lock", lock)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def test_none_is_held(self):
        self.put("key", "value")
        self.assertEqual(run("held", self.segment), b"name\tslot\tholder\tpid\tprogram\tthread\ttoken\n")
        self.assertEqual(run("held", "--json", self.segment), b"")

    def test_holder_is_shown(self):
        self.put("a lock", "and a key of the name")
        process = self.holder("a lock")
        (row,) = table(run("held", self.segment))
        self.assertEqual((row["name"], row["holder"], row["program"]), ("a lock", "alive", "holder"))
        self.assertEqual((row["pid"], row["thread"]), (str(process.pid), str(process.pid)))
        (owner,) = table(run("owners", self.segment))
        self.assertEqual(row["slot"], owner["slot"])
        process.communicate(b"")
        self.assertEqual(process.returncode, 0)
        self.assertEqual(table(run("held", self.segment)), [])

    def test_as_json(self):
        processes = [self.holder(name) for name in ("one", "caf\u00e9\n", b"\xff")]
        rows = {row.get("name", row.get("name_b64")): row for row in objects(run("held", "--json", self.segment))}
        self.assertEqual(set(rows), {"one", "caf\u00e9\n", "/w=="})
        self.assertEqual([rows[name]["pid"] for name in ("one", "caf\u00e9\n", "/w==")], [p.pid for p in processes])
        self.assertEqual(list(rows["one"]), run("held", self.segment).decode().split("\n")[0].split("\t"))
        self.assertIn(b"\ncaf\xc3\xa9\\n\t", run("held", self.segment))
        self.assertEqual({row["name"] for row in table(run("held", "--hex", self.segment))}, {"6f6e65", "636166c3a90a", "ff"})

    def test_holder_is_stopped_or_dead(self):
        process = self.holder("a lock")
        os.kill(process.pid, signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        (row,) = table(run("held", self.segment))
        self.assertEqual((row["holder"], row["pid"]), ("stopped", str(process.pid)))
        process.kill()
        process.wait()
        (row,) = table(run("held", self.segment))
        self.assertEqual((row["holder"], row["pid"]), ("dead", str(process.pid)))
        (copied,) = table(run("held", self.copy()))
        self.assertEqual((copied["name"], copied["token"]), ("a lock", row["token"]))
        next_one = self.holder("a lock")
        (row,) = table(run("held", self.segment))
        self.assertEqual((row["holder"], row["pid"]), ("alive", str(next_one.pid)))


class StoppedWriter(Case):
    """It holds the lock of a shard, and is alive."""

    def setUp(self):
        super().setUp()
        self.process = self.stopped_writer()

    def test_lock_names_its_holder(self):
        (row,) = table(run("locks", self.segment))
        self.assertEqual((row["lock"], row["holder"], row["program"]), ("shard", "stopped", "holder"))
        self.assertEqual((row["pid"], row["operation"]), (str(self.process.pid), "PUT"))
        (owner,) = table(run("owners", self.segment))
        self.assertEqual((owner["state"], owner["locks"], owner["slot"]), ("stopped", "1", row["slot"]))

    def test_readers_do_not_notice(self):
        self.assertEqual(run("get", self.segment, "held"), b"old\n")
        self.assertEqual(run("dump", self.segment), b"held\told\n")
        self.assertEqual(run("dump", "--snapshot", self.segment), b"held\told\n")
        self.assertEqual(run("keys", self.segment), b"held\n")
        self.assertEqual(run("check", self.segment), b"ok\n")
        self.assertEqual(facts(run("stat", self.segment))["entries"], "1")
        run("info", self.segment)
        run("list")
        run("hexdump", "--annotate", self.segment)

    def test_copy_of_its_segment(self):
        path = self.copy()
        self.assertEqual(run("get", path, "held"), b"old\n")
        self.assertEqual(run("check", path), b"ok\n")

    def test_writer_gives_up_and_names_it(self):
        text = complaint("put", "--timeout=50", self.segment, "held", "mine", status=RETRY)
        self.assertIn(str(self.process.pid), text)
        self.assertIn("holder", text)
        complaint("del", "--timeout=50", self.segment, "held", status=RETRY)
        self.assertEqual(run("get", self.segment, "held"), b"old\n")

    def test_timeout_of_zero_is_not_the_default(self):
        def seconds():
            begun = time.monotonic()
            complaint("del", "--timeout=0", self.segment, "held", status=RETRY)
            return time.monotonic() - begun

        # The default never takes less than 5; a busy machine may need some tries to be quicker.
        self.assertTrue(any(seconds() < 4.5 for _ in range(5)))

    def test_it_goes_on(self):
        os.kill(self.process.pid, signal.SIGCONT)
        self.assertEqual(self.process.wait(), 0)
        self.assertEqual(run("get", self.segment, "held"), b"new\n")
        self.assertEqual(table(run("locks", self.segment)), [])


class DeadWriter(Case):
    """It was killed while it held the lock of a shard."""

    def setUp(self):
        super().setUp()
        self.pid = self.dead_writer()

    def test_lock_names_the_dead(self):
        (row,) = table(run("locks", self.segment))
        self.assertEqual((row["holder"], row["pid"], row["operation"]), ("dead", str(self.pid), "PUT"))
        (owner,) = table(run("owners", self.segment))
        self.assertEqual((owner["state"], owner["locks"]), ("dead", "1"))

    def test_readers_do_not_notice(self):
        self.assertEqual(run("get", self.segment, "held"), b"old\n")
        self.assertEqual(run("dump", self.segment), b"held\told\n")
        self.assertEqual(run("dump", "--snapshot", self.segment), b"held\told\n")
        self.assertEqual(run("check", self.segment), b"ok\n")

    def test_looking_repairs_nothing(self):
        run("check", self.segment)
        run("dump", self.segment)
        self.assertEqual(len(table(run("locks", self.segment))), 1)

    def test_next_writer_repairs(self):
        run("put", self.segment, "held", "mine")
        self.assertEqual(run("get", self.segment, "held"), b"mine\n")
        self.assertEqual(table(run("locks", self.segment)), [])
        self.assertEqual(table(run("owners", self.segment)), [])
        self.assertEqual(run("check", self.segment), b"ok\n")


if __name__ == "__main__":
    unittest.main()
