"""The benchmark works: every store that is there gives back what was put, the JSON is whole, ratios fit the rates.

No time is asserted: whoever runs tests may be busy with other things.
"""

import json
import math
import os
import re
import subprocess
import tempfile
import unittest

BENCH = os.environ["SHMKV_BENCH_BENCH"]
STANDING = {"mix", "many", "hot", "hot-read", "fill"}


def run(*arguments):
    return subprocess.run([BENCH, *arguments], capture_output=True, text=True)


class Driver(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # A store's line begins with its name; the line below it tells if it was not found.
        entries = re.findall(r"(?m)^(\S+) .*\n(?:( +not found).*\n)?", run("--list").stdout)
        cls.stores = {name for name, _ in entries}
        cls.present = {name for name, absent in entries if not absent}
        cls.folder = tempfile.TemporaryDirectory(prefix="shmkv-bench-test.", dir="/dev/shm")
        cls.done = run(
            "--check", "--json", "--dir=" + cls.folder.name, "--stores=" + ",".join(cls.stores),
            "--work=mix,many,hot,hot-read,grow,open,refill", "--keys=2000", "--value=33,5000", "--read=0,50,100",
            "--zipf=0,0.99", "--procs=1,2", "--rounds=2", "--slice=1", "--grow-rounds=2",
        )

    def test_every_store_gives_back_what_was_put(self):
        # --check compares whole values; the driver fails if one is wrong.
        self.assertEqual(self.done.returncode, 0, self.done.stderr)

    def test_json_is_whole_and_has_every_work(self):
        told = json.loads(self.done.stdout)
        self.assertTrue(told["complete"])
        works = {r["work"] for r in told["results"]}
        self.assertEqual(works, STANDING | {"growth", "growth-put", "growth-get", "open", "refill"})
        mixes = [r for r in told["results"] if r["work"] == "mix"]
        self.assertEqual(len(mixes), 2 * 3 * 2 * 2)  # values, reads, zipfs, processes

    def test_every_present_store_has_figures(self):
        for r in json.loads(self.done.stdout)["results"]:
            if r["work"] in STANDING:
                self.assertEqual(set(r["stores"]), self.present, r["work"])
            for store, figures in r["stores"].items():
                self.assertTrue(figures, (r["work"], store))
                for name, value in figures.items():
                    self.assertTrue(math.isfinite(value) and (value >= 0 or name.endswith("percent")), (store, name, value))

    def test_what_is_absent_is_named(self):
        told = json.loads(self.done.stdout)
        self.assertEqual(set(told["skipped"]), self.stores - self.present)
        for name, package in told["skipped"].items():
            self.assertIn("%s is skipped" % name, self.done.stderr)
            self.assertIn(package, self.done.stderr)

    def test_ratios_lie_between_those_of_the_extremes(self):
        for r in json.loads(self.done.stdout)["results"]:
            if r["work"] not in STANDING - {"fill"}:
                continue
            ours = r["stores"]["shmkv"]
            for store, theirs in r["stores"].items():
                if store == "shmkv":
                    self.assertNotIn("shmkv_ratio", theirs)
                elif theirs["lowest_mops"] > 0:
                    self.assertGreaterEqual(theirs["shmkv_ratio"], ours["lowest_mops"] / theirs["highest_mops"] * 0.999)
                    self.assertLessEqual(theirs["shmkv_ratio"], ours["highest_mops"] / theirs["lowest_mops"] * 1.001)

    def test_growth_counts_every_put(self):
        told = json.loads(self.done.stdout)
        for r in told["results"]:
            if r["work"] == "growth-put":
                for figures in r["stores"].values():  # 1000 below 1000 keys, 1000 above, twice
                    self.assertEqual(figures["operations"], 2000)

    def test_nothing_stays(self):
        self.assertEqual(os.listdir(self.folder.name), [])

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()


class Ways(unittest.TestCase):
    SMALL = ("--keys=100", "--procs=1", "--read=50", "--rounds=1", "--slice=1", "--stores=shmkv,flat")

    def test_tables_and_a_file_of_json(self):
        path = os.path.join(os.environ["TEST_TMPDIR"], "result.json")
        done = run(*self.SMALL, "--json=" + path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("shmkv is", done.stdout)
        with open(path) as file:
            self.assertEqual([r["work"] for r in json.load(file)["results"]], ["fill", "mix"])

    def test_untimed_work(self):
        done = run(*self.SMALL, "--count=1000")
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_wrong_usage(self):
        for argument in ("--keys=0", "--stores=nonsense", "--work=x", "--read=101", "--zipf=1", "--rounds=1.5", "x", "--y"):
            self.assertEqual(run(argument).returncode, 2, argument)

    def test_a_store_that_fails_fails_the_run(self):
        done = run(*self.SMALL, "--json", "--dir=/nonexistent")
        self.assertEqual(done.returncode, 1)
        self.assertIn("could not be created", done.stderr)
        self.assertFalse(json.loads(done.stdout)["complete"])

    def test_what_has_no_room_is_left_out(self):
        done = run("--keys=1e9", "--value=16777216", "--json", "--stores=shmkv,flat")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([r["work"] for r in json.loads(done.stdout)["results"]], ["left-out"])


class Languages(unittest.TestCase):
    """--check: they compare every value with what was put, before and after the measuring, in very short turns."""

    def check(self, language, hash_name):
        program = os.environ["SHMKV_BENCH_" + language.upper()]
        with tempfile.TemporaryDirectory(prefix="shmkv-bench-test.", dir="/dev/shm") as folder:
            environment = dict(os.environ, SHMKV_BENCH_DIR=folder)
            done = subprocess.run([program, "--check"], capture_output=True, text=True, env=environment)
            self.assertEqual(os.listdir(folder), [])
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual([r["operation"] for r in told["results"]], ["get", "overwrite"])
        for r in told["results"]:
            self.assertEqual(r["work"], language)
            self.assertEqual(r["stores"][hash_name]["hash_ratio"], 1)
            self.assertEqual(r["stores"]["shmkv"]["shmkv_ratio"], 1)
            for figures in r["stores"].values():
                self.assertGreater(figures["ns"], 0)
        for name in told["skipped"]:
            self.assertIn("%s is skipped" % name, done.stderr)

    def test_perl(self):
        self.check("perl", "hash")

    def test_python(self):
        self.check("python", "dict")

    def test_ruby(self):
        self.check("ruby", "Hash")
