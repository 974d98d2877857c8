"""The one source of chance: SplitMix64 as a counter-based hash of (seed, stream, index).

    key(seed, stream)      = mix(mix(seed) + stream)
    hash64(key, index)     = mix(key + (index + 1) * GOLDEN)

all modulo 2**64, with `mix` the finaliser of Steele, Lea and Flood, "Fast splittable pseudorandom
number generators" (2014). `columns.hash64` is the same on columns.
"""

from enum import IntEnum

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
SHIFTS = (30, 27, 31)


class Stream(IntEnum):
    """What a hash is for. A number here never changes: it is part of every stream ever made."""

    ENVIRONMENT = 1
    VARIATION_ID = 2
    BLOCK_ORDER = 3
    FOLLOW_UP = 4
    ARRIVAL = 5
    LATENESS = 6
    USER = 7
    FLAG = 8
    BUCKET = 9
    NAME = 10
    CONVERTS = 11
    VALUE = 12
    BACKGROUND = 13
    UUID_HIGH = 14
    UUID_LOW = 15
    FAULTY = 16
    FAULT_KIND = 17
    FAULT_DETAIL = 18
    APPLICATION = 19


def mix(value: int) -> int:
    """SplitMix64's finaliser, a bijection on 64-bit numbers."""
    value ^= value >> SHIFTS[0]
    value = value * MULTIPLIERS[0] & MASK
    value ^= value >> SHIFTS[1]
    value = value * MULTIPLIERS[1] & MASK
    return value ^ value >> SHIFTS[2]


def key(seed: int, stream: Stream) -> int:
    """The key of one stream of hashes."""
    return mix((mix(seed & MASK) + stream) & MASK)


def hash64(stream_key: int, index: int) -> int:
    """64 even bits for `index`."""
    return mix((stream_key + (index + 1) * GOLDEN) & MASK)


def guid(stream_key: int, index: int) -> str:
    """A version 4 uuid made of two hashes."""
    high, low = hash64(stream_key, 2 * index), hash64(stream_key, 2 * index + 1)
    digits = f"{high:016x}{low:016x}"
    variant = "89ab"[low >> 62]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
