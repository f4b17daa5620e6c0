"""The conformance driver in Python. README.md has the commands."""

import itertools
import json
import math
import struct
import sys

import shmkv

FLAGS = {"shared": "c", "exclusive": "n", "existing": "w", "readonly": "r"}

ABSENT = object()

kv = None


def unhex(word):
    return b"" if word == "-" else bytes.fromhex(word)


def bytes_of(value):
    """The bytes that the format gives to a value of any type."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bool):
        return bytes([value])
    if isinstance(value, int):
        return struct.pack("<q", value)
    if isinstance(value, float):
        return struct.pack("<d", value)
    return b"" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def tohex(value):
    return bytes_of(value).hex() or "-"


def numbered(i):
    key = b"%016d" % i
    return key, key * 2


NATIVES = {
    "bytes": b"\0\xff\xe9",
    "text": "h\u00e9 \u263a \U0001f600",
    "ascii": "text",
    "int": -7,
    "least": -(2**63),
    "most": 2**63 - 1,
    "float": 0.1 + 0.2,
    "whole": 3.0,
    "infinity": math.inf,
    "nan": math.nan,
    "true": True,
    "false": False,
    "null": None,
    "array": [1, 2.5, "h\u00e9", True, None, [], {}],
    "object": {"a": [1, 2], "\u00e9": {"b": -(2**63)}, "x": 1e300},
}


def describe(value):
    """As README.md says."""
    if isinstance(value, bytes):
        return "bytes:" + value.hex()
    if isinstance(value, str):
        return "text:" + value.encode().hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return "int:%d" % value
    if isinstance(value, float):
        return "nan" if math.isnan(value) else "float:" + struct.pack(">d", value).hex()
    if isinstance(value, list):
        return "[" + ",".join(map(describe, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(sorted(describe(k) + "=" + describe(v) for k, v in value.items())) + "}"
    return "null" if value is None else "?" + type(value).__name__


def entries(pairs):
    for key, value in pairs:
        yield "entry %s %s" % (tohex(key), tohex(value))
    yield "end"


def watch(first, count, stop):
    missed = 0
    while True:
        for i in range(first, first + count):
            key, value = numbered(i)
            missed += kv.get(key) != value
        if kv.exists(stop):
            return missed


def exchange(txn, one, other):
    txn[one], txn[other] = txn[other], txn[one]


def transfer(txn, source, target):
    txn[source] = txn.get(source, 0) - 1
    txn[target] = txn.get(target, 0) + 1


def parse(word):
    """The value of a description, but for arrays and objects."""
    kind, _, rest = word.partition(":")
    if kind in ("bytes", "text"):
        data = bytes.fromhex(rest)
        return data if kind == "bytes" else data.decode()
    if kind == "int":
        return int(rest)
    if kind == "float":
        return struct.unpack(">d", bytes.fromhex(rest))[0]
    return {"nan": math.nan, "true": True, "false": False, "null": None}[kind]


def tell(line):
    """Before the command has its answer."""
    print(line, flush=True)


def described(value):
    return "absent" if value is ABSENT else "value " + describe(value)


def yes(answer):
    return "yes" if answer else "no"


def item(key):
    found = kv.get_item(key)
    if found is None:
        return "absent"
    return "item %s %d %d %d" % (describe(found["value"]), found["version"], found["expires_ns"] or 0, found["bound"])


def pop():
    try:
        key, value = kv.popitem()
    except KeyError:
        return "absent"
    return "entry %s %s" % (tohex(key), describe(value))


def wait(key, version, seconds):
    tell("waiting")
    return yes(kv.wait(key, version, seconds))


def watch_store(position, seconds):
    tell("waiting")
    changed, position = kv.watch(position, seconds)
    return "%s %d" % ("changed" if changed else "unchanged", position)


def hold(name, seconds):
    tell("waiting")
    with kv.lock(name, seconds) as token:
        tell("held %d" % token)
        sys.stdin.readline()
    return "ok"


def computed():
    tell("computing")
    return parse(sys.stdin.readline().strip())


def compute(key, seconds):
    tell("waiting")
    return described(kv.get_or_compute(key, computed, timeout=seconds))


def many(keys):
    found = kv.get_many(keys)
    return "values " + " ".join(describe(found[key]) if key in found else "absent" for key in keys)


def told(word, facts, *names):
    return " ".join([word, *(str(facts[name]) for name in names)])


def locks():
    found = kv.locks()
    return "locks %d %d" % (len(found), sum(lock["owner"] is not None for lock in found))


def owners():
    return "owners " + " ".join(map(str, sorted(owner["pid"] for owner in kv.owners() if owner["liveness"] == "alive")))


def swapped(key, value):
    # None is no answer of its own here: nobody swaps with a null.
    old = kv.swap(key, value)
    return described(ABSENT if old is None else old)


def done(_):
    return "ok"


OPERATIONS = {
    "item": item,
    "get_many": lambda *keys: many(keys),
    "set": lambda key, value, ttl=None: done(kv.set(key, value, ttl=ttl)),
    "bind": lambda key, value: done(kv.set(key, value, bound=True)),
    "add": lambda key, value: yes(kv.add(key, value)),
    "replace": lambda key, value: yes(kv.replace(key, value)),
    "swap": swapped,
    "take": lambda key: described(kv.take(key, ABSENT)),
    "cas": lambda key, version, value: yes(kv.cas(key, version, value)),
    "cas_value": lambda key, expected, value: yes(kv.cas_value(key, expected, value)),
    "delete": lambda key: yes(kv.delete(key)),
    "delete_if": lambda key, version: yes(kv.delete_if(key, version)),
    "delete_value": lambda key, expected: yes(kv.delete_value(key, expected)),
    "append": lambda key, value: "count %d" % kv.append(key, value),
    "incr": lambda key, *amounts: described(kv.incr(key, *amounts)),
    "decr": lambda key, *amounts: described(kv.decr(key, *amounts)),
    "at_least": lambda key, number: described(kv.at_least(key, number)),
    "at_most": lambda key, number: described(kv.at_most(key, number)),
    "get_or_set": lambda key, value: described(kv.get_or_set(key, value)),
    "modify": lambda key: described(kv.modify(key, lambda old: 1 if old is None else 2 * old)),
    "touch": lambda key, ttl=None: yes(kv.touch(key, ttl)),
    "pop": pop,
    "clear": lambda: "count %d" % kv.clear(),
    "sweep": lambda: "count %d" % kv.sweep(),
    "wait": wait,
    "watch": watch_store,
    "hold": hold,
    "compute": compute,
    "freeze": lambda: done(kv.freeze()),
    "sync": lambda: done(kv.sync()),
    "dump": lambda path: "count %d" % kv.dump(path),
    "load": lambda path, how=None: "count %d" % kv.load(path, **({how: True} if how else {})),
    "info": lambda: told("info", kv.info(), "default_ttl_ns", "max_entries", "max_size", "frozen"),
    "stats": lambda: told("stats", kv.stats(), "entries", "evictions"),
    "locks": locks,
    "owners": owners,
}


def run(command, *words):
    """The lines of the answer."""
    global kv
    if command == "open":
        if kv is not None:
            kv.close()
        kv = None
        kv = shmkv.open(unhex(words[0]), FLAGS[words[1]], **dict(zip(words[2::2], map(int, words[3::2]))))
        yield "ok"
    elif command == "unlink":
        shmkv.unlink(unhex(words[0]))
        yield "ok"
    elif kv is None:
        yield "error ECLOSED"
    elif command == "call":
        yield OPERATIONS[words[0]](*map(parse, words[1:]))
    elif command == "put":
        kv.put(unhex(words[0]), unhex(words[1]))
        yield "ok"
    elif command == "get":
        value = kv.get(unhex(words[0]), ABSENT)
        yield "absent" if value is ABSENT else "value " + tohex(value)
    elif command == "native":
        kv.put(words[0], NATIVES[words[0]])
        yield "ok"
    elif command == "describe":
        yield "value " + describe(kv[words[0]])
    elif command == "exchange":
        kv.transaction(words, lambda txn: exchange(txn, *words))
        yield "ok"
    elif command == "transfer":
        for _ in range(int(words[2])):
            kv.transaction(words[:2], lambda txn: transfer(txn, *words[:2]))
        yield "ok"
    elif command == "delete":
        yield "ok" if kv.delete(unhex(words[0])) else "absent"
    elif command == "exists":
        yield "yes" if kv.exists(unhex(words[0])) else "no"
    elif command == "count":
        yield "count %d" % kv.get_size()
    elif command == "all":
        yield from entries(kv.get_all().items())
    elif command == "walk":
        yield from entries(kv.items())
    elif command == "verify":
        yield "count %d" % len(kv.verify())
    elif command == "load":
        for i in range(int(words[0]), int(words[0]) + int(words[1])):
            kv.put(*numbered(i))
        yield "ok"
    elif command == "put_many":
        kv.put_many(map(numbered, range(int(words[0]), int(words[0]) + int(words[1]))))
        yield "ok"
    elif command == "delete_many":
        yield "count %d" % kv.delete_many(numbered(i)[0] for i in range(int(words[0]), int(words[0]) + int(words[1])))
    elif command == "steps":
        cursor = kv.cursor(prefix=unhex(words[0]), position=None if words[1] == "-" else unhex(words[1]))
        for key, value in itertools.islice(cursor, int(words[2])):
            yield "entry %s %s" % (tohex(key), tohex(value))
        yield "end " + tohex(cursor.position)
    elif command == "check":
        pairs = map(numbered, range(int(words[0]), int(words[0]) + int(words[1])))
        yield "count %d" % sum(kv.get(key) == value for key, value in pairs)
    elif command == "watch":
        yield "missed %d" % watch(int(words[0]), int(words[1]), unhex(words[2]))
    elif command == "close":
        kv.close()
        kv = None
        yield "ok"
    else:
        yield "error unknown command"


for line in sys.stdin:
    try:
        for answer in run(*line.split()):
            print(answer)
    except shmkv.Error as error:
        print("error errno %d" % error.code if error.code > 0 else "error " + error.name[len("SHMKV_") :])
    sys.stdout.flush()
