#!/usr/bin/env python3
"""Reads dumps of shmkv segments, in plain Python, as spec/9-dump.md says it is done.

    dump.py FILE          every entry, one JSON object a line
    dump.py --hex FILE    the same, with hexadecimal digits in place of Base64
    dump.py --info FILE   what was dumped, and how many entries there are

FILE may be "-" for standard input. Nothing is printed before its block was found whole, so of a damaged
dump the entries before the damage are printed, and then the error.

Written from the chapter and not from the C code; it shares with reader.py the layout and the names of errors.

Exit status: 0 done, the dump is whole; 1 damaged, cut off, or of a newer version; 2 usage.
"""

import argparse
import base64
import json
import os
import sys

from reader import CONSTANT, ShmkvError, enum_name, parse_struct, size_of
from xxh3 import xxh3_64

MAGIC = b"ShmKD\r\n\x1a"
OPTIONAL = 1 << 31
UNKNOWN = (1 << 64) - 1
MOST_FIELDS = 4096
MOST_BODY = CONSTANT["MAX_KEY"] + CONSTANT["MAX_VALUE"]


def damaged(at, text):
    return ShmkvError("EDUMP", f"the block at byte {at} of the dump: {text}")


# ------------------------------------------------------------------ 9.1 blocks


class Blocks:
    """The blocks of a dump, each with its checksum found right [DUMP-01]."""

    def __init__(self, file):
        self.file = file
        self.at = 0
        self.chain = 0
        if self.take(len(MAGIC), 0) != MAGIC:
            raise ShmkvError("EDUMP", "byte 0: these are not the magic bytes of a dump")

    def take(self, length, block):
        """[DUMP-02] In pieces, as they come."""
        parts = []
        while length:
            part = self.file.read(min(length, 1 << 20))
            if not part:
                raise damaged(block, "the dump ends in it")
            parts.append(part)
            length -= len(part)
            self.at += len(part)
        return b"".join(parts)

    def next(self):
        """(offset, kind, fields, body, the chain of the blocks before it)"""
        at = self.at
        head = self.take(size_of("dump_block"), at)
        block = parse_struct("dump_block", head)
        if block["fields"] % 8 or block["fields"] > MOST_FIELDS or block["body"] > MOST_BODY:
            raise damaged(at, "its lengths are impossible")
        padding = -block["body"] % 8
        rest = self.take(block["fields"] + block["body"] + padding, at)
        checksum = self.take(8, at)
        if xxh3_64(head + rest, at) != int.from_bytes(checksum, "little"):
            raise damaged(at, "its checksum is wrong")
        before = self.chain
        self.chain = xxh3_64(before.to_bytes(8, "little") + checksum)
        return at, block["kind"], rest[: block["fields"]], rest[block["fields"] : len(rest) - padding], before


def fields_of(struct, at, data):
    """[DUMP-04] What we know of the fields; there may be more behind."""
    if len(data) < size_of(struct):
        raise damaged(at, "it has too few fields")
    return parse_struct(struct, data)


# -------------------------------------------------------------------- 9.3 load


def value_type(number, value):
    """An unknown type, or one that these bytes cannot have, is bytes."""
    name = enum_name("value_type", number) or "BYTES"
    lengths = {"INT64": 8, "FLOAT64": 8, "BOOLEAN": 1, "NULL": 0}
    if name in lengths and len(value) != lengths[name] or name == "BOOLEAN" and value[0] > 1:
        return "BYTES"
    if name in ("TEXT", "JSON"):
        try:
            value.decode("utf-8")
        except UnicodeDecodeError:
            return "BYTES"
    return name


def parse_entry(at, data, body):
    fields = fields_of("dump_entry", at, data)
    key_len = fields["key_len"]
    if not 0 < key_len <= min(CONSTANT["MAX_KEY"], len(body)) or len(body) - key_len > CONSTANT["MAX_VALUE"]:
        raise damaged(at, "a key or value of impossible length")
    value = body[key_len:]
    return {"key": body[:key_len], "value": value, "type": value_type(fields["type"], value),
            "expiry_ns": fields["expiry_ns"]}


class Dump:
    """What was dumped is in `begin` and `name`; iterate over it for the entries."""

    def __init__(self, file):
        self.blocks = Blocks(file)
        at, kind, data, body, _ = self.blocks.next()
        if enum_name("dump_kind", kind) != "BEGIN":
            raise damaged(at, "a dump begins with another kind")
        self.begin = fields_of("dump_begin", at, data)
        self.name = body
        if self.begin["version"] != 1:
            raise ShmkvError("EFORMAT", f"a dump of version {self.begin['version']} is not known here")

    def __iter__(self):
        """Ends after END was found right, and only then."""
        count = 0
        while True:
            at, kind, data, body, chain = self.blocks.next()
            name = enum_name("dump_kind", kind)
            if name == "END":
                end = fields_of("dump_end", at, data)
                if (end["count"], end["chain"]) != (count, chain):
                    raise damaged(at, "its count or its checksum over all blocks is wrong")
                return
            if name == "ENTRY":
                count += 1
                yield parse_entry(at, data, body)
            elif not kind & OPTIONAL:
                raise ShmkvError("EFORMAT", f"the block at byte {at} of the dump is of kind {kind}")


# ---------------------------------------------------------------- command line


def print_entries(dump, as_hex):
    for entry in dump:
        line = {}
        for name in ("key", "value"):
            if as_hex:
                line[name + "_hex"] = entry[name].hex()
            else:
                line[name + "_b64"] = base64.b64encode(entry[name]).decode()
        line["type"] = entry["type"].lower()
        if entry["expiry_ns"]:
            line["expiry_ns"] = entry["expiry_ns"]
        print(json.dumps(line))


def print_info(dump):
    for name, value in dump.begin.items():
        if isinstance(value, bytes):
            value = value.hex()
        elif name == "count" and value == UNKNOWN:
            value = "unknown"
        print(f"{name:12} {value}")
    print(f"{'name':12} {dump.name.decode('utf-8', 'backslashreplace')!r}")
    print(f"{'entries':12} {sum(1 for _ in dump)}")


def main(argv):
    parser = argparse.ArgumentParser(description="Read a dump of a shmkv segment by the specification alone.")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--info", action="store_true", help="print what was dumped, and how many entries there are")
    action.add_argument("--hex", action="store_true", help="hexadecimal digits in place of Base64")
    parser.add_argument("file", help="'-' for standard input")
    args = parser.parse_args(argv)
    try:
        with os.fdopen(os.dup(0), "rb") if args.file == "-" else open(args.file, "rb") as file:
            dump = Dump(file)
            if args.info:
                print_info(dump)
            else:
                print_entries(dump, args.hex)
    except (ShmkvError, OSError) as error:
        sys.stdout.flush()
        print(f"dump.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
