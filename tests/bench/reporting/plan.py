"""What the report measures, step by step: each is one program that prints JSON, bounded in time.

`--quick` takes about four minutes on a machine with two processors, the full setting about an hour and a half.
"""

import collections

# The file in data/, the program ("bench", "perl", "python", "ruby"), its arguments, and the minutes after which
# it is given up.
Step = collections.namedtuple("Step", "name program arguments minutes")

PROCESSES = "--procs=1,2,8"
MIX = ["--read=0,50,95,100", "--zipf=0,0.99", PROCESSES]
ALL_STORES = "--stores=shmkv,flat,array,mutex,lmdb,tdb,boost"


def _standing(keys, values, works, turns):
    """A step for each data set, so that little is lost when one is interrupted."""
    arguments = ["--work=" + works, "--keys=" + keys] + MIX + turns
    return [Step("mix-%s-%d" % (keys, value), "bench", arguments + ["--value=%d" % value], 30) for value in values]


def quick():
    turns = ["--rounds=3", "--slice=30"]
    return (
        _standing("1e4", [32], "mix,many,hot,hot-read", turns)
        + _standing("1e6", [32], "mix,many", turns)
        + [
            Step("large", "bench", ["--keys=1000", "--value=65536", "--read=100", "--procs=1", ALL_STORES] + turns, 5),
            Step("growth", "bench", ["--work=grow", "--keys=1e6", "--grow-rounds=2"], 10),
            Step("open", "bench", ["--work=open", "--keys=1e6"] + turns, 10),
            Step("refill", "bench", ["--work=refill", "--keys=5e4"], 10),
        ]
        + _languages(["--quick"])
    )


def full():
    turns = ["--rounds=7", "--slice=100"]
    return (
        _standing("1e4", [8, 32, 100, 1024, 65536], "mix,many,hot,hot-read", turns)
        + _standing("1e6", [8, 32, 100, 1024, 65536], "mix,many", turns)
        + _standing("1e7", [8, 32, 100, 1024, 65536], "mix,many", turns)
        + [
            Step("large", "bench", ["--keys=1000", "--value=65536", "--read=100", "--procs=1,2", ALL_STORES] + turns, 10),
            Step("growth", "bench", ["--work=grow", "--keys=1e7", "--grow-rounds=3"], 45),
            Step("open", "bench", ["--work=open", "--keys=1e7"] + turns, 20),
            Step("refill", "bench", ["--work=refill", "--keys=1e6"], 30),
        ]
        + _languages([])
    )


def _languages(arguments):
    return [Step(language, language, arguments, 15) for language in ("perl", "python", "ruby")]
