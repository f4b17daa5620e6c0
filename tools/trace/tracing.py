#!/usr/bin/env python3
"""Lists the requirements of spec/ and who cites them.

    tracing.py [--all] [ROOT]

A requirement is a line "- [ID] …" in a chapter that says MUST. A citation is its ID, in brackets, anywhere
in core/, tests/, tools/, bindings/ or spec/reference/; "[LOCK-01] to [LOCK-03]" cites three. Prints what
nobody cites, and what is cited and does not exist; with --all, every requirement with the places that cite it.

Exit status: 0 each is cited; 1 some is not, an ID is given twice, or one is cited that does not exist; 2 usage.
"""

import argparse
import pathlib
import re
import sys

FOLDERS = ("core", "tests", "tools", "bindings", "spec/reference")
OURSELVES = pathlib.PurePath("tools/trace")
DEFINED = re.compile(r"^- \[([A-Z]+-\d\d)\] (.*)$", re.M)
CITED = re.compile(r"\[([A-Z]+)-(\d\d)\](?:\s+to\s+\[\1-(\d\d)\])?")
LARGEST = 1_000_000  # no source file of ours is longer; images and archives are


def requirements(root):
    """ID → (chapter, sentence), and the IDs that are given twice."""
    found, twice = {}, []
    for path in sorted((root / "spec").glob("*.md")):
        for key, sentence in DEFINED.findall(path.read_text(encoding="utf-8")):
            if key in found:
                twice.append(key)
            found[key] = (path.name, sentence)
    return found, twice


def sources(root):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            relative = path.relative_to(root)
            if path.is_file() and not relative.is_relative_to(OURSELVES) and path.stat().st_size <= LARGEST:
                yield relative, path


def citations(root):
    """ID → ["file:line", …]."""
    found = {}
    for relative, path in sources(root):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for match in CITED.finditer(text):
            area, first, last = match.groups()
            line = text.count("\n", 0, match.start()) + 1
            for number in range(int(first), int(last or first) + 1):
                found.setdefault(f"{area}-{number:02}", []).append(f"{relative}:{line}")
    return found


def report(root, everything=False, out=sys.stdout):
    """The number of problems."""
    defined, twice = requirements(root)
    areas = {key.split("-")[0] for key in defined}
    cited = {key: places for key, places in citations(root).items() if key.split("-")[0] in areas}
    musts = {key: where for key, where in defined.items() if "MUST" in where[1]}
    missing = [key for key in musts if key not in cited]
    unknown = sorted(cited.keys() - defined.keys())
    if everything:
        for key, (chapter, sentence) in defined.items():
            print(f"[{key}] {chapter}: {sentence}", *(f"    {place}" for place in cited.get(key, ["-"])), sep="\n", file=out)
        print(file=out)
    for key in twice:
        print(f"[{key}] is given to two sentences", file=out)
    for key in unknown:
        print(f"[{key}] does not exist; cited in {', '.join(cited[key])}", file=out)
    for key in missing:
        print(f"[{key}] is cited nowhere: {musts[key][1]} ({musts[key][0]})", file=out)
    print(f"{len(musts)} requirements, {len(musts) - len(missing)} cited", file=out)
    return len(twice) + len(unknown) + len(missing)


def main(argv):
    parser = argparse.ArgumentParser(description="List the requirements of spec/ that nothing cites.")
    parser.add_argument("--all", action="store_true", help="list every requirement with its citations")
    parser.add_argument("root", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    args = parser.parse_args(argv)
    return 1 if report(args.root, args.all) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
