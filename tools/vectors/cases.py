"""The vectors: each function builds one image and says what it must yield."""

import itertools

from segment import (BUCKET, BUCKET_CLASS, BUCKETS, CONSTANT, ENUM, IN_PLACE, PAGE, RUN_HEADER, SIZES, SLOTS, STRUCT, Image,
                     cell_word, class_for, field, pack)

VALID, CORRUPT = [], []


class Vector:
    """One file and its line in the manifest.

    attach           result of attaching for writing
    frozen           every change is EFROZEN
    attach_readonly  result of attaching read-only
    list             result of listing all entries, ANY if that is left open; those of `entries` are
                     found by get in any case
    damaged          keys whose get is ECORRUPT
    absent           keys whose get is ENOTFOUND, though their bytes are there
    verify           result of verifying; intents applied
    """

    def __init__(self, data, entries, description, attach="OK", attach_readonly=None, list="OK", verify="OK", damaged=(), absent=(), frozen=False):
        self.data = bytes(data)
        self.description = description
        self.attach = attach
        self.attach_readonly = attach if attach_readonly is None else attach_readonly
        self.list = list if self.attach_readonly == "OK" else self.attach_readonly
        self.verify = verify if self.attach_readonly == "OK" else self.attach_readonly
        self.entries = {k: v if isinstance(v, tuple) else (v, "BYTES") for k, v in entries.items()}
        self.damaged = damaged
        self.absent = absent
        self.frozen = frozen


def valid(function):
    VALID.append((function.__name__.replace("_", "-"), function))
    return function


def corrupt(function):
    CORRUPT.append((function.__name__.replace("_", "-"), function))
    return function


def pattern(n, first=0):
    """n bytes that repeat every 251."""
    return (bytes((first + i) % 251 for i in range(251)) * (n // 251 + 1))[:n]


def keys_where(image, condition, prefix=b"k"):
    """Keys prefix0, prefix1, … that fulfil a condition on (shard, bucket, directory bits)."""
    for i in itertools.count():
        key = prefix + str(i).encode()
        h = image.hash(key)
        if condition(h & image.shards - 1, image.bucket_of(key), h >> image.bits):
            yield key


def same_bucket(image, n, shard=0, bucket=5):
    return list(itertools.islice(keys_where(image, lambda s, b, _: (s, b) == (shard, bucket)), n))


def fruits(image):
    """A few entries in both shards."""
    entries = {b"apple": b"red", b"banana": b"yellow", b"cherry": b"dark red", b"date": b"brown",
               b"elderberry": b"black", b"fig": b"", b"grape": b"green"}
    for key, value in entries.items():
        image.put(key, value)
    return entries


# ---------------------------------------------------------------------- valid


@valid
def empty(image):
    return Vector(image.data, {}, "A new segment; no shard has a directory.")


@valid
def one_key(image):
    image.put(b"key", b"value")
    return Vector(image.data, {b"key": b"value"}, "One entry; one shard has a directory, the other none.")


@valid
def few_keys(image):
    return Vector(image.data, fruits(image), "A few entries in both shards, one with an empty value.")


@valid
def default_geometry(_):
    image = Image("default-geometry", shards=CONSTANT["DEFAULT_SHARDS"], arenas=CONSTANT["DEFAULT_ARENAS"], owners=16)
    entries = fruits(image)
    return Vector(image.data, entries, "64 shards and 16 arenas.")


@valid
def one_shard(_):
    image = Image("one-shard", shards=1, arenas=1, owners=1)
    entries = fruits(image)
    return Vector(image.data, entries, "The smallest geometry: one shard, one arena, one owner slot.")


@valid
def keys_bytes(image):
    entries = {b"\0": b"one NUL", b"\0\0": b"two", b"a\0b": b"inside", b"\xff\xfe": b"not UTF-8",
               "h\u00e9".encode(): b"UTF-8", b"\r\n": b"line end", b" ": b"blank", b"\x80" * 8: b"eight",
               bytes(range(256)): b"all bytes"}
    for key, value in entries.items():
        image.put(key, value)
    return Vector(image.data, entries, "Keys of any bytes.")


@valid
def keys_lengths(image):
    entries = {pattern(n, n % 200): str(n).encode() for n in
               (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 127, 128, 129, 239, 240, 241, 255, 256, 257, 1000, 1024, 1025)}
    for key, value in entries.items():
        image.put(key, value)
    return Vector(image.data, entries, "Keys of every length at which the hash takes another way.")


@valid
def key_longest(image):
    entries = {pattern(65536): b"64 KiB", pattern(65535): b"one less"}
    for key, value in entries.items():
        image.put(key, value)
    return Vector(image.data, entries, "The longest key, and one a byte shorter; both in large runs.")


@valid
def values_bytes(image):
    entries = {b"empty": b"", b"nul": b"\0", b"nuls": bytes(100), b"all": bytes(range(256)), b"invalid": b"\xc3\x28"}
    for key, value in entries.items():
        image.put(key, value)
    return Vector(image.data, entries, "Values of any bytes, and an empty one.")


@valid
def values_sizes(image):
    entries = {}
    for cls, size in enumerate(SIZES[2:25], 2):
        room = size - STRUCT["record"][""] - 8  # the key has at most 8 bytes
        entries[b"full%d" % cls] = pattern(room, cls)
        entries[b"more%d" % cls] = pattern(room + 1, cls)
    for key, value in entries.items():
        image.put(key, value)
    return Vector(image.data, entries, "Records that just fill a cell of each small class, and one byte more.")


@valid
def value_medium(image):
    entries = {b"medium": pattern(10000)}
    image.put(b"medium", pattern(10000))
    return Vector(image.data, entries, "A record in a medium slab, which starts on a multiple of eight pages.")


@valid
def value_large(image):
    entries = {b"large": pattern(20000), b"page-end": pattern(2 * PAGE * 3 - RUN_HEADER - 16 - 8), b"small": b"s"}
    for key, value in entries.items():
        image.put(key, value)
    return Vector(image.data, entries, "Two records in runs of their own (class 0), one filling its run to the last byte.")


@valid
def types(image):
    entries = {b"bytes": (b"\xff\0", "BYTES"), b"text": ("h\u00e9llo".encode(), "TEXT"),
               b"int64": ((-7).to_bytes(8, "little", signed=True), "INT64"),
               b"float64": (bytes.fromhex("000000000000f83f"), "FLOAT64"), b"boolean": (b"\x01", "BOOLEAN"),
               b"null": (b"", "NULL"), b"json": (b"[1,{\"a\":null}]", "JSON")}
    for key, (value, kind) in entries.items():
        image.put(key, value, type=kind)
    return Vector(image.data, entries, "One value of each type.")


@valid
def overwritten(image):
    for i in range(50):
        image.put(b"counter", str(i).encode())
    image.put(b"grown", b"x")
    image.put(b"grown", pattern(500))
    image.put(b"shrunk", pattern(500))
    image.put(b"shrunk", b"x")
    entries = {b"counter": b"49", b"grown": pattern(500), b"shrunk": b"x"}
    return Vector(image.data, entries, "Overwritten values, in the same class and into others; cells lie free.")


@valid
def deleted(image):
    entries = fruits(image)
    for i in range(100):
        image.put(b"gone%d" % i, pattern(i))
    for i in range(100):
        image.delete(b"gone%d" % i)
    return Vector(image.data, entries, "A hundred entries came and went; slabs and runs lie free.")


@valid
def all_deleted(image):
    for key in list(fruits(image)):
        image.delete(key)
    return Vector(image.data, {}, "No entry, but directories and groups.")


@valid
def overflow_chain(image):
    keys = same_bucket(image, 3 * SLOTS + 2)
    for key in keys:
        image.put(key, b"v" + key)
    return Vector(image.data, {k: b"v" + k for k in keys}, "One bucket with three overflow buckets.")


@valid
def overflow_holes(image):
    keys = same_bucket(image, 3 * SLOTS)
    for key in keys:
        image.put(key, b"v" + key)
    for key in keys[:SLOTS]:
        image.delete(key)
    return Vector(image.data, {k: b"v" + k for k in keys[SLOTS:]}, "A chain whose first bucket is empty again.")


@valid
def split_once(image):
    entries = {}
    for key in itertools.islice(keys_where(image, lambda s, b, d: s == 0), 60):
        image.put(key, b"v" + key)
        entries[key] = b"v" + key
    image.split(key)
    return Vector(image.data, entries, "A directory of depth 1: one split.")


@valid
def split_uneven(image):
    entries = {}
    keys = list(itertools.islice(keys_where(image, lambda s, b, d: s == 0), 120))
    for key in keys:
        image.put(key, b"v" + key)
        entries[key] = b"v" + key
    zeros = next(k for k in keys if image.hash(k) >> image.bits & 7 == 0)
    for _ in range(3):
        image.split(zeros)
    return Vector(image.data, entries, "A directory of depth 3 whose groups have depths 1, 2, 3 and 3.")


@valid
def split_chain(image):
    keys = same_bucket(image, 4 * SLOTS)
    for key in keys:
        image.put(key, b"v" + key)
    image.split(keys[0])
    return Vector(image.data, {k: b"v" + k for k in keys}, "A split of a group that has overflow buckets.")


@valid
def reached_depth(image):
    image.put(b"key", b"value")
    for _ in range(7):
        image.split(b"key")
    return Vector(image.data, {b"key": b"value"}, "A directory of 128 words, in a cell of another class; most groups are empty.")


@valid
def extra_future(image):
    image.put(b"lasting", b"value", expiry=1 << 63)
    image.put(b"plain-extra", b"value", expiry=0, owner=0)
    return Vector(image.data, {b"lasting": b"value", b"plain-extra": b"value"},
                  "Records with the optional part: an expiry in the year 2262, and none.")


@valid
def extra_expired(image):
    image.put(b"lasting", b"value")
    image.put(b"expired", b"value", expiry=1)
    return Vector(image.data, {b"lasting": b"value"}, "An entry that expired in 1970; it still counts until it is swept.",
                  absent=[b"expired"])


@valid
def extra_owner(image):
    image.die(2)
    image.put(b"of-this-owner", b"value", owner=1 << 32 | 3)
    image.put(b"of-an-earlier-owner", b"value", owner=7 << 32 | 3)
    image.put(b"of-a-free-slot", b"value", owner=1 << 32 | 1)
    return Vector(image.data, {},
                  "Entries that die with an owner: slot 2 is live with generation 1 (a dead process; not reaped yet).",
                  absent=[b"of-this-owner", b"of-an-earlier-owner", b"of-a-free-slot"])


@valid
def hidden_entries(image):
    image.die(2)
    image.put(b"both", b"value")
    image.named_lock(b"both", 1 << 32 | 3, (77).to_bytes(8, "little"))
    image.named_lock(b"lock-alone", 1 << 32 | 3, (77).to_bytes(8, "little"))
    image.named_lock(b"lock-of-the-dead", 7 << 32 | 3, (78).to_bytes(8, "little"))
    return Vector(image.data, {b"both": b"value"},
                  "Named locks: entries that no get, walk or count knows, one of them beside a key of the same name.",
                  absent=[b"lock-alone", b"lock-of-the-dead"])


@valid
def default_ttl(image):
    entries = fruits(image)
    image.set_header(default_ttl_ns=1 << 62)
    return Vector(image.data, entries, "A default time to live is for those who write: what has no end is there for ever.")


@valid
def unknown_compat(image):
    entries = fruits(image)
    image.set_header(compat=1 << 40)
    return Vector(image.data, entries, "An unknown compatible feature: carry on.")


@valid
def unknown_ro_compat(image):
    entries = fruits(image)
    image.set_header(ro_compat=1 << 40)
    return Vector(image.data, entries, "An unknown read-compatible feature: read-only.", attach="EFORMAT", attach_readonly="OK")


@valid
def longer_than_limit(image):
    entries = fruits(image)
    return Vector(image.data + bytes(5 * PAGE), entries, "Death between reserving pages and raising the limit.")


@valid
def unused_bytes(image):
    entries = fruits(image)
    image.copy_in(STRUCT["header"]["boot"] + 8, b"\xaa" * 100)
    image.copy_in(image.owner(3, "name") + 40, b"\xaa" * 8)
    return Vector(image.data, entries, "Unused bytes that are not zero: ignored.")


@valid
def frozen(image):
    entries = fruits(image)
    image.store(STRUCT["header"]["frozen"], 1)
    return Vector(image.data, entries, "Frozen: to be read only.", frozen=True)


@valid
def rebooted(image):
    entries = fruits(image)
    image.lock(image.shard(0, "lock"))
    image.store(STRUCT["header"]["boot"], 1)
    return Vector(image.data, entries, "Last found whole before a reboot, and whole; a shard is locked by a dead owner.")


@valid
def marked_slots(image):
    entries = fruits(image)
    slot = image.find(b"apple")
    image.store(slot, image.load(slot) | 1)
    return Vector(image.data, entries, "A slot with a mark, which is ignored.")


def cache(image):
    """Fruits in a segment that evicts, with what it keeps account of."""
    entries = fruits(image)
    image.set_header(ro_compat=1, max_entries=2000, max_bytes=1 << 20)
    for index in range(image.shards):
        slots = (image.load(image.find(k)) for k in entries if image.shard_of(k) == index)
        image.store(image.shard(index, "bytes"), sum(SIZES[field("slot", "class", word)] for word in slots))
    return entries


@valid
def evicts(image):
    entries = cache(image)
    slot = image.find(b"apple")
    image.store(slot, image.load(slot) | 1)
    image.store(image.shard(0, "hand"), pack("hand", place=3, bucket=62, prefix=0x80000000))
    image.store(image.shard(1, "hand"), (1 << 64) - 1)
    image.store(image.shard(0, "evictions"), 1000)
    return Vector(image.data, entries, "A segment with bounds on entries and bytes; one slot has a mark, and one hand makes no sense.")


def evict(image, key):
    """Up to the commit. What is to be stored after it."""
    index, slot = image.shard_of(key), image.find(key)
    word = image.load(slot)
    cls = field("slot", "class", word)
    entries = [(slot, 0), (image.owner(0, "victim"), cell_word(word & IN_PLACE, cls))]
    for name, more in (("count", -1), ("changes", 1), ("bytes", -SIZES[cls]), ("evictions", 1)):
        entries.append((image.shard(index, name), image.load(image.shard(index, name)) + more))
    image.intent("shard", image.shard(index, "lock"), "DELETE", entries)
    image.store(slot, 0)
    return entries[1:]


@valid
def mid_evict(image):
    entries = cache(image)
    del entries[b"apple"]
    (at, word), *_ = evict(image, b"apple")
    image.store(at, word)
    return Vector(image.data, entries, "An eviction, dead after the commit and one more store.", absent=[b"apple"])


@valid
def mid_evict_returning(image):
    entries = cache(image)
    offset, cls = image.record(b"evicted", b"x")
    image.die()
    image.store(image.owner(0, "victim"), cell_word(offset, cls))
    return Vector(image.data, entries, "Dead before the cell of an evicted record was returned.", absent=[b"evicted"])


def left_group(image):
    run = image.take_run(1, "GROUP", index=0)
    cell = image.overflow_bucket()
    image.store(run + RUN_HEADER + STRUCT["bucket"]["link"], cell_word(cell, BUCKET_CLASS))
    image.store(run, image.load(run) & ~0xFF | ENUM["run_kind"]["LEFT"])


@valid
def left_behind(image):
    entries = cache(image)
    left_group(image)
    return Vector(image.data, entries, "A group that was split in a segment that evicts stays, with its overflow bucket.")


@valid
def idle_intent(image):
    entries = fruits(image)
    first = image.shard(0, "entries")
    image.store(first, 0xFFFF_FFFF_FFFF_FFF8)
    image.store(first + 8, 0x1234)
    return Vector(image.data, entries, "Entries of an idle intent mean nothing.")


# --- in the middle of operations, by an owner that died


@valid
def mid_lock_held(image):
    entries = fruits(image)
    image.lock(image.shard(0, "lock"))
    image.lock(image.shard(1, "lock"))
    return Vector(image.data, entries, "Both shards locked by a dead owner, nothing begun.")


@valid
def mid_lock_waiters(image):
    entries = fruits(image)
    image.lock(image.shard(0, "lock"))
    image.store(image.shard(0, "lock"), image.load(image.shard(0, "lock"), 4) | 1 << 31, 4)
    return Vector(image.data, entries, "A shard locked by a dead owner, with the waiters bit.")


@valid
def mid_lock_all(image):
    entries = fruits(image)
    for at in (image.shard(0, "lock"), image.shard(1, "lock"), image.arenas_at, image.space):
        image.lock(at)
    return Vector(image.data, entries, "Every lock held by a dead owner.")


@valid
def mid_lock_old_generation(image):
    entries = fruits(image)
    image.lock(image.shard(0, "lock"))
    image.store(image.owner(0, "state"), pack("owner_state", state=0, generation=2))
    return Vector(image.data, entries, "A lock that names a generation of an owner slot that is over.")


@valid
def mid_build(image):
    entries = fruits(image)
    offset, cls = image.record(b"new", b"value")
    image.store(offset, image.load(offset) - 1)
    image.die()
    image.store(image.owner(0, "cell"), cell_word(offset, cls))
    return Vector(image.data, entries, "A dead owner with a half-built record, of odd version, in its hand.")


@valid
def mid_built(image):
    entries = fruits(image)
    offset, cls = image.record(b"new", b"value")
    image.die()
    image.store(image.owner(0, "cell"), cell_word(offset, cls))
    return Vector(image.data, entries, "A dead owner with a finished record that was not published.", absent=[b"new"])


@valid
def mid_build_large(image):
    entries = fruits(image)
    offset, cls = image.record(b"new", pattern(30000))
    image.die()
    image.store(image.owner(0, "cell"), cell_word(offset, cls))
    return Vector(image.data, entries, "A dead owner with a large run in its hand.")


def put_intent(image, key, value):
    """A put that is ready to commit: the entries of its intent. Spec 6.3 step 7."""
    index = image.shard_of(key)
    offset, cls = image.record(key, value)
    slot = image.find(key)
    old = image.load(slot) if slot else 0
    image.store(image.owner(0, "cell"), cell_word(offset, cls))
    entries = [(slot or image.empty_slot(image.group(key)[0], image.bucket_of(key)), image.slot_word(offset, cls, key)),
               (image.owner(0, "cell"), cell_word(old & IN_PLACE, field("slot", "class", old)) if old else 0)]
    if not slot:
        entries.append((image.shard(index, "count"), image.load(image.shard(index, "count")) + 1))
    entries.append((image.shard(index, "changes"), image.load(image.shard(index, "changes")) + 1))
    image.intent("shard", image.shard(index, "lock"), "PUT", entries)
    return entries


@valid
def mid_put_uncommitted(image):
    entries = fruits(image)
    put_intent(image, b"apple", b"green")
    return Vector(image.data, entries, "An overwriting put, dead before its commit: the old value.")


@valid
def mid_put_committed(image):
    entries = fruits(image)
    (slot, word), *_ = put_intent(image, b"apple", b"green")
    image.store(slot, word)
    return Vector(image.data, entries | {b"apple": b"green"}, "An overwriting put, dead right after its commit: the new value.")


@valid
def mid_put_new_uncommitted(image):
    entries = fruits(image)
    put_intent(image, b"new", b"value")
    return Vector(image.data, entries, "A put of a new key, dead before its commit: no such key.", absent=[b"new"])


@valid
def mid_put_new_committed(image):
    entries = fruits(image)
    (slot, word), *_ = put_intent(image, b"new", b"value")
    image.store(slot, word)
    return Vector(image.data, entries | {b"new": b"value"}, "A put of a new key, dead right after its commit; the count is behind.")


@valid
def mid_put_half(image):
    entries = fruits(image)
    for at, word in put_intent(image, b"new", b"value")[:3]:
        image.store(at, word)
    return Vector(image.data, entries | {b"new": b"value"}, "A put, dead between the stores of its entries.")


@valid
def mid_put_finished(image):
    entries = fruits(image)
    index = image.shard_of(b"new")
    for at, word in put_intent(image, b"new", b"value"):
        image.store(at, word)
    image.store(image.shard(index, "intent"), 0)
    return Vector(image.data, entries | {b"new": b"value"}, "A put, dead after its intent and before the release of the lock.")


@valid
def mid_replay(image):
    entries = fruits(image)
    index = image.shard_of(b"new")
    (slot, word), *_ = put_intent(image, b"new", b"value")
    image.store(slot, word)
    image.lock(image.shard(index, "lock"), slot=1)
    return Vector(image.data, entries | {b"new": b"value"}, "A dead owner's put that another dead owner was replaying.")


def delete_intent(image, key):
    index, slot = image.shard_of(key), image.find(key)
    old = image.load(slot)
    entries = [(slot, 0), (image.owner(0, "cell"), cell_word(old & IN_PLACE, field("slot", "class", old))),
               (image.shard(index, "count"), image.load(image.shard(index, "count")) - 1),
               (image.shard(index, "changes"), image.load(image.shard(index, "changes")) + 1)]
    image.intent("shard", image.shard(index, "lock"), "DELETE", entries)
    return entries


@valid
def mid_delete_uncommitted(image):
    entries = fruits(image)
    delete_intent(image, b"apple")
    return Vector(image.data, entries, "A delete, dead before its commit.")


@valid
def mid_delete_committed(image):
    entries = fruits(image)
    (slot, word), *_ = delete_intent(image, b"apple")
    image.store(slot, word)
    del entries[b"apple"]
    return Vector(image.data, entries, "A delete, dead right after its commit.", absent=[b"apple"])


def first_group_intent(image):
    offset, cls = image.directory_cell(0)
    group = image.take_run(1, "GROUP", index=0)
    image.store(offset + STRUCT["directory"][""], image.group_word(group, 0))
    image.store(image.owner(0, "dir"), cell_word(offset, cls))
    image.store(image.owner(0, "low"), group)
    entries = [(image.shard(0, "root"), image.root_word(offset, cls, 0)), (image.owner(0, "dir"), 0), (image.owner(0, "low"), 0)]
    image.intent("shard", image.shard(0, "lock"), "GROUP", entries)
    return entries


@valid
def mid_group_uncommitted(image):
    first_group_intent(image)
    return Vector(image.data, {}, "The first group of a shard, not published.")


@valid
def mid_group_committed(image):
    (root, word), *_ = first_group_intent(image)
    image.store(root, word)
    return Vector(image.data, {}, "The first group of a shard, published; its owner still names it.")


def crowded(image):
    entries = {}
    for key in itertools.islice(keys_where(image, lambda s, b, d: s == 0), 80):
        image.put(key, b"v" + key)
        entries[key] = b"v" + key
    return entries, key


def double_intent(image, key):
    index = image.shard_of(key)
    old, old_class, _ = image.root(index)
    new = image.doubled(index)
    image.store(image.owner(0, "dir"), cell_word(*new[:2]))
    entries = [(image.shard(index, "root"), image.root_word(*new)), (image.owner(0, "dir"), cell_word(old, old_class))]
    image.intent("shard", image.shard(index, "lock"), "DOUBLE", entries)
    return entries


@valid
def mid_double_uncommitted(image):
    entries, key = crowded(image)
    double_intent(image, key)
    return Vector(image.data, entries, "A doubled directory, not published.")


@valid
def mid_double_committed(image):
    entries, key = crowded(image)
    (root, word), *_ = double_intent(image, key)
    image.store(root, word)
    return Vector(image.data, entries, "A doubled directory, published; its owner does not name the old one yet.")


def split_intent(image, key):
    index = image.shard_of(key)
    old, halves = image.group(key)[0], image.halves(key)
    image.store(image.owner(0, "low"), halves[0])
    image.store(image.owner(0, "high"), halves[1])
    changes = image.shard(index, "changes")
    entries = [(image.owner(0, "low"), 0), (image.owner(0, "high"), 0), (image.owner(0, "old"), old),
               (changes, image.load(changes) + 1), *image.split_fills(key, halves)]
    image.intent("shard", image.shard(index, "lock"), "SPLIT", entries, always=True)
    return entries


def ready_to_split(image):
    entries, key = crowded(image)
    index = image.shard_of(key)
    for _ in range(2):  # a directory of four words, all of them the one group's
        old, old_class, _ = image.root(index)
        image.store(image.shard(index, "root"), image.root_word(*image.doubled(index)))
        image.return_cell(old, old_class)
    return entries, key


@valid
def mid_split_building(image):
    entries, key = ready_to_split(image)
    low, high = image.halves(key)
    image.die()
    image.store(image.owner(0, "low"), low)
    image.store(image.owner(0, "high"), high)
    image.lock(image.shard(0, "lock"))
    return Vector(image.data, entries, "A split, dead while building the two new groups.")


@valid
def mid_split_begun(image):
    entries, key = ready_to_split(image)
    split_intent(image, key)
    return Vector(image.data, entries, "A split, dead right after its commit: no directory word swings yet.")


@valid
def mid_split_half(image):
    entries, key = ready_to_split(image)
    *owner, low, _ = split_intent(image, key)
    for at, word in owner:
        image.store(at, word)
    image.store(low[0], low[1])
    return Vector(image.data, entries, "A split, dead within the first fill: one directory word of four names the low group, the others the old one.")


@valid
def mid_split_returning(image):
    entries, key = ready_to_split(image)
    old = image.group(key)[0]
    halves = image.halves(key)
    for each in image.split_fills(key, halves):
        image.fill(*each)
    image.die()
    image.store(image.owner(0, "old"), old)
    return Vector(image.data, entries, "A split, dead before the old group was returned.")


@valid
def mid_chain(image):
    keys = same_bucket(image, SLOTS)
    for key in keys:
        image.put(key, b"v" + key)
    spare = [image.overflow_bucket() for _ in range(2)]
    image.store(spare[0] + STRUCT["bucket"]["link"], cell_word(spare[1], BUCKET_CLASS))
    image.store(image.owner(0, "spare"), cell_word(spare[0], BUCKET_CLASS))
    last = image.group(keys[0])[0] + RUN_HEADER + image.bucket_of(keys[0]) * BUCKET
    image.intent("shard", image.shard(0, "lock"), "CHAIN", [
        (image.owner(0, "spare"), cell_word(spare[1], BUCKET_CLASS)), (spare[0] + STRUCT["bucket"]["link"], 0),
        (last + STRUCT["bucket"]["link"], cell_word(spare[0], BUCKET_CLASS))], always=True)
    image.store(image.owner(0, "spare"), cell_word(spare[1], BUCKET_CLASS))
    return Vector(image.data, {k: b"v" + k for k in keys}, "An overflow bucket on its way from the owner's chain; a second one stays behind.")


@valid
def mid_alloc(image):
    entries = fruits(image)
    cls = class_for(32)
    slab = image.load(image.partial(cls))
    word = image.load(slab + STRUCT["run"]["slab"])
    cell = slab + RUN_HEADER + field("slab", "carved", word) * SIZES[cls]
    image.intent("arena", image.arenas_at, "ALLOC", [
        (slab + STRUCT["run"]["slab"], word + pack("slab", used=1, carved=1)),
        (image.owner(0, "cell"), cell_word(cell, cls))], always=True)
    image.store(slab + STRUCT["run"]["slab"], word + pack("slab", used=1, carved=1))
    return Vector(image.data, entries, "Taking a cell, dead between the arena's word and the owner's.")


@valid
def mid_free(image):
    entries = fruits(image)
    offset, cls = image.record(b"withdrawn", b"x")
    slab = image.slab_of(offset, cls)
    word = image.load(slab + STRUCT["run"]["slab"])
    index = (offset - slab - RUN_HEADER) // SIZES[cls] + 1
    image.store(image.owner(0, "cell"), cell_word(offset, cls))
    image.intent("arena", image.arenas_at, "FREE", [
        (offset + 8, field("slab", "free", word)),
        (slab + STRUCT["run"]["slab"], word - pack("slab", used=1) + pack("slab", free=index)),
        (image.owner(0, "cell"), 0)], always=True)
    image.store(offset + 8, field("slab", "free", word))
    return Vector(image.data, entries, "Returning a cell, dead after the first of three stores.")


@valid
def mid_slab(image):
    entries = fruits(image)
    run = image.take_run(1, "LARGE")
    image.die()
    image.store(image.owner(0, "run"), run)
    return Vector(image.data, entries, "A run for a slab that the arena does not have yet.")


@valid
def mid_extend(image):
    entries = fruits(image)
    limit, pages = image.limit, 8
    runs = list(image.runs())
    last, head = runs[-1]
    image.data.extend(bytes(pages * PAGE))
    image.intent("space", image.space, "EXTEND", [
        (limit, image.free_head(pages)), (limit + STRUCT["run"]["prev_pages"], field("run", "pages", head)),
        (image.space + STRUCT["space"]["bins"] + 8 * (pages - 1), limit),
        (image.space + STRUCT["space"]["last"], limit),
        (image.space + STRUCT["space"]["limit"], limit + pages * PAGE)], always=True)
    assert field("run", "kind", head) != ENUM["run_kind"]["FREE"]
    image.store(limit, image.free_head(pages))
    return Vector(image.data, entries, "Growing, dead within the intent; the pages are there already.")


@valid
def mid_reap(image):
    entries = fruits(image)
    offset, cls = image.record(b"withdrawn", b"x")
    slab = image.slab_of(offset, cls)
    word = image.load(slab + STRUCT["run"]["slab"])
    index = (offset - slab - RUN_HEADER) // SIZES[cls] + 1
    image.store(image.owner(0, "cell"), cell_word(offset, cls))
    image.intent("arena", image.arenas_at, "FREE", [
        (offset + 8, field("slab", "free", word)),
        (slab + STRUCT["run"]["slab"], word - pack("slab", used=1) + pack("slab", free=index)),
        (image.owner(0, "cell"), 0)], always=True)
    image.lock(image.arenas_at, slot=1)
    return Vector(image.data, entries, "A reaper of slot 0, itself in slot 1, that died: the intent names the slot whose field it changes.")


# --- in the middle of a transaction: apple is replaced, date removed, new put, in both shards

CHANGED = {b"apple": b"green", b"date": None, b"new": b"value", b"newer": b"value"}


def transaction_block(image, changes):
    """A block in slot 0's hand, whose cell words name the new records: (offset, {key: record})."""
    room = STRUCT["block"][""] + 8 * len(changes) + 16 * (2 * len(changes) + 2 * image.shards)
    block, cls = image.take_room(room)
    image.copy_in(block, bytes(room))
    records = {}
    for i, (key, value) in enumerate(changes.items()):
        if value is not None:
            records[key] = image.record(key, value)
            image.store(block + STRUCT["block"][""] + 8 * i, cell_word(*records[key]))
    image.die()
    image.store(image.owner(0, "txn"), pack("txn", unit=block >> 4, cells=len(changes), **{"class": cls}))
    return block, records


def transaction(image, changes):
    """A transaction that is ready to be decided, spec 6.15: where, its value, and its parts by shard."""
    block, records = transaction_block(image, changes)
    decision = image.next_version()
    at = block + STRUCT["block"][""] + 8 * len(changes)
    parts = {}
    for index in range(image.shards):
        part, grown = [], 0
        for i, (key, value) in enumerate(changes.items()):
            if image.shard_of(key) != index:
                continue
            slot = image.find(key)
            old = image.load(slot) if slot else 0
            if not slot:
                slot = image.empty_slot(image.group(key)[0], image.bucket_of(key))
                assert slot not in dict(part)
            part += [(slot, image.slot_word(*records[key], key) if value is not None else 0),
                     (block + STRUCT["block"][""] + 8 * i, cell_word(old & IN_PLACE, field("slot", "class", old)) if old else 0)]
            grown += (value is not None) - bool(old)
        assert part, "both shards take part"
        if grown:
            part.append((image.shard(index, "count"), image.load(image.shard(index, "count")) + grown))
        part.append((image.shard(index, "changes"), image.load(image.shard(index, "changes")) + 1))
        for i, (offset, value) in enumerate(part):
            image.store(at + 16 * i, offset)
            image.store(at + 16 * i + 8, value)
        image.intent("shard", image.shard(index, "lock"), "TRANSACTION", [(block, decision), (at | 1 << 62, len(part))])
        at += 16 * len(part)
        parts[index] = part
    return block, decision, parts


def changed(entries):
    entries = entries | CHANGED
    return {key: value for key, value in entries.items() if value is not None}


@valid
def mid_transaction_building(image):
    entries = fruits(image)
    transaction_block(image, CHANGED)
    return Vector(image.data, entries, "A transaction, dead with its block and its new records, before any lock.", absent=[b"new", b"newer"])


@valid
def mid_transaction_block(image):
    entries = fruits(image)
    block, cls = image.take_room(200)
    image.copy_in(block, b"\xa5" * 200)
    image.die()
    image.store(image.owner(0, "txn"), pack("txn", unit=block >> 4, cells=0, **{"class": cls}))
    return Vector(image.data, entries, "A transaction block whose cell words do not count yet, and hold anything.")


@valid
def mid_transaction_large(image):
    entries = fruits(image)
    many = {b"many%d" % i: b"v" for i in range(400)}
    transaction_block(image, many)
    return Vector(image.data, entries, "A dead owner with a transaction block of 400 records in a large run.")


@valid
def mid_transaction_undecided(image):
    entries = fruits(image)
    transaction(image, CHANGED)
    return Vector(image.data, entries, "A transaction, dead with all intents active, before its decision: the old values.", absent=[b"new", b"newer"])


@valid
def mid_transaction_decided(image):
    entries = fruits(image)
    block, decision, parts = transaction(image, CHANGED)
    image.store(block, decision)
    for part in parts.values():
        for offset, value in part[: 2 * (len(part) // 2) : 2]:
            if offset >= image.data_offset:
                image.store(offset, value)
    return Vector(image.data, changed(entries), "A transaction, dead after its decision and after all slots; cell words and counts are behind.",
                  absent=[b"date"])


@valid
def mid_transaction_half(image):
    entries = fruits(image)
    block, decision, parts = transaction(image, CHANGED)
    image.store(block, decision)
    for offset, value in parts[0]:
        image.store(offset, value)
    image.store(image.shard(0, "intent"), 0)
    image.store(image.shard(0, "lock"), 0, 4)
    for offset, value in parts[1][:-1]:
        image.store(offset, value)
    return Vector(image.data, changed(entries), "A transaction, dead after its first shard and all but one store of its second.", absent=[b"date"])


@valid
def mid_transaction_returning(image):
    entries = fruits(image)
    block, decision, parts = transaction(image, CHANGED)
    image.store(block, decision)
    for index, part in parts.items():
        for offset, value in part:
            image.store(offset, value)
        image.store(image.shard(index, "intent"), 0)
        image.store(image.shard(index, "lock"), 0, 4)
    first = block + STRUCT["block"][""]
    image.return_cell(image.load(first) & IN_PLACE, field("cell", "class", image.load(first)))
    image.store(first, 0)
    return Vector(image.data, changed(entries), "A transaction, dead while it returned the old records.", absent=[b"date"])


@valid
def mid_replace(image):
    entries = fruits(image)
    image.store(STRUCT["header"]["state"], ENUM["segment_state"]["REPLACING"])
    for index in (0, 1):
        image.lock(image.shard(index, "lock"))
    return Vector(image.data, entries, "A replacer that died before its commit: the name still leads here.")


# -------------------------------------------------------------------- corrupt


def refused(image, error, description, data=None):
    return Vector(image.data if data is None else data, {}, description, attach=error)


@corrupt
def zero_length(image):
    return refused(image, "EFOREIGN", "An empty file.", data=b"")


@corrupt
def short_magic(image):
    return refused(image, "EFOREIGN", "Seven bytes of the magic.", data=image.data[:7])


@corrupt
def not_a_segment(image):
    return refused(image, "EFOREIGN", "A page of something else.", data=b"#!/bin/sh\nexit 0\n" + bytes(PAGE))


@corrupt
def all_zero(image):
    return refused(image, "EFOREIGN", "Zeros.", data=bytes(3 * PAGE))


@corrupt
def bad_magic(image):
    image.store(0, image.load(0, 1) ^ 1, 1)
    return refused(image, "EFOREIGN", "One bit of the magic is wrong.")


@corrupt
def text_mode(image):
    fruits(image)
    return refused(image, "EFOREIGN", "A copy made in text mode: carriage returns are gone.",
                   data=bytes(image.data).replace(b"\r\n", b"\n"))


def truncated(size, description):
    def build(image):
        fruits(image)
        return refused(image, "ECORRUPT", description, data=image.data[:size])
    build.__name__ = f"truncated_{abs(size)}" if size > 0 else "truncated_end"
    corrupt(build)


truncated(8, "Cut off after the magic.")
truncated(20, "Cut off within the header.")
truncated(PAGE - 1, "Cut off one byte before the end of the header.")
truncated(PAGE, "Cut off after the header.")
truncated(2 * PAGE, "Cut off within the blocks.")
truncated(4 * PAGE, "Cut off within the runs.")
truncated(-1, "Cut off one byte before the end.")


@corrupt
def bad_checksum(image):
    image.store(STRUCT["header"]["hash_seed"], 1)
    return refused(image, "ECORRUPT", "A sealed field differs from what was sealed.")


def header_field(name, value, error="ECORRUPT", description=None):
    def build(image):
        fruits(image)
        image.set_header(**{name: value})
        return refused(image, error, description or f"{name} is {value}.")
    build.__name__ = f"header_{name}_{value}" if not description else f"header_{name}"
    corrupt(build)


header_field("revision", 2, "EFORMAT")
header_field("revision", 0, "EFORMAT")
header_field("incompat", 1 << 40, "EFORMAT", "An unknown incompatible feature.")
header_field("header_size", 8192)
header_field("page_size", 65536)
header_field("shard_count", 0)
header_field("shard_count", 3)
header_field("shard_count", 2048)
header_field("arena_count", 0)
header_field("arena_count", 257)
header_field("owner_count", 0)
header_field("owner_count", 16385)
header_field("max_key", 65537)
header_field("max_value", 1 << 32)
header_field("owners_offset", 0, description="The owner slots lie over the header.")
header_field("shards_offset", 5000, description="The shards are not aligned.")
header_field("arenas_offset", 1 << 63, description="The arenas lie beyond everything.")
header_field("space_offset", (1 << 64) - 128, description="The space block's end is beyond 2^64.")
header_field("data_offset", 12288 + 512, description="The first run is not on a page.")


@corrupt
def blocks_overlap(image):
    image.set_header(arenas_offset=image.shards_at)
    return refused(image, "ECORRUPT", "Arenas and shards overlap.")


@corrupt
def state_unknown(image):
    image.store(STRUCT["header"]["state"], 9)
    return refused(image, "ECORRUPT", "A state that does not exist.")


@corrupt
def frozen_unknown(image):
    image.store(STRUCT["header"]["frozen"], 2)
    return refused(image, "ECORRUPT", "Frozen, with a value that is neither 0 nor 1.")


@corrupt
def limit_unaligned(image):
    fruits(image)
    image.add(image.space + STRUCT["space"]["limit"], -8)
    return refused(image, "ECORRUPT", "The limit is not on a page.")


@corrupt
def limit_low(image):
    fruits(image)
    image.store(image.space + STRUCT["space"]["limit"], PAGE)
    return refused(image, "ECORRUPT", "The limit is below the first run.")


@corrupt
def limit_beyond(image):
    fruits(image)
    image.store(image.space + STRUCT["space"]["limit"], 1 << 41)
    return refused(image, "ECORRUPT", "The limit is two tebibytes.")


def damaged_entry(damage, description):
    """A vector in which only the entry "apple" is damaged, by a function of image and slot."""
    def build(image):
        entries = fruits(image)
        damage(image, image.find(b"apple"))
        del entries[b"apple"]
        return Vector(image.data, entries, description, list="ECORRUPT", verify="ECORRUPT", damaged=[b"apple"])
    build.__name__ = damage.__name__
    return corrupt(build)


def damage(description):
    return lambda function: damaged_entry(function, description)


def change_unit(image, slot, offset):
    image.store(slot, image.load(slot) & ~IN_PLACE | offset)


@damage("A slot that leads beyond the file.")
def slot_beyond(image, slot):
    change_unit(image, slot, 1 << 41)


@damage("A slot that leads to the last 16 bytes of the file, where a whole cell has no room.")
def slot_at_end(image, slot):
    image.store(slot, pack("slot", unit=(len(image.data) - 16) >> 4, tag=image.hash(b"apple") >> 48, **{"class": class_for(1008)}))
    image.store(len(image.data) - 16, 2)
    image.store(len(image.data) - 8, 900 | 4 << 32)


@damage("A slot that leads into the header.")
def slot_in_header(image, slot):
    change_unit(image, slot, 16)


@damage("A slot with a size class that does not exist.")
def slot_class(image, slot):
    image.store(slot, pack("slot", unit=(image.load(slot) & IN_PLACE) >> 4, tag=image.hash(b"apple") >> 48, **{"class": 40}))


@damage("A slot of class 0 that leads into a slab.")
def slot_not_large(image, slot):
    image.store(slot, pack("slot", unit=(image.load(slot) & IN_PLACE) >> 4, tag=image.hash(b"apple") >> 48, **{"class": 0}))


@damage("A published record with an odd version.")
def version_odd(image, slot):
    record = image.load(slot) & IN_PLACE
    image.store(record, image.load(record) | 1)


@damage("A published record with version 0.")
def version_zero(image, slot):
    image.store(image.load(slot) & IN_PLACE, 0)


@damage("A key longer than its cell.")
def key_long(image, slot):
    image.store((image.load(slot) & IN_PLACE) + STRUCT["record"]["key_len"], 65535, 2)


@damage("A value longer than its cell.")
def value_long(image, slot):
    image.store((image.load(slot) & IN_PLACE) + STRUCT["record"]["value_len"], 0xFFFFFFFF, 4)


@damage("An optional part for which the cell has no room.")
def extra_long(image, slot):
    image.store((image.load(slot) & IN_PLACE) + STRUCT["record"]["flags"], 1, 1)
    image.store((image.load(slot) & IN_PLACE) + STRUCT["record"]["value_len"], 8, 4)


@corrupt
def large_value_long(image):
    image.put(b"large", pattern(20000))
    image.put(b"other", b"whole")
    record = image.load(image.find(b"large")) & IN_PLACE
    image.store(record + STRUCT["record"]["value_len"], 2 * PAGE * 3 - RUN_HEADER - 16 - 8 + 1, 4)
    return Vector(image.data, {b"other": b"whole"}, "A large record that is one byte longer than its run.",
                  list="ECORRUPT", verify="ECORRUPT", damaged=[b"large"])


def damaged_shard(description):
    """A vector in which shard 0 is damaged by the decorated function of the image, and shard 1 is whole."""
    def decorate(function):
        def build(image):
            entries = fruits(image)
            function(image)
            hit = [key for key in entries if image.shard_of(key) == 0]
            return Vector(image.data, {k: v for k, v in entries.items() if k not in hit}, description,
                          list="ECORRUPT", verify="ECORRUPT", damaged=hit)
        build.__name__ = function.__name__
        return corrupt(build)
    return decorate


@damaged_shard("A root that leads beyond the file.")
def root_beyond(image):
    image.store(image.shard(0, "root"), image.root_word(1 << 41, 1, 0))


@damaged_shard("A root into the header.")
def root_in_header(image):
    image.store(image.shard(0, "root"), image.root_word(64, 1, 0))


@damaged_shard("A directory of depth 63.")
def root_depth(image):
    offset, cls, _ = image.root(0)
    image.store(image.shard(0, "root"), image.root_word(offset, cls, 63))


@damaged_shard("A directory of depth 5 in a cell of 32 bytes.")
def root_cell(image):
    offset, cls, _ = image.root(0)
    image.store(image.shard(0, "root"), image.root_word(offset, cls, 5))


def directory_word(image, word):
    image.store(image.root(0)[0] + STRUCT["directory"][""], word)


@damaged_shard("A directory word that is 0.")
def directory_zero(image):
    directory_word(image, 0)


@damaged_shard("A directory word that leads beyond the file.")
def directory_beyond(image):
    directory_word(image, image.group_word(1 << 41, 0))


@damaged_shard("A directory word that leads into the header.")
def directory_in_header(image):
    directory_word(image, image.group_word(0, 0) | 1 << 54)


@corrupt
def directory_depth(image):
    entries = fruits(image)
    directory_word(image, image.load(image.root(0)[0] + STRUCT["directory"][""]) | 7 << 48)
    return Vector(image.data, {k: v for k, v in entries.items() if image.shard_of(k)},
                  "A group deeper than its directory; whether its entries are found is left open.", list="ANY", verify="ECORRUPT")


def damaged_chain(function):
    """A vector whose chain is damaged after the first bucket: (image, first bucket)."""
    def build(image):
        keys = same_bucket(image, 2 * SLOTS)
        absent = same_bucket(image, 2 * SLOTS + 1)[-1]
        for key in keys:
            image.put(key, b"v" + key)
        image.put(b"other", b"whole")
        first = image.group(keys[0])[0] + RUN_HEADER + image.bucket_of(keys[0]) * BUCKET
        lost = function(image, first)
        found = keys[:SLOTS] if lost else keys
        entries = {k: b"v" + k for k in found} | {b"other": b"whole"}
        return Vector(image.data, entries, function.__doc__, list="ECORRUPT", verify="ECORRUPT",
                      damaged=[k for k in keys if k not in found] + [absent])
    build.__name__ = function.__name__
    return corrupt(build)


@damaged_chain
def chain_loop(image, first):
    """A chain of overflow buckets that leads back to itself."""
    second = image.load(first + STRUCT["bucket"]["link"])
    image.store((second & IN_PLACE) + STRUCT["bucket"]["link"], second)
    return False


@damaged_chain
def chain_beyond(image, first):
    """A link that leads beyond the file."""
    image.store(first + STRUCT["bucket"]["link"], cell_word(1 << 41, BUCKET_CLASS))
    return True


@damaged_chain
def chain_unaligned(image, first):
    """A link to the middle of a bucket."""
    image.add(first + STRUCT["bucket"]["link"], 16)
    return True


def contradiction(function):
    """A vector that reads well, and that verifying finds wrong: (image, entries) -> None."""
    def build(image):
        entries = fruits(image)
        function(image)
        return Vector(image.data, entries, function.__doc__, verify="ECORRUPT")
    build.__name__ = function.__name__
    return corrupt(build)


@contradiction
def count_wrong(image):
    """A shard that counts one entry too many."""
    image.add(image.shard(0, "count"), 1)


@contradiction
def version_not_given(image):
    """A record with a version that its owner slot will give again, as after a power failure."""
    image.store(image.owner(0, "version"), 1 << 48 | 2)


@corrupt
def rebooted_damaged(image):
    entries = fruits(image)
    image.add(image.shard(0, "count"), 1)
    image.store(STRUCT["header"]["boot"], 1)
    return Vector(image.data, entries, "Last found whole before a reboot, and a count that is wrong.", attach="ECORRUPT",
                  attach_readonly="OK", verify="ECORRUPT")


@corrupt
def key_twice(image):
    entries = fruits(image)
    slot = image.find(b"apple")
    offset, cls = image.record(b"apple", b"green")
    image.store(slot + 8 * (SLOTS - 1), image.slot_word(offset, cls, b"apple"))
    image.add(image.shard(image.shard_of(b"apple"), "count"), 1)
    return Vector(image.data, {k: v for k, v in entries.items() if k != b"apple"}, "One key in two slots of its bucket.",
                  list="ANY", verify="ECORRUPT")


@corrupt
def wrong_place(image):
    entries = fruits(image)
    slot = image.find(b"apple")
    first = image.group(b"apple")[0] + RUN_HEADER
    bucket = next(b for b in range(BUCKETS) if b != image.bucket_of(b"apple") and not image.load(first + b * BUCKET))
    image.store(first + bucket * BUCKET, image.load(slot))
    image.store(slot, 0)
    del entries[b"apple"]
    return Vector(image.data, entries, "An entry in a bucket that is not its own: a get does not find it.", list="ANY",
                  verify="ECORRUPT", absent=[b"apple"])


@contradiction
def run_kind(image):
    """A run of a kind that does not exist."""
    at, head = next((a, h) for a, h in image.runs() if field("run", "kind", h) == ENUM["run_kind"]["SLAB"])
    image.store(at, head & ~0xFF | 9)


@contradiction
def run_left(image):
    """A group that was left in a segment that does not evict."""
    left_group(image)


@contradiction
def run_no_pages(image):
    """A run of no pages."""
    at, head = next((a, h) for a, h in image.runs() if field("run", "kind", h) == ENUM["run_kind"]["SLAB"])
    image.store(at, head & 0xFFFFFFFF)


@contradiction
def run_beyond(image):
    """A last run that is longer than the segment."""
    at, head = list(image.runs())[-1]
    image.store(at, head & 0xFFFFFFFF | 0xFFFFFFFF << 32)


@contradiction
def run_prev_pages(image):
    """A run that is mistaken about the one before it."""
    at, _ = list(image.runs())[1]
    image.store(at + STRUCT["run"]["prev_pages"], 77)


@contradiction
def slab_used(image):
    """A slab with more cells in use than it has."""
    at, _ = next((a, h) for a, h in image.runs() if field("run", "kind", h) == ENUM["run_kind"]["SLAB"])
    image.store(at + STRUCT["run"]["slab"], pack("slab", used=5000, carved=5000))


@contradiction
def bytes_of_entries(image):
    """A shard that is mistaken about the bytes of its entries."""
    image.set_header(ro_compat=1, max_bytes=1 << 20)


@contradiction
def bytes_without_bound(image):
    """A shard that counts bytes that nobody bounds."""
    image.store(image.shard(0, "bytes"), 64)


@contradiction
def bound_exceeded(image):
    """A shard with more entries than its part of the bound."""
    image.set_header(ro_compat=1, max_entries=2)


@contradiction
def last_run(image):
    """A space block that names a wrong last run."""
    image.store(image.space + STRUCT["space"]["last"], image.data_offset + 64)


@contradiction
def intent_count(image):
    """An intent with more entries than there is room for."""
    image.intent("shard", image.shard(0, "lock"), "PUT", [(image.shard(0, "changes"), 1)], always=True)
    image.store(image.shard(0, "intent"), image.load(image.shard(0, "intent")) & ~0xFF00 | 200 << 8)


@contradiction
def intent_beyond(image):
    """An intent that would store beyond the file."""
    image.intent("shard", image.shard(0, "lock"), "PUT", [(1 << 41, 1)], always=True)


@contradiction
def intent_header(image):
    """An intent that would store into the header."""
    image.intent("shard", image.shard(0, "lock"), "PUT", [(STRUCT["header"]["hash_seed"], 1)], always=True)


@contradiction
def intent_fill(image):
    """An intent that would fill the whole address space."""
    image.intent("shard", image.shard(0, "lock"), "SPLIT", [(image.shard(0, "changes"), 1, 8, 1 << 60)], always=True)


def decided_list(image, at, count, slot=0):
    """A decided transaction whose intent in shard 0 has this list, counted from its block's end."""
    block, _ = transaction_block(image, {b"new": b"value"})
    decision = image.next_version()
    image.store(block, decision)
    end = block + STRUCT["block"][""] + 8 + 16 * 6
    image.copy_in(end - 16, image.shard(0, "changes").to_bytes(8, "little") + bytes(8))
    image.intent("shard", image.shard(0, "lock"), "TRANSACTION", [(block, decision), (end + at | 1 << 62, count)], slot=slot)


@contradiction
def list_beyond(image):
    """An intent whose list ends behind its transaction block."""
    decided_list(image, -16, 1000)


@contradiction
def list_elsewhere(image):
    """An intent whose list is in no transaction block."""
    decided_list(image, 1 << 40, 1)


@contradiction
def list_unaligned(image):
    """An intent whose list begins in the middle of an entry."""
    decided_list(image, -8, 1)


@contradiction
def list_without_block(image):
    """An intent with a list whose owner has no transaction block."""
    decided_list(image, -16, 1, slot=1)


@contradiction
def block_too_small(image):
    """An owner's transaction block with more cell words than fit it."""
    transaction_block(image, {b"new": b"value"})
    word = image.load(image.owner(0, "txn"))
    image.store(image.owner(0, "txn"), (word & (1 << 48) - 1) | 1000 << 48)
