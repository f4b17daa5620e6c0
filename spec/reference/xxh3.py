"""XXH3, 64 bits, with a seed, in plain Python. Spec 3.6.

Written from doc/xxhash_spec.md of the xxHash project, for the default secret. The names of the
lengths' ranges are those of that document.
"""

import struct

M64 = (1 << 64) - 1

P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MX1, MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")


def u32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def u64(data, at):
    return struct.unpack_from("<Q", data, at)[0]


def swap32(x):
    return int.from_bytes(x.to_bytes(4, "little"), "big")


def swap64(x):
    return int.from_bytes(x.to_bytes(8, "little"), "big")


def rotate(x, n):
    return (x << n | x >> (64 - n)) & M64


def fold(a, b):
    """The 128-bit product of two 64-bit numbers, its halves xored."""
    product = a * b
    return (product & M64) ^ (product >> 64)


def avalanche(h):
    h ^= h >> 37
    h = h * MX1 & M64
    return h ^ h >> 32


def avalanche_xxh64(h):
    h ^= h >> 33
    h = h * P64_2 & M64
    h ^= h >> 29
    h = h * P64_3 & M64
    return h ^ h >> 32


def hash_small(data, seed):
    """0 to 16 bytes."""
    n = len(data)
    if n > 8:
        low = (u64(SECRET, 24) ^ u64(SECRET, 32)) + seed & M64
        high = (u64(SECRET, 40) ^ u64(SECRET, 48)) - seed & M64
        low ^= u64(data, 0)
        high ^= u64(data, n - 8)
        return avalanche(n + swap64(low) + high + fold(low, high) & M64)
    if n >= 4:
        seed ^= swap32(seed & 0xFFFFFFFF) << 32
        value = u32(data, n - 4) | u32(data, 0) << 32
        h = value ^ ((u64(SECRET, 8) ^ u64(SECRET, 16)) - seed & M64)
        h ^= rotate(h, 49) ^ rotate(h, 24)
        h = h * MX2 & M64
        h ^= (h >> 35) + n
        h = h * MX2 & M64
        return h ^ h >> 28
    if n:
        value = data[n - 1] | n << 8 | data[0] << 16 | data[n >> 1] << 24
        return avalanche_xxh64(value ^ ((u32(SECRET, 0) ^ u32(SECRET, 4)) + seed & M64))
    return avalanche_xxh64(seed ^ u64(SECRET, 56) ^ u64(SECRET, 64))


def mix16(data, at, secret_at, seed):
    return fold(u64(data, at) ^ (u64(SECRET, secret_at) + seed & M64),
                u64(data, at + 8) ^ (u64(SECRET, secret_at + 8) - seed & M64))


def hash_medium(data, seed):
    """17 to 240 bytes."""
    n = len(data)
    acc = n * P64_1
    if n <= 128:
        for i in range((n - 1) // 32, -1, -1):
            acc += mix16(data, 16 * i, 32 * i, seed) + mix16(data, n - 16 * (i + 1), 32 * i + 16, seed)
        return avalanche(acc & M64)
    for i in range(8):
        acc += mix16(data, 16 * i, 16 * i, seed)
    acc = avalanche(acc & M64)
    for i in range(8, n // 16):
        acc += mix16(data, 16 * i, 16 * (i - 8) + 3, seed)
    acc += mix16(data, n - 16, 136 - 17, seed)
    return avalanche(acc & M64)


def accumulate(acc, data, at, secret, secret_at):
    """One stripe of 64 bytes."""
    lanes = struct.unpack_from("<8Q", data, at)
    keys = struct.unpack_from("<8Q", secret, secret_at)
    for i in range(8):
        key = lanes[i] ^ keys[i]
        acc[i ^ 1] = acc[i ^ 1] + lanes[i] & M64
        acc[i] = acc[i] + (key & 0xFFFFFFFF) * (key >> 32) & M64


def hash_large(data, seed):
    """More than 240 bytes."""
    n = len(data)
    secret = b"".join(
        struct.pack("<QQ", u64(SECRET, i) + seed & M64, u64(SECRET, i + 8) - seed & M64)
        for i in range(0, 192, 16)) if seed else SECRET
    acc = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]
    stripes = (192 - 64) // 8
    block = 64 * stripes
    keys = struct.unpack_from("<8Q", secret, 192 - 64)
    blocks = (n - 1) // block
    for b in range(blocks):
        for s in range(stripes):
            accumulate(acc, data, b * block + 64 * s, secret, 8 * s)
        for i in range(8):
            acc[i] = (acc[i] ^ acc[i] >> 47 ^ keys[i]) * P32_1 & M64
    for s in range((n - 1 - blocks * block) // 64):
        accumulate(acc, data, blocks * block + 64 * s, secret, 8 * s)
    accumulate(acc, data, n - 64, secret, 192 - 64 - 7)
    h = n * P64_1
    for i in range(4):
        h += fold(acc[2 * i] ^ u64(secret, 11 + 16 * i), acc[2 * i + 1] ^ u64(secret, 19 + 16 * i))
    return avalanche(h & M64)


def xxh3_64(data, seed=0):
    """The hash of some bytes."""
    if len(data) <= 16:
        return hash_small(data, seed)
    if len(data) <= 240:
        return hash_medium(data, seed)
    return hash_large(data, seed)
