"""Builds segment images in memory, from spec/ and layout.toml alone.

An Image is a segment that one writer, owner slot 0, has used: it can take and return runs and cells,
put and delete, chain and split, with every step leaving the segment whole. The cases in cases.py use
it and then set single words, to stop in the middle of an operation or to do damage.

Where the specification leaves a choice, the simplest one is taken: a new run goes into the first
free run that fits, or to the end; slabs are filled in the order of their lists.
"""

import hashlib
import pathlib
import sys
import tomllib

SPEC = pathlib.Path(__file__).resolve().parents[2] / "spec"
sys.path.insert(0, str(SPEC / "reference"))

from xxh3 import xxh3_64  # noqa: E402

LAYOUT = tomllib.loads((SPEC / "layout.toml").read_text(encoding="utf-8"))
CONSTANT = {name: c["value"] for name, c in LAYOUT["constants"].items()}
STRUCT = {name: {f["name"]: f["offset"] for f in s["fields"]} | {"": s["size"]}
          for name, s in LAYOUT["structs"].items()}
ENUM = {name: {key: v["value"] for key, v in values.items()} for name, values in LAYOUT["enums"].items()}
PAGE, RUN_HEADER = CONSTANT["PAGE_SIZE"], CONSTANT["RUN_HEADER_SIZE"]
BUCKETS, SLOTS, BUCKET = CONSTANT["GROUP_BUCKETS"], CONSTANT["BUCKET_SLOTS"], CONSTANT["BUCKET_SIZE"]
SMALL = LAYOUT["classes"]["small"]
BUCKET_CLASS = CONSTANT["BUCKET_CLASS"]
SIZES = [0] + SMALL + LAYOUT["classes"]["medium"]
IN_PLACE = ((1 << 38) - 1) << 4


def pack(word, **values):
    """A word from its bit fields."""
    result = 0
    for name, value in values.items():
        first, width = LAYOUT["words"][word][name]["bits"]
        assert 0 <= value < 1 << width, (word, name, value)
        result |= value << first
    return result


def field(word, name, value):
    first, width = LAYOUT["words"][word][name]["bits"]
    return value >> first & (1 << width) - 1


def class_for(size):
    """The class of a record or directory; that of overflow buckets is kept for them."""
    return next((c for c, s in enumerate(SIZES) if s >= size and c != BUCKET_CLASS), 0)


def cell_word(offset, cls):
    return pack("cell", unit=offset >> 4, **{"class": cls})


def bin_of(pages):
    """Spec 3.5."""
    if pages <= 16:
        return pages - 1
    b = pages.bit_length() - 1
    return 16 + 4 * (b - 4) + (pages >> b - 2 & 3)


def round_up(n, to):
    return -(-n // to) * to


class Image:
    """A segment, and operations on it. Offsets are into `data`."""

    def __init__(self, name, shards=2, arenas=1, owners=4):
        self.shards, self.arenas, self.owner_count = shards, arenas, owners
        self.bits = shards.bit_length() - 1
        self.owners = STRUCT["header"][""]
        self.shards_at = self.owners + owners * STRUCT["owner"][""]
        self.arenas_at = self.shards_at + shards * STRUCT["shard"][""]
        self.space = self.arenas_at + arenas * STRUCT["arena"][""]
        self.data_offset = round_up(self.space + STRUCT["space"][""], PAGE)
        self.data = bytearray(self.data_offset)
        self.seed = int.from_bytes(hashlib.sha256(b"seed " + name.encode()).digest()[:8], "little")
        self.header(name)
        self.store(self.space + STRUCT["space"]["limit"], self.data_offset)
        self.introduce(0)

    # ---------------------------------------------------------------- bytes

    def load(self, at, size=8):
        return int.from_bytes(self.data[at : at + size], "little")

    def store(self, at, value, size=8):
        assert 0 <= at <= len(self.data) - size and at % size == 0
        self.data[at : at + size] = value.to_bytes(size, "little")

    def copy_in(self, at, data):
        assert at + len(data) <= len(self.data)
        self.data[at : at + len(data)] = data

    # --------------------------------------------------------------- header

    def set_header(self, **fields):
        """Change sealed fields and seal them again."""
        for name, value in fields.items():
            entry = next(f for f in LAYOUT["structs"]["header"]["fields"] if f["name"] == name)
            if isinstance(value, bytes):
                self.copy_in(entry["offset"], value)
            else:
                self.store(entry["offset"], value, {"u32": 4, "u64": 8}[entry["type"]])
        checksum = STRUCT["header"]["checksum"]
        self.store(checksum, xxh3_64(bytes(self.data[:checksum])))

    def header(self, name):
        self.set_header(
            magic=LAYOUT["format"]["magic"].encode(), revision=LAYOUT["format"]["revision"],
            header_size=STRUCT["header"][""], uuid=hashlib.sha256(b"uuid " + name.encode()).digest()[:16],
            incarnation=1, hash_seed=self.seed, shard_count=self.shards, arena_count=self.arenas,
            owner_count=self.owner_count, page_size=PAGE, owners_offset=self.owners, shards_offset=self.shards_at,
            arenas_offset=self.arenas_at, space_offset=self.space, data_offset=self.data_offset,
            max_key=CONSTANT["MAX_KEY"], max_value=CONSTANT["MAX_VALUE"], created_ns=1_790_000_000_000_000_000,
            creator_uid=1000, creator_pid=4242, boot_id=bytes(range(16)), creator_name=b"vectors")
        self.store(STRUCT["header"]["state"], ENUM["segment_state"]["LIVE"])

    # --------------------------------------------------------------- owners

    def owner(self, slot, name):
        return self.owners + slot * STRUCT["owner"][""] + STRUCT["owner"][name]

    def introduce(self, slot):
        """A claim that was given back: free, with generation 1."""
        self.store(self.owner(slot, "state"), pack("owner_state", state=0, generation=1))
        self.store(self.owner(slot, "pid"), 4242 + slot, 4)
        self.store(self.owner(slot, "uid"), 1000, 4)
        self.store(self.owner(slot, "pid_ns"), 4026531836)
        self.store(self.owner(slot, "start_time"), 1000 + slot)
        self.store(self.owner(slot, "attached_ns"), 1_790_000_001_000_000_000)
        self.copy_in(self.owner(slot, "boot_id"), bytes(range(16)))
        self.copy_in(self.owner(slot, "name"), b"vectors")
        self.store(self.owner(slot, "version"), slot + 1 << 48 | 0x123456780)

    def die(self, slot=0):
        """The slot's owner has died: it says live, and nobody holds its owner lock."""
        if not self.load(self.owner(slot, "version")):
            self.introduce(slot)
        self.store(self.owner(slot, "state"), pack("owner_state", state=1, generation=1))

    # ----------------------------------------------------------------- runs

    @property
    def limit(self):
        return self.load(self.space + STRUCT["space"]["limit"])

    def runs(self):
        """(offset, head) of every run."""
        at = self.data_offset
        while at < self.limit:
            head = self.load(at)
            yield at, head
            at += field("run", "pages", head) * PAGE

    def set_runs(self, runs):
        """Write the headers' tiling and the lists of free runs anew, from (offset, head) pairs."""
        bins = self.space + STRUCT["space"]["bins"]
        for i in range(CONSTANT["SPACE_BINS"]):
            self.store(bins + 8 * i, 0)
        before, last = 0, 0
        for at, head in runs:
            pages = field("run", "pages", head)
            self.store(at, head)
            self.store(at + STRUCT["run"]["prev_pages"], before)
            before, last = pages, at
        for at, head in reversed(runs):
            if field("run", "kind", head) != ENUM["run_kind"]["FREE"]:
                continue
            head_of_list = bins + 8 * bin_of(field("run", "pages", head))
            following = self.load(head_of_list)
            self.store(at + STRUCT["run"]["next"], following)
            self.store(at + STRUCT["run"]["prev"], 0)
            self.store(at + STRUCT["run"]["slab"], 0)
            if following:
                self.store(following + STRUCT["run"]["prev"], at)
            self.store(head_of_list, at)
        self.store(self.space + STRUCT["space"]["last"], last)

    def free_head(self, pages):
        return pack("run", kind=ENUM["run_kind"]["FREE"], pages=pages)

    def take_run(self, pages, kind, cls=0, index=0, align=1):
        runs = list(self.runs())
        head = pack("run", kind=ENUM["run_kind"][kind], index=index, pages=pages, **{"class": cls})
        for i, (at, old) in enumerate(runs):
            if field("run", "kind", old) != ENUM["run_kind"]["FREE"]:
                continue
            end = at + field("run", "pages", old) * PAGE
            start = round_up(at, align * PAGE)
            if start + pages * PAGE <= end:
                break
        else:
            i, at = len(runs), self.limit
            start = round_up(at, align * PAGE)
            end = start + pages * PAGE
            self.data.extend(bytes(end - len(self.data)))
            self.store(self.space + STRUCT["space"]["limit"], end)
        parts = [(start, head)]
        if start > at:
            parts.insert(0, (at, self.free_head((start - at) // PAGE)))
        if end > start + pages * PAGE:
            parts.append((start + pages * PAGE, self.free_head((end - start) // PAGE - pages)))
        runs[i : i + 1] = parts
        self.data[start + 8 : start + pages * PAGE] = bytes(pages * PAGE - 8)
        self.set_runs(runs)
        return start

    def return_run(self, offset):
        merged = []
        for at, head in self.runs():
            if at == offset:
                head = self.free_head(field("run", "pages", head))
            if merged and field("run", "kind", head) == field("run", "kind", merged[-1][1]) == ENUM["run_kind"]["FREE"]:
                pages = field("run", "pages", merged[-1][1]) + field("run", "pages", head)
                merged[-1] = (merged[-1][0], self.free_head(pages))
            else:
                merged.append((at, head))
        self.set_runs(merged)

    # ---------------------------------------------------------------- cells

    def partial(self, cls, arena=0):
        return self.arenas_at + arena * STRUCT["arena"][""] + STRUCT["arena"]["partial"] + 8 * cls

    def slab_pages(self, cls):
        return LAYOUT["classes"]["small_pages" if cls <= len(SMALL) else "medium_pages"]

    def slab_room(self, cls):
        return (self.slab_pages(cls) * PAGE - RUN_HEADER) // SIZES[cls]

    def slab_of(self, offset, cls):
        return offset - offset % (self.slab_pages(cls) * PAGE)

    def link_slab(self, slab, cls):
        head = self.load(self.partial(cls))
        self.store(slab + STRUCT["run"]["next"], head)
        self.store(slab + STRUCT["run"]["prev"], 0)
        if head:
            self.store(head + STRUCT["run"]["prev"], slab)
        self.store(self.partial(cls), slab)

    def unlink_slab(self, slab, cls):
        following = self.load(slab + STRUCT["run"]["next"])
        before = self.load(slab + STRUCT["run"]["prev"])
        self.store(before + STRUCT["run"]["next"] if before else self.partial(cls), following)
        if following:
            self.store(following + STRUCT["run"]["prev"], before)
        self.store(slab + STRUCT["run"]["next"], 0)
        self.store(slab + STRUCT["run"]["prev"], 0)

    def take_cell(self, cls):
        """The offset of a cell with unspecified content."""
        slab = self.load(self.partial(cls))
        if not slab:
            slab = self.take_run(self.slab_pages(cls), "SLAB", cls, align=self.slab_pages(cls))
            self.link_slab(slab, cls)
        word = self.load(slab + STRUCT["run"]["slab"])
        used, carved, free = (field("slab", name, word) for name in ("used", "carved", "free"))
        if free:
            cell = slab + RUN_HEADER + (free - 1) * SIZES[cls]
            free = field("cell_link", "next", self.load(cell + 8))
        else:
            cell = slab + RUN_HEADER + carved * SIZES[cls]
            carved += 1
        self.store(slab + STRUCT["run"]["slab"], pack("slab", used=used + 1, carved=carved, free=free))
        if used + 1 == self.slab_room(cls):
            self.unlink_slab(slab, cls)
        return cell

    def return_cell(self, offset, cls):
        if not cls:
            return self.return_run(offset - RUN_HEADER)
        slab = self.slab_of(offset, cls)
        word = self.load(slab + STRUCT["run"]["slab"])
        used, carved, free = (field("slab", name, word) for name in ("used", "carved", "free"))
        self.store(offset + 8, pack("cell_link", next=free))
        free = (offset - slab - RUN_HEADER) // SIZES[cls] + 1
        self.store(slab + STRUCT["run"]["slab"], pack("slab", used=used - 1, carved=carved, free=free))
        if used == self.slab_room(cls):
            self.link_slab(slab, cls)
        only = self.load(self.partial(cls)) == slab and not self.load(slab + STRUCT["run"]["next"])
        if used == 1 and not only:
            self.unlink_slab(slab, cls)
            self.return_run(slab)
        return None

    def take_room(self, size):
        """A cell for so many bytes, or a large run: (offset, class)."""
        cls = class_for(size)
        if cls:
            return self.take_cell(cls), cls
        return self.take_run(-(-(size + RUN_HEADER) // PAGE), "LARGE") + RUN_HEADER, 0

    # -------------------------------------------------------------- records

    def next_version(self, slot=0):
        at = self.owner(slot, "version")
        self.add(at, 2)
        return self.load(at)

    def record(self, key, value, type="BYTES", expiry=None, owner=None, hidden=False):
        """A finished record that nothing names: (offset, class)."""
        extra = b""
        if expiry is not None or owner is not None:
            extra = (expiry or 0).to_bytes(8, "little") + (owner or 0).to_bytes(8, "little")
        head = len(value).to_bytes(4, "little") + (len(key) - 1).to_bytes(2, "little")
        head += bytes([ENUM["value_type"][type], (ENUM["record_flag"]["EXTRA"] if extra else 0) |
                       (ENUM["record_flag"]["HIDDEN"] if hidden else 0)])
        body = head + extra + key + bytes(-len(key) % 8) + value
        offset, cls = self.take_room(8 + len(body))
        self.copy_in(offset + 8, body)
        self.store(offset, self.next_version())
        return offset, cls

    # ---------------------------------------------------------------- index

    def hash(self, key):
        return xxh3_64(key, self.seed)

    def shard_of(self, key):
        return self.hash(key) & self.shards - 1

    def bucket_of(self, key):
        return (self.hash(key) >> 32 & 0xFFFF) * BUCKETS >> 16

    def shard(self, index, name):
        return self.shards_at + index * STRUCT["shard"][""] + STRUCT["shard"][name]

    def add(self, at, n):
        self.store(at, self.load(at) + n)

    def root(self, index):
        """The directory's offset, class and depth."""
        word = self.load(self.shard(index, "root"))
        return word & IN_PLACE, field("root", "class", word), field("root", "depth", word)

    def word_at(self, key):
        """Where the directory word for a key is."""
        directory, _, depth = self.root(self.shard_of(key))
        return directory + STRUCT["directory"][""] + 8 * (self.hash(key) >> self.bits & (1 << depth) - 1)

    def group(self, key):
        word = self.load(self.word_at(key))
        return field("directory", "page", word) * PAGE, field("directory", "depth", word)

    def chain(self, group, bucket):
        at = group + RUN_HEADER + bucket * BUCKET
        while at:
            yield at
            at = self.load(at + STRUCT["bucket"]["link"]) & IN_PLACE

    def key_at(self, offset):
        size = self.load(offset + STRUCT["record"]["key_len"], 2) + 1
        extra = self.load(offset + STRUCT["record"]["flags"], 1) & ENUM["record_flag"]["EXTRA"]
        at = offset + STRUCT["record"][""] + (STRUCT["extra"][""] if extra else 0)
        return bytes(self.data[at : at + size])

    def find(self, key):
        """Where the key's slot is, or None."""
        if not self.load(self.shard(self.shard_of(key), "root")):
            return None
        for bucket in self.chain(self.group(key)[0], self.bucket_of(key)):
            for slot in range(bucket, bucket + 8 * SLOTS, 8):
                word = self.load(slot)
                if word and self.key_at(word & IN_PLACE) == key:
                    return slot
        return None

    def directory_cell(self, depth):
        offset, cls = self.take_room(STRUCT["directory"][""] + (8 << depth))
        self.store(offset + STRUCT["directory"]["version"], self.next_version())
        self.store(offset + STRUCT["directory"]["depth"], depth)
        return offset, cls

    def root_word(self, offset, cls, depth):
        return pack("root", unit=offset >> 4, depth=depth, **{"class": cls})

    def group_word(self, group, depth):
        return pack("directory", page=group // PAGE, depth=depth)

    def first_group(self, index):
        offset, cls = self.directory_cell(0)
        self.store(offset + STRUCT["directory"][""], self.group_word(self.take_run(1, "GROUP", index=index), 0))
        self.store(self.shard(index, "root"), self.root_word(offset, cls, 0))

    def empty_slot(self, group, bucket):
        """The first empty slot of a bucket; its chain is made longer if there is none."""
        for at in self.chain(group, bucket):
            for slot in range(at, at + 8 * SLOTS, 8):
                if not self.load(slot):
                    return slot
        cell = self.overflow_bucket()
        self.store(at + STRUCT["bucket"]["link"], cell_word(cell, BUCKET_CLASS))
        return cell

    def overflow_bucket(self):
        cell = self.take_cell(BUCKET_CLASS)
        self.copy_in(cell, bytes(BUCKET))
        return cell

    def slot_word(self, offset, cls, key):
        return pack("slot", unit=offset >> 4, tag=self.hash(key) >> 48, **{"class": cls})

    def put(self, key, value, **how):
        index = self.shard_of(key)
        if not self.load(self.shard(index, "root")):
            self.first_group(index)
        offset, cls = self.record(key, value, **how)
        slot = self.find(key)
        old = self.load(slot) if slot else 0
        if not slot:
            slot = self.empty_slot(self.group(key)[0], self.bucket_of(key))
            self.add(self.shard(index, "count"), 1)
        self.store(slot, self.slot_word(offset, cls, key))
        self.add(self.shard(index, "changes"), 1)
        if old:
            self.return_cell(old & IN_PLACE, field("slot", "class", old))

    def named_lock(self, key, owner, value=b""):
        """A named lock: a hidden entry beside a key that may be there as well."""
        index = self.shard_of(key)
        if not self.load(self.shard(index, "root")):
            self.first_group(index)
        offset, cls = self.record(key, value, owner=owner, hidden=True)
        self.store(self.empty_slot(self.group(key)[0], self.bucket_of(key)), self.slot_word(offset, cls, key))
        self.add(self.shard(index, "changes"), 1)

    def delete(self, key):
        slot = self.find(key)
        old = self.load(slot)
        self.store(slot, 0)
        self.add(self.shard(self.shard_of(key), "count"), -1)
        self.add(self.shard(self.shard_of(key), "changes"), 1)
        self.return_cell(old & IN_PLACE, field("slot", "class", old))

    # ---------------------------------------------------------------- growth

    def doubled(self, index):
        """A directory of twice the size that nothing names: (offset, class, depth)."""
        old, _, depth = self.root(index)
        offset, cls = self.directory_cell(depth + 1)
        words = self.data[old + STRUCT["directory"][""] : old + STRUCT["directory"][""] + (8 << depth)]
        self.copy_in(offset + STRUCT["directory"][""], words * 2)
        return offset, cls, depth + 1

    def halves(self, key):
        """The two groups that the key's group would be split into, which nothing names."""
        old, depth = self.group(key)
        index = self.shard_of(key)
        halves = [self.take_run(1, "GROUP", index=index) for _ in "01"]
        for bucket in range(BUCKETS):
            for at in self.chain(old, bucket):
                for slot in range(at, at + 8 * SLOTS, 8):
                    word = self.load(slot)
                    if word:
                        half = self.hash(self.key_at(word & IN_PLACE)) >> self.bits + depth & 1
                        self.store(self.empty_slot(halves[half], bucket), word)
        return halves

    def split_fills(self, key, halves):
        """The two fills of spec 6.8: (first word's offset, value, stride, number)."""
        directory, _, root_depth = self.root(self.shard_of(key))
        _, depth = self.group(key)
        prefix = self.hash(key) >> self.bits & (1 << depth) - 1
        first = directory + STRUCT["directory"][""]
        return [(first + 8 * (prefix | half << depth), self.group_word(halves[half], depth + 1),
                 16 << depth, 1 << root_depth - depth - 1) for half in (0, 1)]

    def fill(self, at, value, stride, number):
        for i in range(number):
            self.store(at + i * stride, value)

    def return_group(self, group):
        for bucket in range(BUCKETS):
            for at in list(self.chain(group, bucket))[1:]:
                self.return_cell(at, BUCKET_CLASS)
        self.return_run(group)

    def split(self, key):
        """Split the key's group, doubling the directory if it must be."""
        index = self.shard_of(key)
        if self.group(key)[1] == self.root(index)[2]:
            old, old_class, _ = self.root(index)
            self.store(self.shard(index, "root"), self.root_word(*self.doubled(index)))
            self.return_cell(old, old_class)
        old, halves = self.group(key)[0], self.halves(key)
        for each in self.split_fills(key, halves):
            self.fill(*each)
        self.return_group(old)

    # --------------------------------------------------------------- intents

    def lock(self, at, slot=0):
        """The lock at this offset is held by a slot's owner, who is dead."""
        self.die(slot)
        self.store(at, pack("lock", owner=slot + 1, generation=1), 4)

    def intent(self, struct, at, op, entries, always=False, slot=0):
        """An active intent in the block at `at`, and its lock held by the dead owner of `slot`.

        An entry is (offset, value), or (offset, value, stride, number) for a fill."""
        self.lock(at + STRUCT[struct]["lock"], slot)
        pairs = []
        for offset, value, *rest in entries:
            pairs.append((offset | (1 << 63 if rest else 0), value))
            pairs += [tuple(rest)] if rest else []
        first = at + STRUCT[struct]["entries"]
        for i, (offset, value) in enumerate(pairs):
            self.store(first + 16 * i, offset)
            self.store(first + 16 * i + 8, value)
        self.store(at + STRUCT[struct]["intent"],
                   pack("intent", active=1, always=int(always), count=len(pairs), owner=slot + 1, op=ENUM["op"][op]))
