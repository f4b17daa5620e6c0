#!/usr/bin/env python3
"""Reads shmkv segments, in plain Python, as spec/ says it is done.

    reader.py NAME              every entry, one JSON object a line
    reader.py --hex NAME        the same, with hexadecimal digits in place of Base64
    reader.py --plain NAME      key, tab, value; other than printable ASCII as \\xNN
    reader.py --get KEY NAME    the value of one key, its bare bytes
    reader.py --info NAME       the header
    reader.py --verify-lite NAME
                                runs, index, hashes and counts, with active intents applied to a private copy

NAME is that of a live segment ("sessions") or a file ("./copy.shmkv"), as in spec 5.1. The
segment is mapped read-only: nothing is locked and nothing is stored, and writers go on meanwhile.

This is the second implementation of the format, written from the chapters in their order and not
from the C code. It is meant to be read. It takes positions and numbers from layout.toml.

Python has no fences. On processors that keep loads in order, such as x86-64, none is needed here;
on others read a copy, or a segment that nobody writes to.

Exit status: 0 done; 1 no segment, foreign, another format, damaged, or problems found; 2 usage.
"""

import argparse
import base64
import fcntl
import json
import mmap
import os
import pathlib
import stat
import struct
import sys
import time
import tomllib

from xxh3 import xxh3_64

LAYOUT = tomllib.loads((pathlib.Path(__file__).resolve().parent.parent / "layout.toml").read_text(encoding="utf-8"))
EVICTS = 1 << next(f["bit"] for f in LAYOUT["features"]["ro_compat"] if f["name"] == "EVICTS")
CONSTANT = {name: c["value"] for name, c in LAYOUT["constants"].items()}
MAGIC = LAYOUT["format"]["magic"].encode()
PAGE = CONSTANT["PAGE_SIZE"]
RUN_HEADER = CONSTANT["RUN_HEADER_SIZE"]
SMALL, MEDIUM = LAYOUT["classes"]["small"], LAYOUT["classes"]["medium"]
CLASS_SIZES = [0] + SMALL + MEDIUM
OFFSET_IN_WORD = ((1 << 38) - 1) << 4  # spec 3.3: these bits of a word, in place, are the offset
TRIES = 1000         # a published odd version is damage after so many looks, spec 6.2
RESTARTS = 100_000   # [OP-06]
CHAIN_LIMIT = 1_000_000  # [LAYOUT-22]


class ShmkvError(Exception):
    """One of the errors of the specification, by its name."""

    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name = name


class Again(Exception):
    """The segment changed under an unlocked read."""


def corrupt(text):
    return ShmkvError("ECORRUPT", text)


# --------------------------------------------------------------- 3.1 positions


def offset_of(struct, field):
    return next(f["offset"] for f in LAYOUT["structs"][struct]["fields"] if f["name"] == field)


def size_of(struct):
    return LAYOUT["structs"][struct]["size"]


def bits(word, name, value):
    """A bit field of a word."""
    table = LAYOUT["hash_bits"] if word == "hash" else LAYOUT["words"][word]
    first, width = table[name]["bits"]
    return value >> first & (1 << width) - 1


def enum_name(enum, value):
    return next((k for k, v in LAYOUT["enums"][enum].items() if v["value"] == value), None)


class FileBytes:
    """The bytes of a file, mapped read-only and never believed to be longer than fstat says."""

    def __init__(self, fd):
        self.fd = fd
        self.map = None
        self.words = None
        self.size = 0
        self.grow()

    def grow(self):
        size = os.fstat(self.fd).st_size
        if size > self.size:
            self.map = mmap.mmap(self.fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
            self.words = memoryview(self.map)[: size & ~7].cast("Q")
            self.size = size

    def covers(self, offset, length):
        """[LAYOUT-04] Whether these bytes are inside the file, as it is now."""
        if offset + length > self.size:
            self.grow()
        return offset >= 0 and offset + length <= self.size

    def load(self, offset):
        """[LAYOUT-03] One aligned word, by one access."""
        if offset % 8 or not self.covers(offset, 8):
            raise corrupt(f"no word can be at offset {offset}")
        return self.words[offset >> 3]

    def copy(self, offset, length):
        if not self.covers(offset, length):
            raise corrupt(f"{length} bytes at offset {offset} are not inside the file")
        return self.map[offset : offset + length]


class PrivateBytes:
    """A copy to which intents may be applied, spec 7.5."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.size = len(data)

    def covers(self, offset, length):
        return offset >= 0 and offset + length <= self.size

    def load(self, offset):
        if offset % 8 or not self.covers(offset, 8):
            raise corrupt(f"no word can be at offset {offset}")
        return int.from_bytes(self.data[offset : offset + 8], "little")

    def copy(self, offset, length):
        if not self.covers(offset, length):
            raise corrupt(f"{length} bytes at offset {offset} are not inside the file")
        return bytes(self.data[offset : offset + length])

    def store(self, offset, value):
        if offset % 8 or offset < PAGE or not self.covers(offset, 8):
            raise corrupt(f"an intent stores to offset {offset}")
        self.data[offset : offset + 8] = value.to_bytes(8, "little")


# ------------------------------------------------------------------ 3.2 header


def parse_struct(struct, data):
    """The fields of a struct: integers, or bytes for arrays of bytes."""
    result = {}
    for field in LAYOUT["structs"][struct]["fields"]:
        kind, at = field["type"], field["offset"]
        if kind.startswith("u8["):
            result[field["name"]] = data[at : at + int(kind[3:-1])]
        elif kind in ("u8", "u16", "u32", "u64"):
            result[field["name"]] = int.from_bytes(data[at : at + int(kind[1:]) // 8], "little")
    return result


def check_header(data, file_size, writable=False):
    """The table of spec 5.3 step 3, in its order. Returns the header's fields."""
    if len(data) < len(MAGIC) or data[: len(MAGIC)] != MAGIC:
        raise ShmkvError("EFOREIGN", "this is not a shmkv segment: it lacks the magic bytes")
    at = offset_of("header", "revision")
    revision = int.from_bytes(data[at : at + 4], "little")
    if len(data) >= at + 4 and revision != LAYOUT["format"]["revision"]:
        raise ShmkvError("EFORMAT", f"format revision {revision} is not known here")
    if len(data) < size_of("header"):
        raise corrupt(f"truncated: only {len(data)} bytes of the header are there")
    header = parse_struct("header", data)
    if xxh3_64(data[: offset_of("header", "checksum")]) != header["checksum"]:
        raise corrupt("the header's checksum is wrong")
    if header["incompat"]:
        raise ShmkvError("EFORMAT", f"incompatible features {header['incompat']:#x} are not known here")
    if writable and header["ro_compat"] & ~EVICTS:
        raise ShmkvError("EFORMAT", f"features {header['ro_compat']:#x} allow reading only")
    check_bounds(header)
    if file_size < header["data_offset"]:
        raise corrupt(f"truncated: {file_size} bytes, the blocks alone need {header['data_offset']}")
    if enum_name("segment_state", header["state"]) is None:
        raise corrupt(f"state {header['state']} does not exist")
    if header["frozen"] > 1:
        raise corrupt(f"frozen is {header['frozen']}, neither 0 nor 1")
    return header


def check_bounds(header):
    """[LAYOUT-06] to [LAYOUT-09]."""
    def require(condition, what):
        if not condition:
            raise corrupt(f"the header's {what} makes no sense")

    count = header["shard_count"]
    require(0 < count <= CONSTANT["MAX_SHARDS"] and count & count - 1 == 0, "shard_count")
    require(0 < header["arena_count"] <= CONSTANT["MAX_ARENAS"], "arena_count")
    require(0 < header["owner_count"] <= CONSTANT["MAX_OWNERS"], "owner_count")
    require(header["page_size"] == PAGE, "page_size")
    require(header["header_size"] == size_of("header"), "header_size")
    require(header["data_offset"] % PAGE == 0, "data_offset")
    require(header["data_offset"] <= CONSTANT["MAX_SEGMENT"], "data_offset")
    require(1 <= header["max_key"] <= CONSTANT["MAX_KEY"], "max_key")
    require(header["max_value"] <= CONSTANT["MAX_VALUE"], "max_value")
    end = size_of("header")
    blocks = [("owners_offset", header["owner_count"] * size_of("owner")),
              ("shards_offset", count * size_of("shard")),
              ("arenas_offset", header["arena_count"] * size_of("arena")),
              ("space_offset", size_of("space"))]
    for name, size in sorted(blocks, key=lambda block: header[block[0]]):
        require(header[name] >= end and header[name] % CONSTANT["LINE_SIZE"] == 0, name)
        end = header[name] + size
    require(end <= header["data_offset"], "data_offset")


# ------------------------------------------------------ 5.1 names, 5.3 attach


def path_of(name):
    if name.startswith(("/", "./", "../")):
        return name
    if not 0 < len(os.fsencode(name)) <= 254 or "/" in name:
        raise ShmkvError("ENAME", "write 'name' (1 to 254 bytes, no slash), or '/dir/file', './file', '../file'")
    return "/dev/shm/" + name


def open_file(path, any_owner):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ShmkvError("ENOSEGMENT", f"there is no {path}") from None
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise ShmkvError("EFOREIGN", f"{path} is not a regular file")
    if status.st_uid not in (0, os.geteuid()) and not any_owner:
        os.close(fd)
        raise ShmkvError("EOWNER", f"{path} belongs to user {status.st_uid}; --any-owner accepts it")
    return fd


def check_limit(header, memory):
    """The last two lines of the table of spec 5.3."""
    limit = memory.load(header["space_offset"] + offset_of("space", "limit"))
    if limit < header["data_offset"] or limit % PAGE:
        raise corrupt(f"the limit, {limit}, makes no sense")
    if not memory.covers(0, limit):
        raise corrupt(f"truncated: {memory.size} bytes, {limit} are in use")
    return limit


def boot_id():
    return bytes.fromhex(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").replace("-", ""))


class Segment:
    """A segment attached read-only."""

    def __init__(self, name, any_owner=False, writable=False):
        """With writable, only the verdict is that of attaching for writing."""
        for _ in range(TRIES):
            self.fd = open_file(path_of(name), any_owner)
            try:
                self.attach(writable)
            except ShmkvError:
                os.close(self.fd)
                raise
            if not self.replaced():
                return
            os.close(self.fd)  # step 5: the name leads elsewhere by now
            if name.startswith(("/", "./", "../")) and os.path.exists(name):
                raise ShmkvError("ESTALE", "this segment was replaced by another one")
        raise ShmkvError("EBUSY", "the name kept changing")

    def attach(self, writable):
        # Read, not mapped: a short file has no pages to map.
        data = os.pread(self.fd, size_of("header"), 0)
        self.header = check_header(data, os.fstat(self.fd).st_size, writable)
        self.shard_bits = self.header["shard_count"].bit_length() - 1
        self.max_depth = min(CONSTANT["MAX_DEPTH"], 32 - self.shard_bits)  # [LAYOUT-18]
        self.memory = FileBytes(self.fd)
        check_limit(self.header, self.memory)
        if writable:
            self.check_boot()

    def check_boot(self):
        """[LIFE-22] The verdict of spec 5.9, living owners aside, of whom a file's locks tell and not its bytes."""
        if self.header["boot"] not in (0, xxh3_64(boot_id())):
            problems = Verifier(self).problems
            if problems:
                raise corrupt(f"after a reboot: {problems[0]}")

    def replaced(self):
        state = self.memory.load(offset_of("header", "state"))
        return state == LAYOUT["enums"]["segment_state"]["REPLACED"]["value"]

    def shard(self, index, field):
        return self.header["shards_offset"] + index * size_of("shard") + offset_of("shard", field)

    def hash(self, key):
        return xxh3_64(key, self.header["hash_seed"])


# --------------------------------------------------- 3.6 from root to a bucket


def cell_room(seg, offset, cls):
    """How many bytes the cell or large run at this offset has."""
    if cls >= len(CLASS_SIZES) or offset < seg.header["data_offset"]:
        raise corrupt(f"no cell can be at offset {offset} with class {cls}")
    if cls:
        return CLASS_SIZES[cls]
    if offset % PAGE != RUN_HEADER:
        raise corrupt(f"no large run can begin before offset {offset}")
    head = seg.memory.load(offset - RUN_HEADER)
    if enum_name("run_kind", bits("run", "kind", head)) != "LARGE":
        raise corrupt(f"the run before offset {offset} is not a large one")
    return bits("run", "pages", head) * PAGE - RUN_HEADER


def directory_word_at(seg, root, index):
    """Where the directory word with this index is."""
    depth = bits("root", "depth", root)
    offset = root & OFFSET_IN_WORD
    if depth > seg.max_depth:
        raise corrupt(f"a directory of depth {depth}")
    if size_of("directory") + (8 << depth) > cell_room(seg, offset, bits("root", "class", root)):
        raise corrupt(f"a directory of depth {depth} does not fit into its cell")
    return offset + size_of("directory") + 8 * (index & (1 << depth) - 1)


def group_of(seg, word, root):
    """The group that a directory word names, and its local depth."""
    page = bits("directory", "page", word) * PAGE
    depth = bits("directory", "depth", word)
    if page < seg.header["data_offset"] or depth > bits("root", "depth", root) or not seg.memory.covers(page, PAGE):
        raise corrupt(f"directory word {word:#x} leads nowhere")
    return page, depth


def chain(seg, group, bucket):
    """The offsets of a bucket and its overflow buckets."""
    at = group + RUN_HEADER + bucket * size_of("bucket")
    seen = set()
    while len(seen) < CHAIN_LIMIT:
        if at in seen:
            raise corrupt(f"the chain of bucket {bucket} at offset {group} is a loop")
        seen.add(at)
        yield at
        link = seg.memory.load(at + offset_of("bucket", "link"))
        if not link:
            return
        at = link & OFFSET_IN_WORD
        if at < seg.header["data_offset"] or at % size_of("bucket") or not seg.memory.covers(at, size_of("bucket")):
            raise corrupt(f"link {link:#x} leads nowhere")
    raise corrupt(f"the chain of bucket {bucket} at offset {group} is too long")


# ------------------------------------------------------------------ 3.7 record


def parse_record(seg, offset, cls):
    """One unchecked look at a record: version, type, extra, hidden, key, value."""
    memory = seg.memory
    room = cell_room(seg, offset, cls)
    if not memory.covers(offset, size_of("record")):
        raise corrupt(f"a record at offset {offset} is not inside the file")
    version = memory.load(offset)
    if version == 0 or version & 1:
        return version, None, None, None, None, None
    record = parse_struct("record", memory.copy(offset, size_of("record")))
    extra = None
    at = offset + size_of("record")
    if record["flags"] & LAYOUT["enums"]["record_flag"]["EXTRA"]["value"]:
        extra = parse_struct("extra", memory.copy(at, size_of("extra")))
        at += size_of("extra")
    key_len = record["key_len"] + 1
    value_at = at + (key_len + 7 & ~7)
    if value_at + record["value_len"] - offset > room:  # [LAYOUT-16]
        raise corrupt(f"the record at offset {offset} is longer than its cell")
    if key_len > seg.header["max_key"] or record["value_len"] > seg.header["max_value"]:
        raise corrupt(f"the record at offset {offset} is beyond the segment's limits")
    hidden = bool(record["flags"] & LAYOUT["enums"]["record_flag"]["HIDDEN"]["value"])
    return version, record["type"], extra, hidden, memory.copy(at, key_len), memory.copy(value_at, record["value_len"])


def present(seg, extra, now_ns):
    """[OP-07], [OP-08] Whether an entry with this optional part still counts."""
    if extra is None:
        return True
    if extra["expiry_ns"] and extra["expiry_ns"] <= now_ns:
        return False
    if extra["owner"]:
        slot, generation = (extra["owner"] & 0xFFFFFFFF) - 1, extra["owner"] >> 32
        if slot >= seg.header["owner_count"]:
            raise corrupt(f"an entry belongs to owner slot {slot}, which does not exist")
        state_at = seg.header["owners_offset"] + slot * size_of("owner")

        def in_place():
            state = seg.memory.load(state_at)
            return bits("owner_state", "state", state) == 1 and bits("owner_state", "generation", state) == generation

        return in_place() and not owner_lock_free(seg, slot) and in_place()  # [OP-29]
    return True


def owner_lock_free(seg, slot):
    """Spec 4.4, liveness, step 2: nobody has the owner lock, so the slot's owner is dead."""
    layout = "hh4xqqi4x"  # struct flock of 64-bit Linux
    wanted = struct.pack(layout, fcntl.F_RDLCK, os.SEEK_SET, CONSTANT["OWNER_LOCK_BASE"] + slot, 1, 0)
    return struct.unpack(layout, fcntl.fcntl(seg.fd, fcntl.F_OFD_GETLK, wanted))[0] == fcntl.F_UNLCK


# ---------------------------------------------------------- 6.2 reading a slot


def same_slot(a, b):
    return (a ^ b) >> 4 == 0  # the marks aside


def read_slot(seg, at):
    """The entry in a slot, or None if it is empty. Spec 6.2 step 3, for whatever key is there."""
    for _ in range(RESTARTS):
        word = seg.memory.load(at)
        if same_slot(word, 0):
            return None
        entry = read_candidate(seg, at, word)
        if entry is not None:
            return entry
    raise ShmkvError("EBUSY", "an entry kept changing")


def read_candidate(seg, at, word):
    """The record that a slot names; None if the slot or the record changed."""
    for _ in range(TRIES):
        damage = None
        try:
            version, kind, extra, hidden, key, value = parse_record(
                seg, word & OFFSET_IN_WORD, bits("slot", "class", word))
        except ShmkvError as error:
            damage = error
        # [OP-04] The slot first, then the version. [OP-02] Damage counts only if the slot is the same.
        if not same_slot(seg.memory.load(at), word):
            return None
        if damage:
            raise damage
        if version == 0 or version & 1:
            continue
        if seg.memory.load(word & OFFSET_IN_WORD) != version:
            return None
        return {"type": kind, "extra": extra, "hidden": hidden, "key": key, "value": value, "version": version,
                "slot": word}
    raise corrupt(f"the record at offset {word & OFFSET_IN_WORD} is named by a slot and never finished")


# -------------------------------------------------------------------- 6.2 get


def get(seg, key):
    """The entry of a key, or None."""
    h = seg.hash(key)
    for _ in range(RESTARTS):
        try:
            entry = look_up(seg, key, h)
        except Again:
            continue
        return entry if entry and present(seg, entry["extra"], time.time_ns()) else None
    raise ShmkvError("EBUSY", "the key's part of the index kept changing")


def look_up(seg, key, h):
    """One attempt: steps 1 to 5."""
    root_at = seg.shard(h & seg.header["shard_count"] - 1, "root")
    root = seg.memory.load(root_at)
    if not root:
        return None
    word_at = word = entry = damage = None
    try:
        word_at = directory_word_at(seg, root, h >> seg.shard_bits)
        word = seg.memory.load(word_at)
        group, _ = group_of(seg, word, root)
        bucket = bits("hash", "bucket", h) * CONSTANT["GROUP_BUCKETS"] >> 16
        entry = find_in_chain(seg, chain(seg, group, bucket), key, bits("hash", "tag", h))
    except ShmkvError as error:
        damage = error
    # [OP-05] The directory word first, the root last.
    if word is not None and seg.memory.load(word_at) != word or seg.memory.load(root_at) != root:
        raise Again
    if damage:
        raise damage
    return entry


def find_in_chain(seg, buckets, key, tag):
    for at in buckets:
        for i in range(CONSTANT["BUCKET_SLOTS"]):
            if bits("slot", "tag", seg.memory.load(at + 8 * i)) == tag:
                entry = read_slot(seg, at + 8 * i)
                if entry and entry["key"] == key and not entry["hidden"]:  # [LAYOUT-27]
                    return entry
    return None


# ----------------------------------------------------------------- 6.5 cursor


def read_bucket(seg, root_at, prefix, depth, bucket):
    """All entries of one bucket of all groups below a prefix, as of one state of the directory."""
    root = seg.memory.load(root_at)
    words = {}
    entries = []
    damage = None
    try:
        root_depth = bits("root", "depth", root)
        if root_depth < depth:
            raise corrupt("a directory has shrunk")
        groups = {}  # which directory positions name each group, and its depth
        for index in range(prefix, 1 << root_depth, 1 << depth):
            at = directory_word_at(seg, root, index)
            words[at] = seg.memory.load(at)
            group, local = group_of(seg, words[at], root)
            groups.setdefault((group, local), set()).add(index)
        for (group, local), positions in groups.items():
            whole = len(positions) == 1 << root_depth - local
            for at in chain(seg, group, bucket):
                for i in range(CONSTANT["BUCKET_SLOTS"]):
                    entry = read_slot(seg, at + 8 * i)
                    # [OP-14] In the middle of a split a key may be in two groups: it counts in that
                    # which the word at its own position names.
                    if entry and (whole or seg.hash(entry["key"]) >> seg.shard_bits & (1 << root_depth) - 1 in positions):
                        entries.append(entry)
    except ShmkvError as error:
        damage = error
    # [OP-05] Directory words first, the root last.
    if any(seg.memory.load(at) != word for at, word in words.items()) or seg.memory.load(root_at) != root:
        raise Again
    if damage:
        raise damage
    return entries


def local_depth(seg, root_at, prefix):
    for _ in range(RESTARTS):
        root = seg.memory.load(root_at)
        damage = None
        try:
            at = directory_word_at(seg, root, prefix)
            word = seg.memory.load(at)
            _, depth = group_of(seg, word, root)
        except ShmkvError as error:
            damage = error
        if seg.memory.load(root_at) != root:
            continue
        if damage:
            raise damage
        return depth
    raise ShmkvError("EBUSY", "a directory kept changing")


def next_prefix(prefix, depth):
    """Plus one in reversed bit order; 0 after the last."""
    bit = 1 << depth >> 1
    while bit and prefix & bit:
        prefix ^= bit
        bit >>= 1
    return prefix | bit


def walk_shard(seg, index):
    root_at = seg.shard(index, "root")
    if seg.memory.load(root_at) == 0:
        return
    prefix = 0
    while True:
        # Not less than the prefix has bits: within a split, the words before may be deeper already.
        depth = max(local_depth(seg, root_at, prefix), prefix.bit_length())
        for bucket in range(CONSTANT["GROUP_BUCKETS"]):
            for _ in range(RESTARTS):
                try:
                    entries = read_bucket(seg, root_at, prefix, depth, bucket)
                    break
                except Again:
                    continue
            else:
                raise ShmkvError("EBUSY", "a directory kept changing")
            yield from entries
        prefix = next_prefix(prefix, depth)
        if not prefix:
            return


def walk(seg):
    """Every entry; one that is present throughout, exactly once."""
    for index in range(seg.header["shard_count"]):
        for entry in walk_shard(seg, index):
            if not entry["hidden"] and present(seg, entry["extra"], time.time_ns()):
                yield entry


# ------------------------------------------------------- 7.1 intents, 7.5 verify


class Copy:
    """What a segment would be if all dead and stopped writers had finished."""

    def __init__(self, seg):
        self.header, self.shard_bits, self.max_depth = seg.header, seg.shard_bits, seg.max_depth
        self.memory = PrivateBytes(seg.memory.copy(0, seg.memory.size))
        for lock_at, struct in self.domains():
            self.replay(lock_at, struct)
        self.limit = check_limit(self.header, self.memory)

    shard = Segment.shard
    hash = Segment.hash

    def domains(self):
        for i in range(self.header["shard_count"]):
            yield self.header["shards_offset"] + i * size_of("shard"), "shard"
        for i in range(self.header["arena_count"]):
            yield self.header["arenas_offset"] + i * size_of("arena"), "arena"
        yield self.header["space_offset"], "space"

    def replay(self, lock_at, struct):
        intent = self.memory.load(lock_at + offset_of(struct, "intent"))
        if intent == 0:
            return
        count = bits("intent", "count", intent)
        if not bits("intent", "active", intent) or not 0 < count <= CONSTANT[struct.upper() + "_ENTRIES"]:
            raise corrupt(f"intent {intent:#x} makes no sense")
        first = lock_at + offset_of(struct, "entries")
        pairs = [(self.memory.load(first + 16 * i), self.memory.load(first + 16 * i + 8)) for i in range(count)]
        always = bits("intent", "always", intent)
        if not always and not same_slot(self.memory.load(pairs[0][0]), pairs[0][1]):
            return
        todo = iter(pairs)
        for offset, value in todo:
            stride, times = 8, 1
            if offset >> 62 == 1 and struct == "shard":
                self.replay_list(offset & (1 << 62) - 1, value, bits("intent", "owner", intent) - 1)
                continue
            if offset >> 63:
                offset &= (1 << 63) - 1
                stride, times = next(todo, (0, 0))
                if not stride or not times or not self.memory.covers(offset, stride * (times - 1) + 8):
                    raise corrupt("an intent fills what is not there")
            for i in range(times):
                self.memory.store(offset + i * stride, value)


    def replay_list(self, at, count, slot):
        """Entries in the transaction block that the intent's owner names, spec 7.1."""
        if not 0 <= slot < self.header["owner_count"]:
            raise corrupt(f"an intent of owner slot {slot}, which does not exist")
        cells, first, end = self.block(slot)
        if not cells or (at - first) % 16 or not first <= at <= at + 16 * count <= end:
            raise corrupt("an intent's list is not in its owner's transaction block")
        for entry in range(at, at + 16 * count, 16):
            if self.memory.load(entry) >> 62:
                raise corrupt("an entry of a list is no plain one")
            self.memory.store(self.memory.load(entry), self.memory.load(entry + 8))


    def block(self, slot):
        """The transaction block of an owner slot: number of cell words, where entries begin and end."""
        word = self.memory.load(self.header["owners_offset"] + slot * size_of("owner") + offset_of("owner", "txn"))
        if word == 0:
            return 0, 0, 0
        cells, at = bits("txn", "cells", word), word & OFFSET_IN_WORD
        first, end = at + size_of("block") + 8 * cells, at + cell_room(self, at, bits("txn", "class", word))
        if cells > CONSTANT["MAX_TRANSACTION"] or first > end:
            raise corrupt(f"owner slot {slot} names no transaction block")
        return cells, first, end


class Verifier:
    """The parts of spec 7.5 that need no more than one pass: 1, 2, 4 and 5."""

    def __init__(self, seg):
        self.problems = []
        self.entries = 0
        try:
            self.copy = Copy(seg)
            self.check_runs()
            for index in range(seg.header["shard_count"]):
                self.check_shard(index)
            for slot in range(seg.header["owner_count"]):
                self.copy.block(slot)
        except ShmkvError as error:
            self.problem(str(error))

    def problem(self, text):
        self.problems.append(text)

    def check_runs(self):
        """[LAYOUT-11], and the sense of each header."""
        load = self.copy.memory.load
        at, before, last = self.copy.header["data_offset"], 0, 0
        while at < self.copy.limit:
            head = load(at)
            pages, kind = bits("run", "pages", head), enum_name("run_kind", bits("run", "kind", head))
            if kind is None or pages == 0 or at + pages * PAGE > self.copy.limit:
                return self.problem(f"the run at offset {at} makes no sense: {head:#x}")
            if load(at + offset_of("run", "prev_pages")) != before:
                self.problem(f"the run at offset {at} has a wrong prev_pages")
            if kind == "SLAB":
                self.check_slab(at, head)
            if kind == "LEFT" and (pages != 1 or not self.copy.header["ro_compat"] & EVICTS):  # [EVICT-05]
                self.problem(f"the run at offset {at} is a group that cannot have been left")
            last, before, at = at, pages, at + pages * PAGE
        if load(self.copy.header["space_offset"] + offset_of("space", "last")) != last:
            self.problem("the space block names a wrong last run")

    def check_slab(self, at, head):
        cls, pages = bits("run", "class", head), bits("run", "pages", head)
        small = cls <= len(SMALL)
        wanted = LAYOUT["classes"]["small_pages" if small else "medium_pages"]
        if not 0 < cls < len(CLASS_SIZES) or pages != wanted or at % (wanted * PAGE):  # [LAYOUT-14]
            return self.problem(f"the slab at offset {at} makes no sense")
        word = self.copy.memory.load(at + offset_of("run", "slab"))
        room = (pages * PAGE - RUN_HEADER) // CLASS_SIZES[cls]
        if not bits("slab", "used", word) <= bits("slab", "carved", word) <= room:
            self.problem(f"the slab at offset {at} has more cells in use than there are")
        return None

    def check_shard(self, index):
        root = self.copy.memory.load(self.copy.shard(index, "root"))
        count = self.copy.memory.load(self.copy.shard(index, "count"))
        found = size = 0
        if root:
            keys = set()
            for prefix, depth, group in self.groups(index, root):
                in_group, in_cells = self.check_group(index, prefix, depth, group, keys)
                found += in_group
                size += in_cells
        if found != count:  # [OP-13]
            self.problem(f"shard {index} counts {count} entries and has {found}")
        self.check_bounds(index, found, size)
        self.entries += found

    def check_bounds(self, index, found, size):
        """[EVICT-01], [EVICT-06]."""
        header = self.copy.header
        evicts = header["ro_compat"] & EVICTS
        said = self.copy.memory.load(self.copy.shard(index, "bytes"))
        if said != (size if evicts and header["max_bytes"] else 0):
            self.problem(f"shard {index} counts {said} bytes and has {size}")
        for bound, used in (("max_entries", found), ("max_bytes", size)):
            if evicts and header[bound] and used > max(1, header[bound] // header["shard_count"]):
                self.problem(f"shard {index} has {used}, more than its part of {bound}")

    def groups(self, index, root):
        """Each group once, by [LAYOUT-19] at all its positions."""
        size = 1 << bits("root", "depth", root)
        words = [self.copy.memory.load(directory_word_at(self.copy, root, i)) for i in range(size)]
        seen = {}
        for i, word in enumerate(words):
            group, depth = group_of(self.copy, word, root)
            prefix = i & (1 << depth) - 1
            if seen.setdefault(group, (prefix, depth)) != (prefix, depth) or words[prefix] != word:
                self.problem(f"shard {index}: directory word {i} contradicts the others")
                continue
            head = self.copy.memory.load(group)
            if enum_name("run_kind", bits("run", "kind", head)) != "GROUP" or bits("run", "index", head) != index:
                self.problem(f"shard {index}: the run at offset {group} is not one of its groups")
            if i == prefix:
                yield prefix, depth, group

    def check_group(self, index, prefix, depth, group, keys):
        found = size = 0
        for bucket in range(CONSTANT["GROUP_BUCKETS"]):
            for at in chain(self.copy, group, bucket):
                for i in range(CONSTANT["BUCKET_SLOTS"]):
                    entry = read_slot(self.copy, at + 8 * i)
                    if entry:
                        if not entry["hidden"]:
                            found += 1
                            size += self.cell_size(entry["slot"])
                        self.check_entry(entry, index, prefix, depth, bucket, keys)
        return found, size

    def cell_size(self, slot):
        """Bytes of the cell, or of the run with its header."""
        cls = bits("slot", "class", slot)
        return CLASS_SIZES[cls] if cls else cell_room(self.copy, slot & OFFSET_IN_WORD, 0) + RUN_HEADER

    def check_entry(self, entry, index, prefix, depth, bucket, keys):
        """[LAYOUT-17], [LAYOUT-20]."""
        h = self.copy.hash(entry["key"])
        place = (h & self.copy.header["shard_count"] - 1,
                 h >> self.copy.shard_bits & (1 << depth) - 1,
                 bits("hash", "bucket", h) * CONSTANT["GROUP_BUCKETS"] >> 16,
                 bits("hash", "tag", h))
        if place != (index, prefix, bucket, bits("slot", "tag", entry["slot"])):
            self.problem(f"the record at offset {entry['slot'] & OFFSET_IN_WORD} is in the wrong place for its key")
        slot = (entry["version"] >> 48) - 1  # [OP-11]
        if slot >= self.copy.header["owner_count"] or slot < 0 or entry["version"] > self.copy.memory.load(
                self.copy.header["owners_offset"] + slot * size_of("owner") + offset_of("owner", "version")):
            self.problem(f"the record at offset {entry['slot'] & OFFSET_IN_WORD} has a version that no owner slot has given")
        key = (entry["hidden"], entry["key"])
        if key in keys:
            self.problem(f"the record at offset {entry['slot'] & OFFSET_IN_WORD} has a key that another one has")
        keys.add(key)


# --------------------------------------------------------------------- output


def printable(data):
    return "".join(chr(b) if 32 <= b < 127 and b != 92 else f"\\x{b:02x}" for b in data)


def print_entries(seg, args):
    for entry in walk(seg):
        if args.plain:
            print(printable(entry["key"]), printable(entry["value"]), sep="\t")
            continue
        line = {}
        for name in ("key", "value"):
            if args.hex:
                line[name + "_hex"] = entry[name].hex()
            else:
                line[name + "_b64"] = base64.b64encode(entry[name]).decode()
        line["type"] = (enum_name("value_type", entry["type"]) or "BYTES").lower()
        print(json.dumps(line))
    return 0


def print_value(seg, key):
    entry = get(seg, key)
    if entry is None:
        raise ShmkvError("ENOTFOUND", "no such key")
    sys.stdout.buffer.write(entry["value"])
    return 0


def print_info(seg):
    for name, value in seg.header.items():
        if name == "magic":
            continue
        if name == "creator_name":
            value = printable(value.rstrip(b"\0"))
        elif isinstance(value, bytes):
            value = value.hex()
        elif name == "state":
            value = enum_name("segment_state", value).lower()
        elif name == "frozen":
            value = "yes" if value else "no"
        print(f"{name:14} {value}")
    print(f"{'limit':14} {check_limit(seg.header, seg.memory)}")
    print(f"{'file_size':14} {seg.memory.size}")
    counts = (seg.memory.load(seg.shard(i, "count")) for i in range(seg.header["shard_count"]))
    print(f"{'entries':14} {sum(counts)}")
    return 0


def verify(seg):
    verifier = Verifier(seg)
    for text in verifier.problems:
        print(text, file=sys.stderr)
    if not verifier.problems:
        print(f"{verifier.entries} entries, no problem found")
    return 1 if verifier.problems else 0


def main(argv):
    parser = argparse.ArgumentParser(description="Read a shmkv segment by its specification alone.")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--get", metavar="KEY", help="print the value of one key, bare")
    action.add_argument("--info", action="store_true", help="print the header")
    action.add_argument("--verify-lite", action="store_true", help="check runs, index, hashes and counts")
    action.add_argument("--plain", action="store_true", help="print key, tab, value")
    action.add_argument("--hex", action="store_true", help="hexadecimal digits in place of Base64")
    parser.add_argument("--any-owner", action="store_true", help="accept a segment of any user")
    parser.add_argument("name", help="'name' in shared memory, or a path: '/dir/file', './file', '../file'")
    args = parser.parse_args(argv)
    try:
        seg = Segment(args.name, args.any_owner)
        if args.get is not None:
            return print_value(seg, os.fsencode(args.get))
        if args.info:
            return print_info(seg)
        if args.verify_lite:
            return verify(seg)
        return print_entries(seg, args)
    except ShmkvError as error:
        print(f"reader.py: {args.name}: {error}", file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"reader.py: {args.name}: {error.strerror}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
