"""A digest of Arrow rows by their values and order alone.

Neither how rows are cut into batches nor pyarrow's version changes it.
"""

from __future__ import annotations

import hashlib
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


class ContentDigest:
    """Take in batches of one schema; equal rows in equal order give equal digests.

    Required columns have no nulls.

    One hash a buffer of a column (lengths apart from bytes), so that where a batch ends leaves no
    trace.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._columns = [
            _Nullable(field.type) if field.nullable else _hasher(field.type) for field in schema
        ]
        self._names = list(schema.names)
        self._rows = 0

    def add(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Take in the next rows."""
        self._rows += batch.num_rows
        for column, hasher in zip(batch.columns, self._columns, strict=True):
            for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                hasher.add(chunk)

    def hexdigest(self) -> str:
        """The digest of all rows so far, with the names and types of their columns."""
        whole = hashlib.sha256(f"{self._rows}".encode())
        for name, hasher in zip(self._names, self._columns, strict=True):
            whole.update(f"\0{name}\0{hasher.hexdigest()}".encode())
        return whole.hexdigest()


class _FixedWidth:
    def __init__(self, kind: str, width: int) -> None:
        self._width = width
        self._values = hashlib.sha256(kind.encode())

    def add(self, array: Any) -> None:
        start, length = array.offset * self._width, len(array) * self._width
        if length:
            self._values.update(memoryview(array.buffers()[1])[start : start + length])

    def hexdigest(self) -> str:
        return self._values.hexdigest()


class _Text:
    def __init__(self) -> None:
        self._lengths = _FixedWidth("string", 4)
        self._bytes = hashlib.sha256()

    def add(self, array: Any) -> None:
        if not len(array):
            return
        self._lengths.add(pc.binary_length(array))
        offsets, data = array.buffers()[1:3]
        ends = memoryview(offsets).cast("i")
        first, last = ends[array.offset], ends[array.offset + len(array)]
        if last > first:
            self._bytes.update(memoryview(data)[first:last])

    def hexdigest(self) -> str:
        return f"{self._lengths.hexdigest()}{self._bytes.hexdigest()}"


class _Map:
    def __init__(self) -> None:
        self._lengths = _FixedWidth("map", 4)
        self._keys = _Text()
        self._values = _Text()

    def add(self, array: Any) -> None:
        if not len(array):
            return
        offsets = array.offsets
        self._lengths.add(pc.subtract(offsets[1:], offsets[:-1]))
        first = offsets[0].as_py()
        entries = offsets[-1].as_py() - first
        self._keys.add(array.keys.slice(first, entries))
        self._values.add(array.items.slice(first, entries))

    def hexdigest(self) -> str:
        return f"{self._lengths.hexdigest()}{self._keys.hexdigest()}{self._values.hexdigest()}"


class _Nullable:
    """Which values there are, and all of them with a zero in place of null."""

    def __init__(self, kind: Any) -> None:
        self._zero = pa.scalar(_zero(kind), kind)
        self._there = _FixedWidth("there", 1)
        self._values = _hasher(kind)

    def add(self, array: Any) -> None:
        self._there.add(array.is_valid().cast(pa.int8()))
        self._values.add(array.fill_null(self._zero))

    def hexdigest(self) -> str:
        return f"{self._there.hexdigest()}{self._values.hexdigest()}"


def _zero(kind: Any) -> object:
    if pa.types.is_string(kind):
        return ""
    if pa.types.is_boolean(kind):
        return False
    if pa.types.is_date32(kind):
        return date(1970, 1, 1)
    return Decimal(0) if pa.types.is_decimal128(kind) else 0


class _Bool:
    def __init__(self) -> None:
        self._values = _FixedWidth("bool", 1)

    def add(self, array: Any) -> None:
        self._values.add(array.cast(pa.int8()))  # eight of them share a byte

    def hexdigest(self) -> str:
        return self._values.hexdigest()


def _hasher(kind: Any) -> _FixedWidth | _Text | _Map | _Bool:
    if pa.types.is_string(kind):
        return _Text()
    if (
        pa.types.is_map(kind)
        and pa.types.is_string(kind.key_type)
        and pa.types.is_string(kind.item_type)
    ):
        return _Map()
    if pa.types.is_boolean(kind):
        return _Bool()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_date32(kind):
        return _FixedWidth({"double": "float64"}.get(str(kind), str(kind)), kind.bit_width // 8)
    if pa.types.is_timestamp(kind):
        return _FixedWidth(f"timestamp {kind.unit} {kind.tz or ''}", 8)
    if pa.types.is_decimal128(kind):
        return _FixedWidth(f"decimal {kind.precision} {kind.scale}", 16)
    raise TypeError(f"no digest for {kind}")
