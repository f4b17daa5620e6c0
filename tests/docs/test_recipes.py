"""Each program in docs/recipes does its job."""

import os
import re
import secrets
import subprocess
import unittest

import shmkv

TOP = os.getcwd()  # a test starts at the top of its tree
RECIPES = TOP + "/docs/recipes/"
DIST = TOP + "/dist"
INTERPRETERS = {".pl": "PERL", ".py": "PYTHON", ".rb": "RUBY"}


class Recipes(unittest.TestCase):
    def setUp(self):
        self.segment = "shmkv-test-recipe-" + secrets.token_hex(8)
        self.addCleanup(lambda: os.path.exists("/dev/shm/" + self.segment) and shmkv.unlink(self.segment))
        self.environment = dict(os.environ, PERL5LIB=DIST + "/perl", PYTHONPATH=DIST + "/python", RUBYLIB=DIST + "/ruby")

    def start(self, program, *arguments):
        interpreter = os.environ["SHMKV_" + INTERPRETERS[os.path.splitext(program)[1]]]
        return subprocess.Popen(
            [interpreter, RECIPES + program, self.segment, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def output(self, process):
        out, err = process.communicate()
        self.assertEqual((process.returncode, err), (0, ""))
        return out

    def run_program(self, program, *arguments):
        return self.output(self.start(program, *arguments))

    def test_config(self):
        self.assertEqual(self.run_program("config.py"), "3 workers have seen the last configuration\n")

    def test_rate_limiter(self):
        self.assertEqual(
            self.run_program("rate_limiter.rb"),
            "5 allowed, 3 refused\nanother client is allowed\nthe next window is open\n",
        )

    def test_counters(self):
        workers = [self.start("counter" + suffix, "1000") for suffix in INTERPRETERS]
        for worker in workers:
            self.output(worker)
        with shmkv.open(self.segment) as kv:
            self.assertEqual(kv["requests"], 3000)
            self.assertEqual([kv["requests by " + name] for name in ("perl", "python", "ruby")], [1000] * 3)
            self.assertEqual(kv["longest, us"], 1100)

    def test_cache(self):
        self.assertEqual(
            self.run_program("cache.py"), "8 have the page, 1 rendered it\n1000 entries, the news among them\n"
        )

    def test_leader(self):
        self.assertEqual(self.run_program("leader.py"), "3 have led, one after the other\n")

    def test_progress(self):
        watcher = self.start("progress.py")
        self.run_program("batch.pl")
        self.assertEqual(self.output(watcher).splitlines()[-1], "2000 of 2000")

    def test_jobs(self):
        workers = [self.start("work.py") for _ in range(2)]
        self.run_program("submit.pl", "100")
        for worker in workers:
            self.output(worker)
        with shmkv.open(self.segment) as kv:
            self.assertEqual(kv["jobs done"], 100)
            self.assertEqual(kv["sum"], sum(n * (n + 1) // 2 for n in range(1, 101)))

    def test_transfers(self):
        accounts = ["alice", "bob", "carol"]
        with shmkv.open(self.segment) as kv:
            kv.update({account: 1000 for account in accounts}, transfers=0)
            self.addCleanup(lambda: [worker.kill() or worker.communicate() for worker in workers])
            workers = [self.start("transfer" + suffix, "1000000") for suffix in INTERPRETERS]
            for round in range(30):
                # In the middle of its work: whenever the others have done enough, it is hit somewhere.
                done = kv["transfers"]
                while kv["transfers"] < done + 200:
                    self.assertTrue(kv.wait("transfers", timeout=60))
                i = round % 3
                workers[i].kill()
                workers[i].communicate()
                balances = kv.get_all()  # once: all of them as of one moment
                self.assertEqual(sum(balances[account.encode()] for account in accounts), 3000)
                workers[i] = self.start("transfer" + list(INTERPRETERS)[i], "1000000" if round < 27 else "100")
            for worker in workers:
                self.output(worker)
            found = kv.get_all()
            self.assertEqual(sum(found[account.encode()] for account in accounts), 3000)
            self.assertTrue(all(found[account.encode()] >= 0 for account in accounts))
            self.assertEqual(kv.verify(), [])

    def run_lines(self, language, suffix, before):
        """The page's block of this language, after a line that it does not show."""
        with open(RECIPES + "README.md") as file:
            blocks = re.findall(r"(?ms)^```%s\n(.*?)^```$" % language, file.read())
        self.assertEqual(len(blocks), 1)
        command = [os.environ["SHMKV_" + INTERPRETERS[suffix]], "-"]
        done = subprocess.run(command, input=before % self.segment + blocks[0], env=self.environment, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return sorted(done.stdout.splitlines())

    def test_lines_of_each_language(self):
        values = ["only one", "user:1 Ada", "user:2 Grace"]
        self.assertEqual(self.run_lines("perl", ".pl", "use strict; use warnings; use ShmKV; my $name = '%s';\n"), ["only one", "user:1", "user:2"])
        self.assertEqual(self.run_lines("python", ".py", "import shmkv\nname = '%s'\n"), values)
        self.assertEqual(self.run_lines("ruby", ".rb", "require 'shmkv'; name = '%s'\n"), values)
        with shmkv.open(self.segment) as kv:
            self.assertEqual((kv["a"], kv["b"], kv["hits"]), (1, 3, 3))
            self.assertEqual(kv.get_item("session")["type"], "text")
            self.assertEqual(kv.info()["max_entries"], 1000)

    def test_page_lists_every_program(self):
        with open(RECIPES + "README.md") as file:
            page = file.read()
        for name in os.listdir(RECIPES):
            self.assertIn("(%s)" % name if name != "README.md" else "Recipes", page)


if __name__ == "__main__":
    unittest.main()
