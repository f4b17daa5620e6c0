"""What the report measures, step by step: each is one program that prints JSON, bounded in time.

`--quick` takes about three minutes on a machine with two processors, the full setting about twenty.
"""

import collections

# The file in data/, the program ("bench", "perl", "python", "ruby"), its arguments, and the minutes after which
# it is given up.
Step = collections.namedtuple("Step", "name program arguments minutes")

MIX = ["--read=0,50,95,100", "--zipf=0,0.99", "--procs=1,2,8"]
HUGE_GROWTH = ["--work=grow", "--keys=1e6", "--grow-rounds=3", "--stores=shmkv,huge,flat"]
ALL_STORES = "--stores=shmkv,flat,array,mutex,lmdb,tdb,boost"


def _standing(keys, works, turns):
    """Everything that is done to a full store, with values of the usual size."""
    return [Step("mix-%s-32" % keys, "bench", ["--work=" + works, "--keys=" + keys, "--value=32"] + MIX + turns, 30)]


def _sizes(keys, turns):
    """Values of other sizes: a step for each, so that little is lost when one is interrupted."""
    arguments = ["--work=mix", "--keys=" + keys, "--read=0,95", "--procs=1,2"] + turns
    return [Step("mix-%s-%d" % (keys, v), "bench", arguments + ["--value=%d" % v], 15) for v in (8, 100, 1024, 65536)]


def _huge(keys, turns):
    arguments = ["--stores=shmkv,huge,flat", "--work=mix,many", "--keys=" + keys, "--read=0,100"]
    return [Step("huge-" + keys, "bench", arguments + ["--procs=1"] + turns, 10)]


def quick():
    turns = ["--rounds=3", "--slice=30"]
    return (
        _standing("1e4", "mix,many,hot,hot-read", turns)
        + _standing("1e6", "mix,many", turns)
        + _huge("1e6", turns)
        + [
            Step("large", "bench", ["--keys=1000", "--value=65536", "--read=100", "--procs=1", ALL_STORES] + turns, 5),
            Step("growth", "bench", ["--work=grow", "--keys=1e6", "--grow-rounds=2"], 10),
            Step("huge-growth", "bench", HUGE_GROWTH, 10),
            Step("open", "bench", ["--work=open", "--keys=1e6"] + turns, 10),
            Step("refill", "bench", ["--work=refill", "--keys=5e4"], 10),
        ]
        + _languages(["--quick"])
    )


def full():
    turns = ["--rounds=5", "--slice=50"]
    return (
        _standing("1e4", "mix,many,hot,hot-read", turns)
        + _standing("1e6", "mix,many", turns)
        + _standing("1e7", "mix,many", turns)
        + _sizes("1e4", turns)
        + _sizes("1e6", turns)
        + _sizes("1e7", turns)
        + _huge("1e6", turns)
        + _huge("1e7", turns)
        + [
            Step("large", "bench", ["--keys=1000", "--value=65536", "--read=100", "--procs=1,2", ALL_STORES] + turns, 10),
            Step("growth", "bench", ["--work=grow", "--keys=1e7", "--grow-rounds=3"], 45),
            Step("huge-growth", "bench", HUGE_GROWTH, 10),
            Step("open", "bench", ["--work=open", "--keys=1e7"] + turns, 20),
            Step("refill", "bench", ["--work=refill", "--keys=1e6"], 30),
        ]
        + _languages([])
    )


def _languages(arguments):
    return [Step(language, language, arguments, 15) for language in ("perl", "python", "ruby")]
