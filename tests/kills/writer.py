"""A writer that kill_writers.c kills. The log's layout is there."""

import os
import random
import struct
import sys

import shmkv

KEYS = 600
name, log_path, writer, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
kv = shmkv.open(name, "c")
log = os.open(log_path, os.O_RDWR)
base = writer * (32 + 32 * KEYS)
draw = random.Random(seed)


def length_of(value):
    return 40000 if value % 1000 == 1 else 125 + value % 4875 if value % 50 == 1 else 2 + value % 37


def make(value):
    return struct.pack("<Q", value) * length_of(value)


def state_of(key):
    value = kv.get(key)
    if value is None:
        return 0
    (found,) = struct.unpack_from("<Q", value)
    if value != make(found):
        sys.exit("a value is torn")
    return found


calls, deletes, large = struct.unpack("<3Q", os.pread(log, 24, base))
while True:
    number = draw.randrange(KEYS)
    key, at = struct.pack("<2I", writer, number), base + 32 + 32 * number
    before, after, acknowledged = struct.unpack("<3Q", os.pread(log, 24, at))
    if not acknowledged:
        now = state_of(key)
        if now not in (before, after):
            sys.exit("a key is neither old nor new")
        after = now
        # What it is, before that it is acknowledged: a death in between leaves it in doubt.
        os.pwrite(log, struct.pack("<2Q", now, now), at)
    value = 0 if draw.randrange(4) == 0 else draw.getrandbits(64) | 1
    os.pwrite(log, struct.pack("<3Q", after, value, 0), at)
    if value:
        kv[key] = make(value)
    else:
        kv.pop(key, None)
    os.pwrite(log, struct.pack("<Q", 1), at + 16)
    calls, deletes, large = calls + 1, deletes + (not value), large + (value > 0 and length_of(value) >= 125)
    os.pwrite(log, struct.pack("<3Q", calls, deletes, large), base)
