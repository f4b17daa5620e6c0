"""Reads gcov's JSON (from standard input, an object a line) and prints how much of each file was reached.

With --missing, also the numbers of the lines and branches that were not.
"""

import collections
import json
import sys


def main():
    missing = "--missing" in sys.argv[1:]
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    branches = collections.defaultdict(dict)
    for text in sys.stdin:
        for file in json.loads(text)["files"]:
            name = file["file"]
            if "core/src/" not in name:
                continue
            name = name.rpartition("core/src/")[2]
            for line in file["lines"]:
                number = line["line_number"]
                lines[name][number] += line["count"]
                # Inlined or repeated in several objects: taken anywhere is taken.
                for i, branch in enumerate(line["branches"]):
                    key = (number, i)
                    branches[name][key] = branches[name].get(key, 0) + branch["count"]
    print(f"{'file':<14} {'lines':>7} {'reached':>8} {'branches':>9} {'taken':>8}")
    total = [0, 0, 0, 0]
    for name in sorted(lines):
        figures = [
            len(lines[name]),
            sum(1 for n in lines[name].values() if n),
            len(branches[name]),
            sum(1 for n in branches[name].values() if n),
        ]
        total = [a + b for a, b in zip(total, figures)]
        show(name, figures)
        if missing:
            print("    lines not reached:", *[n for n, count in sorted(lines[name].items()) if not count])
            rest = sorted({n for (n, _), count in branches[name].items() if not count and lines[name][n]})
            print("    lines with a branch not taken:", *rest)
    if not total[0]:
        sys.exit("gcov has nothing about core/src")
    show("all", total)


def show(name, figures):
    lines, reached, branches, taken = figures
    print(f"{name:<14} {lines:>7} {percent(reached, lines):>8} {branches:>9} {percent(taken, branches):>8}")


def percent(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "-"


if __name__ == "__main__":
    main()
