"""Checks each model with Spin, and that each broken variant of it is found out.

A model must be searched completely, without an error and without a process type that
never got to its end. SHMKV_MODELS=large takes larger bounds.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent

ASSERTION = "assertion violated"
STUCK = "invalid end state"

# Model: [settings of a run], [larger settings], {broken variant: (settings, what Spin must say)}
MODELS = {
    "lock": (
        [[], ["SLEEP", "DEATHS=0", "PROCESSES=3"]],
        [["PROCESSES=3", "DEATHS=1", "ROUNDS=1"], ["ROUNDS=4"]],
        {
            "ROB_THE_LIVING": ([], ASSERTION),
            "NO_REPLAY": ([], ASSERTION),
            "INTENT_AFTER_COMMIT": ([], ASSERTION),
            "CLEARED_EARLY": ([], ASSERTION),
            # The claimer waits for the lock of its dead namesake, who seems to live.
            "SAME_GENERATION": ([], STUCK),
            "CLAIM_WITHOUT_REAPING": ([], ASSERTION),
            "NO_WAKE": (["SLEEP", "DEATHS=0", "PROCESSES=3"], STUCK),
        },
    ),
    "read": (
        [[], ["WRITERS=2", "OPERATIONS=1"]],
        [["OPERATIONS=5"], ["OPERATIONS=3", "READS=2"]],
        {
            "EVEN_BEFORE_BYTES": ([], ASSERTION),
            "ANOTHER_KEY_UNCHECKED": ([], ASSERTION),
            "VERSION_FIRST": ([], ASSERTION),
            "VERSION_NOT_CHECKED": ([], ASSERTION),
            "SLOT_NOT_CHECKED": ([], ASSERTION),
        },
    ),
    "evict": (
        [[], ["READERS=2", "READS=1", "OPERATIONS=2", "ROUNDS=1"]],
        [["OPERATIONS=4", "DEATHS=2"], ["READERS=2", "READS=1"]],
        {
            "STORED_BLINDLY": ([], ASSERTION),
            "MARK_IN_THE_COMMIT": ([], ASSERTION),
            "PAGE_USED_AGAIN": ([], ASSERTION),
            "CLEARED_WITHOUT_LOCK": ([], ASSERTION),
        },
    ),
    "split": (
        [[]],
        [],
        {
            "SPLIT_NOT_REPLAYED": ([], ASSERTION),
            "ROOT_BEFORE_WORDS": ([], ASSERTION),
            "WORDS_BEFORE_GROUPS": ([], ASSERTION),
            "PAGE_USED_EARLY": ([], ASSERTION),
            "ROOT_NOT_CHECKED": ([], ASSERTION),
            "CURSOR_DOES_NOT_LOOK_AGAIN": ([], ASSERTION),
        },
    ),
    "transaction": (
        [["DEATHS=1"]],
        [["DEATHS=2"], ["DEATHS=3"]],
        {
            "DECIDED_BEFORE_INTENTS": (["DEATHS=1"], ASSERTION),
            "BLOCK_RETURNED_EARLY": (["DEATHS=1"], ASSERTION),
            "BLOCK_BEFORE_DOMAINS": (["DEATHS=1"], ASSERTION),
            "UNLOCKED_BEFORE_IDLE": (["DEATHS=1"], ASSERTION),
            "NOT_COMPARED": (["DEATHS=0"], ASSERTION),
            "DESCENDING": (["DEATHS=0"], STUCK),
            "LIST_NOT_LOOKED_AT": (["DEATHS=1"], ASSERTION),
        },
    ),
    "replace": (
        [[], ["UNLINKS=1", "WRITES=1", "DEATHS=0"]],
        [["REPLACERS=3", "DEATHS=2", "WRITES=3"], ["UNLINKS=1", "WRITES=1"], ["UNLINKS=2", "DEATHS=0"]],
        {
            "NOT_SETTLED": ([], ASSERTION),
            "LINKED_HALF_BUILT": ([], ASSERTION),
            "NO_LOCK": ([], ASSERTION),
            "NAME_NOT_LOOKED_AT_AGAIN": ([], ASSERTION),
            "REPLACED_BEFORE_EXCHANGE": ([], ASSERTION),
            "SWEPT_WITHOUT_LOCK": ([], ASSERTION),
            "NOT_SWEPT": ([], ASSERTION),
            "DISPLACED_NOT_TOLD": (["UNLINKS=1", "WRITES=1", "DEATHS=0"], ASSERTION),
            "DISPLACED_WITHOUT_LOCK": (["UNLINKS=1", "WRITES=1", "DEATHS=0"], ASSERTION),
        },
    ),
}

LARGE = os.environ.get("SHMKV_MODELS") == "large"
MEBIBYTES = 10000 if LARGE else 2000
COMPILER = ["gcc", "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEBIBYTES}", "-DVECTORSZ=2048"]


def search(model, settings):
    """What Spin's verifier prints about the model with these settings."""
    for tool, package in [("spin", "spin"), ("gcc", "gcc")]:
        if not shutil.which(tool):
            raise unittest.TestCase.failureException(f"there is no {tool}: install the package {package}; tools/test does")
    with tempfile.TemporaryDirectory() as folder:

        def run(*command):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                raise AssertionError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
            return done.stdout

        run("spin", "-a", *[f"-D{setting}" for setting in settings], HERE / f"{model}.pml")
        run(*COMPILER, "-o", "pan", "pan.c")
        return run("./pan", "-m1000000")


class Models(unittest.TestCase):
    def check_sound(self, model, settings):
        before = time.monotonic()
        said = search(model, settings)
        self.assertRegex(said, r"errors: 0\b", said)
        for trouble in ["max search depth too small", "Search not completed", "MEMLIM", "out of memory"]:
            self.assertNotIn(trouble, said, said)
        states = re.search(r"(\S+) states, stored", said).group(1)
        ends = re.findall(r'"-end-"', said)
        self.assertEqual(ends, [], f"a process never ends:\n{said}")
        print(f"{model} {' '.join(settings)}: {states} states, {time.monotonic() - before:.1f} s", flush=True)

    def check_broken(self, model, variant, settings, expected):
        said = search(model, [f"BROKEN_{variant}", *settings])
        self.assertRegex(said, r"errors: 1\b", f"{model} {variant} was not found out:\n{said}")
        self.assertIn(expected, said)


def add(name, method, *args):
    setattr(Models, f"test_{name.lower()}", lambda self: getattr(self, method)(*args))


for MODEL, (USUAL, LARGER, BROKEN) in MODELS.items():
    for SETTINGS in USUAL + (LARGER if LARGE else []):
        NAME = "_".join([MODEL, "sound", *SETTINGS]).replace("=", "_")
        add(NAME, "check_sound", MODEL, SETTINGS)
    for VARIANT, (SETTINGS, EXPECTED) in BROKEN.items():
        add(f"{MODEL}_broken_{VARIANT}", "check_broken", MODEL, VARIANT, SETTINGS, EXPECTED)

if __name__ == "__main__":
    unittest.main()
