"""Dumps, whole and damaged: each function builds one and says what loading it must yield. Spec 9."""

from segment import CONSTANT, ENUM, LAYOUT, xxh3_64

DUMPS = []

KIND, TYPE = ENUM["dump_kind"], ENUM["value_type"]
OPTIONAL = 1 << 31
MAGIC = b"ShmKD\r\n\x1a"
FAR = 1 << 62  # nanoseconds since 1970: in the year 2116


class Dump:
    """One file and its line in the manifest.

    load       result of loading it
    entries    (key, value, type, expiry) of what a load that does not replace has stored, in order
    """

    def __init__(self, data, entries, description, load="OK"):
        self.data, self.entries, self.description, self.load = bytes(data), entries, description, load


def u64(value):
    return value.to_bytes(8, "little")


def struct(name, **values):
    """A struct's bytes; what is not named is zero."""
    layout = LAYOUT["structs"][name]
    data = bytearray(layout["size"])
    for field in layout["fields"]:
        value = values.pop(field["name"], 0)
        if not isinstance(value, bytes):
            value = value.to_bytes(int(field["type"][1:].split("[")[0]) // 8, "little") if value else b""
        data[field["offset"] : field["offset"] + len(value)] = value
    assert not values, values
    return bytes(data)


class Builder:
    """A dump, block by block, with what belongs into the checksums."""

    def __init__(self):
        self.data, self.chain, self.count = bytearray(MAGIC), 0, 0
        self.places = []  # offsets of the blocks

    def block(self, kind, fields, body=b""):
        at = len(self.data)
        self.places.append(at)
        block = struct("dump_block", kind=kind, fields=len(fields), body=len(body)) + fields + body + bytes(-len(body) % 8)
        checksum = u64(xxh3_64(block, at))
        self.data += block + checksum
        self.chain = xxh3_64(u64(self.chain) + checksum)
        return self

    def begin(self, more=b"", **values):
        fields = {"version": 1, "count": (1 << 64) - 1, "uuid": bytes(range(16)), "incarnation": 1,
                  "created_ns": 1_000_000_000, "max_key": CONSTANT["MAX_KEY"], "max_value": CONSTANT["MAX_VALUE"]} | values
        return self.block(KIND["BEGIN"], struct("dump_begin", **fields) + more, b"vectors")

    def entry(self, key, value, kind="BYTES", expiry=0, more=b"", key_len=None, number=None):
        self.count += 1
        fields = struct("dump_entry", expiry_ns=expiry, key_len=len(key) if key_len is None else key_len,
                        type=TYPE[kind] if number is None else number)
        return self.block(KIND["ENTRY"], fields + more, key + value)

    def end(self, **values):
        return self.block(KIND["END"], struct("dump_end", **{"count": self.count, "chain": self.chain} | values))


FRUITS = [(b"apple", b"red", "BYTES", 0), (b"banana", "gelb, s\u00fc\u00df".encode(), "TEXT", 0), (b"fig", b"", "BYTES", 0)]


def fruits(builder):
    for key, value, kind, expiry in FRUITS:
        builder.entry(key, value, kind, expiry)
    return builder


def dump(function):
    DUMPS.append((function.__name__.replace("_", "-"), function))
    return function


@dump
def empty():
    return Dump(Builder().begin().end().data, [], "No entry.")


@dump
def types():
    entries = [(b"bytes", b"\0\xff", "BYTES", 0), (b"text", "\u00e9".encode(), "TEXT", 0), (b"int", u64(42), "INT64", 0),
               (b"float", bytes.fromhex("000000000000e03f"), "FLOAT64", 0), (b"true", b"\1", "BOOLEAN", 0),
               (b"null", b"", "NULL", 0), (b"json", b"[1]", "JSON", 0), (b"ends", b"in 2116", "BYTES", FAR)]
    builder = Builder().begin(flags=1, count=len(entries))
    for entry in entries:
        builder.entry(*entry)
    return Dump(builder.end().data, entries, "Each type, and an entry with an expiry; a snapshot, so the count is known.")


@dump
def lengths():
    entries = [(bytes([97 + n % 16]) * (n + 1), bytes([n]) * (n * 7 % 23), "BYTES", 0) for n in range(16)]
    builder = Builder().begin()
    for entry in entries:
        builder.entry(*entry)
    return Dump(builder.end().data, entries, "Keys and values of many lengths, and so each length of padding.")


@dump
def expired():
    builder = Builder().begin().entry(b"past", b"gone", expiry=1).entry(b"apple", b"red")
    return Dump(builder.end().data, [(b"apple", b"red", "BYTES", 0)], "An entry whose time was over in 1970.")


@dump
def twice():
    builder = Builder().begin().entry(b"apple", b"green").entry(b"apple", b"red")
    return Dump(builder.end().data, [(b"apple", b"red", "BYTES", 0)], "A key that comes twice: the later entry counts.")


@dump
def other_types():
    builder = Builder().begin().entry(b"new", b"x", number=77).entry(b"text", b"\xff", "TEXT").entry(b"int", b"7", "INT64")
    builder.entry(b"true", b"\2", "BOOLEAN").entry(b"null", b"x", "NULL").end()
    entries = [(b"new", b"x"), (b"text", b"\xff"), (b"int", b"7"), (b"true", b"\2"), (b"null", b"x")]
    return Dump(builder.data, [(*e, "BYTES", 0) for e in entries], "Unknown types, and values that are not of theirs: bytes.")


@dump
def more_fields():
    builder = Builder().begin(more=b"new one!").entry(b"apple", b"red", more=bytes(16))
    builder.block(KIND["END"], struct("dump_end", count=1, chain=builder.chain) + b"new one!")
    return Dump(builder.data, [(b"apple", b"red", "BYTES", 0)], "Fields that nobody knows yet, behind those that are known.")


@dump
def optional_block():
    builder = Builder().begin().block(OPTIONAL | 99, bytes(8), b"anything").entry(b"apple", b"red").end()
    return Dump(builder.data, [(b"apple", b"red", "BYTES", 0)], "A block of an unknown kind that may be skipped.")


@dump
def something_behind():
    builder = fruits(Builder().begin()).end()
    return Dump(builder.data + b"something else", FRUITS, "Bytes behind the end, which are not part of the dump.")


@dump
def unknown_block():
    builder = Builder().begin().entry(b"apple", b"red").block(99, b"", b"").end()
    return Dump(builder.data, FRUITS[:1], "A block of an unknown kind that may not be skipped.", load="EFORMAT")


@dump
def version_2():
    return Dump(Builder().begin(version=2).end().data, [], "Another version.", load="EFORMAT")


def bent(change, entries, description, load="EDUMP"):
    """A dump of the fruits with something changed: (builder, bytes) -> bytes."""
    builder = fruits(Builder().begin()).end()
    return Dump(change(builder, bytearray(builder.data)), entries, description, load)


def damage(description, stored=0):
    def decorate(function):
        def build():
            return bent(function, FRUITS[:stored], description)
        build.__name__ = function.__name__
        return dump(build)
    return decorate


@damage("No bytes at all.")
def cut_at_0(_, data):
    return data[:0]


@damage("Cut off in the magic bytes.")
def cut_in_magic(_, data):
    return data[:7]


@damage("Cut off in the first head.")
def cut_in_head(_, data):
    return data[:16]


@damage("Cut off in the second entry.", stored=1)
def cut_in_entry(builder, data):
    return data[: builder.places[2] + 20]


@damage("Cut off between two blocks.", stored=2)
def cut_between(builder, data):
    return data[: builder.places[3]]


@damage("Without an end.", stored=3)
def no_end(builder, data):
    return data[: builder.places[4]]


@damage("The last byte is missing.", stored=3)
def cut_at_last(_, data):
    return data[:-1]


@damage("Another magic.")
def bad_magic(_, data):
    data[0] ^= 1
    return data


@damage("A line end was changed to LF on the way.")
def text_mode(_, data):
    return data.replace(b"\r\n", b"\n", 1)


@damage("A bit of a value was changed.", stored=0)
def bit_in_value(builder, data):
    data[builder.places[1] + 32 + 6] ^= 4
    return data


@damage("A length was changed to four gigabytes.", stored=1)
def length_huge(builder, data):
    data[builder.places[2] + 8 : builder.places[2] + 16] = u64(CONSTANT["MAX_KEY"] + CONSTANT["MAX_VALUE"])
    return data


@damage("A length that no block has.", stored=1)
def length_impossible(builder, data):
    data[builder.places[2] + 8 : builder.places[2] + 16] = u64(CONSTANT["MAX_KEY"] + CONSTANT["MAX_VALUE"] + 1)
    return data


@damage("A block is missing.", stored=1)
def block_lost(builder, data):
    return data[: builder.places[2]] + data[builder.places[3] :]


@dump
def block_exchanged():
    """A block of another dump, with the right checksum for its place."""
    builder = fruits(Builder().begin()).end()
    other = Builder().begin().entry(b"apple", b"bad")
    at, after = builder.places[1], builder.places[2]
    data = builder.data[:at] + other.data[at:after] + builder.data[after:]
    return Dump(data, [(b"apple", b"bad", "BYTES", 0), *FRUITS[1:]], "A block of another dump in the place of one of the same length.",
                load="EDUMP")


@dump
def count_wrong():
    return Dump(fruits(Builder().begin()).end(count=4).data, FRUITS, "The end counts another number.", load="EDUMP")


@dump
def key_empty():
    return Dump(Builder().begin().entry(b"", b"red").end().data, [], "An entry with an empty key.", load="EDUMP")


@dump
def key_longer_than_body():
    return Dump(Builder().begin().entry(b"k", b"", key_len=2).end().data, [], "A key longer than its body.", load="EDUMP")


@dump
def fields_missing():
    builder = Builder().begin().block(KIND["ENTRY"], bytes(8), b"apple").end(count=1)
    return Dump(builder.data, [], "An entry with too few fields.", load="EDUMP")


@dump
def begins_with_entry():
    return Dump(fruits(Builder()).end().data, [], "No beginning.", load="EDUMP")
