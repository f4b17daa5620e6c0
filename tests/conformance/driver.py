"""The conformance driver in Python. README.md has the commands."""

import sys

import shmkv

FLAGS = {"shared": "c", "exclusive": "n", "existing": "w", "readonly": "r"}

kv = None


def unhex(word):
    return b"" if word == "-" else bytes.fromhex(word)


def tohex(data):
    return data.hex() or "-"


def numbered(i):
    key = b"%016d" % i
    return key, key * 2


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


def run(command, *words):
    """The lines of the answer."""
    global kv
    if command == "open":
        if kv is not None:
            kv.close()
        kv = None
        kv = shmkv.open(unhex(words[0]), FLAGS[words[1]])
        yield "ok"
    elif command == "unlink":
        shmkv.unlink(unhex(words[0]))
        yield "ok"
    elif kv is None:
        yield "error ECLOSED"
    elif command == "put":
        kv.put(unhex(words[0]), unhex(words[1]))
        yield "ok"
    elif command == "get":
        value = kv.get(unhex(words[0]))
        yield "absent" if value is None else "value " + tohex(value)
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
