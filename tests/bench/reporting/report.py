"""Measures everything and writes docs/performance.md, with its charts and the raw numbers.

    bazel run -c opt //tests/bench:report -- --out $PWD/docs [--quick] [--resume]

plan.py says what is measured and how long it takes, performance.md.in has the words of the page.
"""

import argparse
import datetime
import os
import signal
import subprocess
import sys

import plan
import steps
from page import Page
from results import Results

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = HERE.rpartition("/tests/bench/reporting")[0]  # of the tree that Bazel made for this program


def commit():
    """Of the tree that Bazel was started in; "unknown" where there is no git, "…+" with local changes."""
    tree = os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")
    try:
        told = subprocess.run(
            ["git", "-C", tree, "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()


def write(path, text):
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


def write_page(out, page):
    with open(os.path.join(HERE, "performance.md.in")) as file:
        text = page.text(file.read())
    charts = os.path.join(out, "performance")
    for name in os.listdir(charts):
        if name.endswith(".svg") and name not in page.charts:
            os.unlink(os.path.join(charts, name))  # of an earlier run
    for name, svg in page.charts.items():
        write(os.path.join(charts, name), svg)
    write(os.path.join(out, "performance.md"), text)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="report", description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="where performance.md and performance/ go")
    flag = {"action": "store_true"}
    parser.add_argument("--quick", help="fewer settings, shorter turns: 3 minutes in place of 20", **flag)
    parser.add_argument("--resume", help="keep the steps that the same programs have done before", **flag)
    parser.add_argument("--only", metavar="STEPS", help="of the plan only these steps, with commas")
    parser.add_argument("--draw", help="measure nothing: write the page from the numbers that are there", **flag)
    return parser.parse_args(arguments)


def choose(options):
    chosen = plan.quick() if options.quick else plan.full()
    if options.only:
        names = options.only.split(",")
        unknown = set(names) - {step.name for step in chosen}
        if unknown:
            sys.exit("report: no such step: %s" % ", ".join(sorted(unknown)))
        chosen = [step for step in chosen if step.name in names]
    return chosen


SCRIPTS = {"perl": "bench.pl", "python": "bench.py", "ruby": "bench.rb"}


def find_programs():
    """From the variables that BUILD sets; and the files whose change makes old numbers worthless."""
    # Programs within programs: the launchers find what they need by this variable.
    os.environ["TEST_SRCDIR"] = os.path.dirname(TOP)
    programs = {name: os.path.join(TOP, os.environ["SHMKV_BENCH_" + name.upper()]) for name in ("bench", *SCRIPTS)}
    # The launchers of the languages never change; bench has the core in it.
    scripts = os.path.join(TOP, "tests/bench/languages")
    sources = {name: [programs["bench"], os.path.join(scripts, script)] for name, script in SCRIPTS.items()}
    return programs, sources


def take_facts(options, folder):
    """What the page says of the run. Kept beside the numbers, so that a resumed run tells when it was begun."""
    path = os.path.join(folder, "run.json")
    old = steps.load(path)
    if old and (options.resume or options.draw):
        return old
    facts = {
        "load": round(os.getloadavg()[0], 2),
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "setting": "quick" if options.quick else "full",
        "command": "bazel run -c opt //tests/bench:report -- --out $PWD/docs" + (" --quick" if options.quick else ""),
    }
    os.makedirs(folder, exist_ok=True)
    steps.save(path, facts)
    return facts


def main():
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    here = os.environ.get("BUILD_WORKING_DIRECTORY")
    out = os.path.join(here, options.out) if here else os.path.abspath(options.out)
    folder = os.path.join(out, "performance", "data")
    facts = take_facts(options, folder)
    chosen = choose(options)
    if options.draw:
        found = [steps.load(os.path.join(folder, step.name + ".json")) for step in chosen]
        records = [record for record in found if record]
        failed = {step.name: "not measured" for step, record in zip(chosen, found) if not record}
    else:
        programs, sources = find_programs()
        records, failed = steps.run_all(chosen, programs, sources, folder, options.resume)
    driver = [record["output"] for record in records if record["program"] == "bench"]
    if not driver:
        sys.exit("report: nothing was measured")
    facts.update(machine=driver[0]["machine"], shmkv=driver[0]["shmkv"])
    write_page(out, Page(Results(records), facts, failed))
    print("report: %s" % os.path.join(out, "performance.md"), file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
