"""The Python part of the demonstration: reads the store as it grows, and counts packages by section.

It walks through all entries again and again while the others write. Each walk must find nothing that the
file does not say, and everything that an earlier walk has found.
"""

import collections
import os
import sys

import shmkv

ENOUGH = 20  # walks


def say(text):
    print("[python]", text, flush=True)


def packages(path):
    """Key -> (version, section) of each package in the file."""
    found = {}
    fields = {}
    with open(path, "rb") as status:
        for line in [*status, b"\n"]:
            if line == b"\n":
                if {b"Package", b"Architecture", b"Version"} <= fields.keys():
                    key = fields[b"Package"] + b":" + fields[b"Architecture"]
                    found[key] = fields[b"Version"], fields.get(b"Section", b"none")
                fields = {}
            elif not line.startswith((b" ", b"\t")):
                name, _, value = line.rstrip(b"\n").partition(b": ")
                fields[name] = value
    return found


def walk(kv, expected):
    """The keys of all packages in the store; exits when one is wrong."""
    seen = set()
    for key, version in kv.items():
        if key.startswith(b"demo/"):
            continue
        if key not in expected or version != expected[key][0]:
            sys.exit("[python] the file does not say %r: %r" % (key, version))
        seen.add(key)
    return seen


def main(segment, status):
    expected = packages(status)
    walks = 0
    before = set()
    with shmkv.open(segment, "c") as kv, os.fdopen(3, "w", buffering=1) as pipe:
        say("process %d: opened '%s' SHARED, and sees %d entries" % (os.getpid(), segment, len(kv)))
        print("attached", file=pipe)
        complete = False
        while not complete:
            complete = b"demo/complete" in kv  # asked first: the walk below is then of a complete store
            seen = walk(kv, expected)
            if not before <= seen:
                sys.exit("[python] lost from one walk to the next: %r" % sorted(before - seen)[:5])
            before = seen
            walks += 1
            if walks == ENOUGH:
                print("enough", file=pipe)
    if seen != expected.keys():
        sys.exit("[python] missing: %r" % sorted(expected.keys() - seen)[:5])
    sections = collections.Counter(expected[key][1].decode() for key in seen)
    say("%d walks, the last through %d packages; every version as in the file" % (walks, len(seen)))
    largest = sorted(sections.items(), key=lambda pair: (-pair[1], pair[0]))[:5]
    say("by section: " + ", ".join("%s %d" % pair for pair in largest) + ", ..." * (len(sections) > 5))


main(*sys.argv[1:])
