"""The page is made from known numbers: ratios, charts and tables say what those numbers say."""

import os
import tempfile
import unittest
import xml.etree.ElementTree

import chart
import plan
import report
import steps
from page import Page
from results import Results

FACTS = {
    "machine": {"processor": "P", "processors": 2, "memory_gib": 4, "huge_pages": "never", "kernel": "6", "compiler": "12"},
    "load": 0.1, "date": "2001-02-03", "commit": "abc", "setting": "quick", "command": "run it", "shmkv": "0.1.0",
}


def record(step, results, **output):
    output.update(skipped={"tdb": "libtdb-dev"}, results=results)
    return {"step": step, "program": "bench", "seconds": 60, "output": output}


def mix(**parameters):
    stores = {
        "shmkv": {"mops": 9.0, "p50_ns": 70, "p99_ns": 1500, "p999_ns": 2e6, "max_ns": 3e9},
        "flat": {"mops": 18.0, "lowest_mops": 10, "highest_mops": 20, "shmkv_ratio": 0.5, "p50_ns": 60},
    }
    usual = {"work": "mix", "keys": 10**6, "value_size": 32, "processes": 1, "read_percent": 95, "zipf": 0}
    return dict(usual, stores=stores, **parameters)


def page_of(*records, **facts):
    return Page(Results(list(records)), dict(FACTS, **facts), {})


class Tables(unittest.TestCase):
    def test_a_cell_has_rate_and_ratio(self):
        self.assertIn("| 95 % get, 1 process | 9 | 18 (0.5×) |", page_of(record("a", [mix()])).text("{{rates}}"))

    def test_times_have_units(self):
        page = page_of(record("a", [mix(processes=2)]))
        self.assertIn("| shmkv | 70 ns | 1.5 µs | 2 ms | 3 s |", page.text("{{latencies}}"))

    def test_what_is_not_known_is_a_dash(self):
        page = page_of(record("a", [mix(processes=2)]))
        self.assertIn("| flat | 60 ns | – | – | – |", page.text("{{latencies}}"))

    def test_what_was_left_out_is_told(self):
        size = {"keys": 10**7, "value_size": 1024, "needs_bytes": 8e10, "free_bytes": 2e10}
        page = page_of(record("a", [dict(size, work="left-out", stores={})]))
        page.failed = {"refill": "took longer than 5 minutes"}
        text = page.text("{{left_out}}")
        self.assertEqual(text.count("\n"), 2)
        for part in ("libtdb-dev", "80 GB", "took longer"):
            self.assertIn(part, text)

    def test_a_busy_machine_is_told(self):
        self.assertNotIn("busy", page_of(record("a", [mix()])).text("{{quality}}"))
        self.assertIn("busy", page_of(record("a", [mix()]), load=1.5).text("{{quality}}"))
        self.assertIn("by a factor of 2 ", page_of(record("a", [mix()])).text("{{quality}}"))

    def test_large_values_are_bytes(self):
        page = page_of(record("large", [mix(value_size=65536, read_percent=100)]))
        self.assertIn("| 1 process | 590 (1×) | 1.18e+03 (0.5×) |", page.text("{{large}}"))


class Aside(unittest.TestCase):
    def test_huge_pages_are_told_against_the_flat_table_and_only_there(self):
        huge = mix()
        huge["stores"]["huge"] = {"mops": 13.5}
        page = page_of(record("a", [mix()]), record("huge-1e6", [huge]))
        self.assertIn("| 10⁶ keys, 95 % get | 9 (0.5×) | 18 (1×) | 13.5 (0.75×) |", page.text("{{huge}}"))
        self.assertNotIn("huge", page.text("{{rates}}"))


class WholePage(unittest.TestCase):
    def test_every_name_in_the_template_is_known_and_charts_are_xml(self):
        with open(os.path.join(report.HERE, "performance.md.in")) as file:
            template = file.read()
        page = page_of(record("a", [mix(), mix(processes=2)]))
        text = page.text(template)
        self.assertNotIn("{{", text)
        self.assertGreater(len(page.charts), 3)
        for name, svg in page.charts.items():
            xml.etree.ElementTree.fromstring(svg)
            self.assertIn("performance/" + name, text)

    def test_an_unknown_name_is_an_error(self):
        self.assertRaises(KeyError, page_of().text, "{{nonsense}}")


class Charts(unittest.TestCase):
    def heights(self, svg):
        root = xml.etree.ElementTree.fromstring(svg)
        rects = [r for r in root.iter("{http://www.w3.org/2000/svg}rect") if list(r)]
        return [float(r.get("height")) for r in rects]

    def test_bars_are_as_high_as_their_values(self):
        one, two = self.heights(chart.bars("t", "u", ["g"], {"a": [1.0], "b": [2.0]}))
        self.assertAlmostEqual(two, 2 * one, delta=0.2)

    def test_logarithmic_bars_rise_by_the_same_for_each_factor(self):
        one, two, three = self.heights(chart.bars("t", "u", ["g"], {"a": [20], "b": [200], "c": [2000]}, True))
        self.assertAlmostEqual(two - one, three - two, delta=0.2)

    def test_a_store_has_its_colour_everywhere(self):
        def colour(series, name):
            root = xml.etree.ElementTree.fromstring(chart.bars("t", "u", ["g"], {s: [1] for s in series}))
            rects = [r for r in root.iter("{http://www.w3.org/2000/svg}rect") if list(r)]
            return rects[series.index(name)].get("fill")

        self.assertEqual(colour(["shmkv", "lmdb"], "lmdb"), colour(["shmkv", "flat", "mutex", "lmdb"], "lmdb"))
        everybody = ["hash", "shmkv", "tdb", "a", "b", "c"]
        self.assertEqual(len({colour(everybody, name) for name in everybody}), len(everybody))

    def test_no_values_at_all(self):
        xml.etree.ElementTree.fromstring(chart.bars("<&>", "u", [], {}, True))
        xml.etree.ElementTree.fromstring(chart.lines("<&>", "u", [], {}))


class Steps(unittest.TestCase):
    """With /bin/sh in place of the benchmark."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.program = os.path.join(self.folder, "program")
        self.count = os.path.join(self.folder, "count")

    def script(self, text):
        with open(self.program, "w") as file:
            file.write("#!/bin/sh\necho run >> '%s'\n%s\n" % (self.count, text))
        os.chmod(self.program, 0o755)

    def runs(self):
        with open(self.count) as file:
            return len(file.readlines())

    def run_step(self, resume, minutes=1.0):
        step = plan.Step("one", "perl", ["--x"], minutes)
        return steps.run_all([step], {"perl": self.program}, {}, self.folder, resume)

    def test_a_step_is_kept_until_the_program_changes(self):
        self.script("echo '{\"results\": []}'")
        self.assertEqual(self.run_step(resume=True)[0][0]["output"], {"results": []})
        self.run_step(resume=True)
        self.assertEqual(self.runs(), 1)
        self.run_step(resume=False)
        self.assertEqual(self.runs(), 2)
        self.script("echo '{\"results\": [1]}'")
        self.assertEqual(self.run_step(resume=True)[0][0]["output"], {"results": [1]})

    def test_stores_stay_in_their_order(self):
        self.script("echo '{\"results\": [{\"work\": \"mix\", \"stores\": {\"z\": {}, \"a\": {}}}]}'")
        self.run_step(resume=True)
        records, _ = self.run_step(resume=True)
        self.assertEqual(Results(records).stores(), ["z", "a"])

    def test_a_failure_is_told_and_not_kept(self):
        self.script("exit 3")
        self.assertEqual(self.run_step(resume=True), ([], {"one": "ended with status 3"}))
        self.script("echo nonsense")
        self.assertIn("one", self.run_step(resume=True)[1])
        self.assertEqual(self.runs(), 2)

    def test_a_step_that_takes_too_long_is_ended(self):
        self.script("trap 'exit 1' TERM; while :; do read line < '%s/fifo'; done" % self.folder)
        os.mkfifo(os.path.join(self.folder, "fifo"))
        self.assertIn("longer", self.run_step(resume=True, minutes=0.005)[1]["one"])

    def test_names_in_a_plan_are_different(self):
        for chosen in (plan.quick(), plan.full()):
            self.assertEqual(len({step.name for step in chosen}), len(chosen))


if __name__ == "__main__":
    unittest.main()
