"""Arithmetic on Arrow columns of uint64, wrapping at 2**64, and the hash on top of it."""

from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flagmart.generate.hashing import GOLDEN, MULTIPLIERS, SHIFTS

Column = Any
"""A `pyarrow.Array`; pyarrow has no type hints."""


def u64(number: int) -> Any:
    """A scalar for kernels that would otherwise guess a signed or smaller type."""
    return pa.scalar(number, pa.uint64())


def add(column: Column, number: int) -> Column:
    """Column + number."""
    return pc.add(column, u64(number))


def times(column: Column, number: int) -> Column:
    """Column * number."""
    return pc.multiply(column, u64(number))


def over(column: Column, number: int) -> Column:
    """Column // number."""
    return pc.divide(column, u64(number))


def remainder(column: Column, divisor: Any) -> Column:
    """Column % divisor, a number or a column; older pyarrow has no kernel for it."""
    divisor = u64(divisor) if isinstance(divisor, int) else divisor
    return pc.subtract(column, pc.multiply(pc.divide(column, divisor), divisor))


def right(column: Column, bits: int) -> Column:
    """Column >> bits."""
    return pc.shift_right(column, u64(bits))


def low_bits(column: Column, mask: int) -> Column:
    """Column & mask."""
    return pc.bit_wise_and(column, u64(mask))


def mix(value: Column) -> Column:
    """`hashing.mix` on a column."""
    value = times(pc.bit_wise_xor(value, right(value, SHIFTS[0])), MULTIPLIERS[0])
    value = times(pc.bit_wise_xor(value, right(value, SHIFTS[1])), MULTIPLIERS[1])
    return pc.bit_wise_xor(value, right(value, SHIFTS[2]))


def hash64(stream_key: int, index: Column) -> Column:
    """`hashing.hash64` on a column of indexes."""
    return mix(add(times(add(index, 1), GOLDEN), stream_key))


def numbers(values: Any) -> Column:
    """A uint64 column from Python's whole numbers."""
    return pa.array(values, pa.uint64())


@lru_cache(maxsize=2)
def counting(length: int) -> Column:
    """The numbers from 0; kept, since a stream's chunks are of one length but for the last."""
    return numbers(range(length))
