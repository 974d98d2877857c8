"""Rows in order, in the memory of a few of them: sorted in parts on the disk, then merged.

What they are ordered by is merged by itself; it tells, row by row, from which part the next one
comes, and the other columns, which may be long, are only copied.

DuckDB's own sort fails where rows are long: 176,000 of 2 KB are more than 384 MB can hold of it.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import ExitStack, closing
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flagmart.ahead import ahead

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

PART_BYTES = 16 * 1024 * 1024
"""Sorted at once.

Measured: Arrow's memory of more than this comes from the system each time, and to copy into it
takes eight times as long.
"""
BLOCK_BYTES = 128 * 1024
"""Of a part, read at once: while parts are merged, one block of each may wait for the others.

Measured: larger ones are packed and unpacked faster, which the whole hardly notices; of 256 KB they
take 40 MB more for 2 million messages.
"""
KEY_BYTES = 32 * 1024
"""The same of what they are ordered by, which is sorted again with what waits."""
BATCH_ROWS = 8_192
BATCH_BYTES = 4 * 1024 * 1024
"""Given at once, or one row that is longer."""
_PART, _SIZE = "sorted in part", "bytes beside"
_BESIDE_KEYS = (pa.field(_PART, pa.uint32()), pa.field(_SIZE, pa.int64()))
# a thread for each buffer would only wait for it
_PACKED = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_UNPACKED = pa.ipc.IpcReadOptions(use_threads=False)

_Key = tuple[tuple[bool, Any], ...]


def in_order(
    batches: Generator[pa.RecordBatch, None, None], by: Sequence[str], folder: Path
) -> Generator[pa.RecordBatch, None, None]:
    """The rows of `batches`, ordered by columns; texts by their bytes, nulls last.

    Args:
        batches: of one schema, in any order.
        by: the columns, which are not long.
        folder: for what does not fit into memory; made where it is missing.
    """
    with ExitStack() as opened, closing(ahead(_sorted_parts(batches, by))) as coming:
        first = next(coming, None)
        second = next(coming, None)
        if first is None:
            return
        if second is None:
            yield from _pieces(first)
            return
        parts = _Parts(first.schema, by, folder, opened)
        parts.add([first, second])
        del first, second
        parts.add(coming)
        pa.default_memory_pool().release_unused()
        yield from parts.merged()


def _sorted_parts(
    batches: Generator[pa.RecordBatch, None, None], by: Sequence[str]
) -> Generator[pa.RecordBatch, None, None]:
    held: list[pa.RecordBatch] = []
    size = 0
    with closing(batches):
        for batch in batches:
            held.append(batch)
            size += batch.nbytes
            if size >= PART_BYTES:
                yield _sorted(held, by)
                size = 0
    if held:
        yield _sorted(held, by)


class _Parts:
    """Sorted parts on the disk: the columns that rows are ordered by, and beside them all others.

    Files have no name, so that nothing of them stays where this process is killed.
    """

    def __init__(
        self, schema: pa.Schema, by: Sequence[str], folder: Path, opened: ExitStack
    ) -> None:
        self._names = schema.names
        self._by = list(by)
        keys = pa.schema([*(schema.field(name) for name in by), *_BESIDE_KEYS])
        others = pa.schema([field for field in schema if field.name not in self._by])
        self._keys = opened.enter_context(_Blocks(folder, keys, KEY_BYTES))
        self._others = opened.enter_context(_Blocks(folder, others, BLOCK_BYTES))
        self._first_keys: list[_Key] = []
        """Of each block of keys."""
        self._starts: list[int] = []
        """Which block of the others is the first of each part."""

    def add(self, parts: Iterable[pa.RecordBatch]) -> None:
        """More of them, each of rows in order."""
        for rows in parts:
            others = rows.select(self._others.schema.names)
            part = np.full(rows.num_rows, len(self._starts), np.uint32)
            beside = _array(part, pa.uint32()), _array(_sizes(others), pa.int64())
            keys = pa.record_batch(
                [*rows.select(self._by).columns, *beside], schema=self._keys.schema
            )
            self._starts.append(self._others.count)
            self._others.write(others)
            for first in self._keys.write(keys):
                self._first_keys.append(_key(keys, first, self._by))

    def merged(self) -> Iterator[pa.RecordBatch]:
        """All rows in order, once all parts are there."""
        others = self._others.read()
        parts = [_Part(others, start) for start in self._starts]
        with closing(ahead(_merged(self._keys.read(), self._first_keys, self._by))) as merged:
            for keys in merged:
                for piece in _cut(keys):
                    columns = {name: piece.column(name) for name in self._by}
                    beside = _across(parts, np.from_dlpack(piece.column(_PART)))
                    columns |= dict(zip(beside.schema.names, beside.columns, strict=True))
                    yield pa.record_batch([columns[name] for name in self._names], self._names)
                # else what was freed piles up with the parts, in each thread for itself
                pa.default_memory_pool().release_unused()


class _Blocks:
    """A file of rows, written and read some at a time."""

    def __init__(self, folder: Path, schema: pa.Schema, size: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.schema = schema
        self._size = size
        self.count = 0
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._writer = pa.ipc.new_file(self._file, schema, options=_PACKED)

    def __enter__(self) -> _Blocks:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, rows: pa.RecordBatch) -> range:
        """Write them; back come the first rows of the blocks they are in now."""
        step = max(1, self._size * rows.num_rows // max(rows.nbytes, 1))
        starts = range(0, rows.num_rows, step)
        for start in starts:
            self._writer.write_batch(rows.slice(start, step))
        self.count += len(starts)
        return starts

    def read(self) -> pa.RecordBatchFileReader:
        """Its blocks; no more are written."""
        self._writer.close()
        self._file.flush()
        return pa.ipc.open_file(self._file, options=_UNPACKED)


class _Part:
    """The rows of a part, which follow each other in blocks."""

    def __init__(self, file: pa.RecordBatchFileReader, start: int) -> None:
        self._file = file
        self._block = start
        self._rest: pa.RecordBatch | None = None

    def next(self, count: int) -> Iterator[pa.RecordBatch]:
        """So many more."""
        while count:
            if self._rest is None:
                self._rest = self._file.get_batch(self._block)
                self._block += 1
            some = self._rest.slice(0, count)
            left = self._rest.num_rows - some.num_rows
            self._rest = self._rest.slice(some.num_rows) if left else None
            count -= some.num_rows
            yield some


def _across(parts: list[_Part], part: Any) -> pa.RecordBatch:
    """The next rows of parts, in the order in which `part` names them."""
    counts = np.bincount(part)
    pieces = [
        piece
        for which in np.flatnonzero(counts).tolist()
        for piece in parts[which].next(int(counts[which]))
    ]
    # as they stand part by part, and where each of them belongs
    place = np.empty(len(part), np.int64)
    place[np.argsort(part, kind="stable")] = np.arange(len(part))
    return pa.concat_batches(pieces).take(_array(place, pa.int64()))


def _merged(
    keys: pa.RecordBatchFileReader, first_keys: list[_Key], by: Sequence[str]
) -> Generator[pa.RecordBatch, None, None]:
    """Block by block, in the order of their first rows: what is below the next one is complete."""
    blocks = sorted((key, number) for number, key in enumerate(first_keys))
    waiting: list[pa.RecordBatch] = []
    size = 0
    for place, (_, number) in enumerate(blocks, 1):
        waiting.append(keys.get_batch(number))
        size += waiting[-1].nbytes
        if place < len(blocks) and size < PART_BYTES // 2:
            continue
        rows = _sorted(waiting, by)
        complete = rows.num_rows
        if place < len(blocks):
            complete = _below(rows, blocks[place][0], by)
        yield rows.slice(0, complete)
        # a copy, as a slice would hold all of them
        waiting, size = [pa.concat_batches([rows.slice(complete)])], 0
        del rows
        pa.default_memory_pool().release_unused()


def _sorted(batches: list[pa.RecordBatch], by: Sequence[str]) -> pa.RecordBatch:
    """Of `batches`, which are given away: the list is empty afterwards."""
    # made one first: a table of many pieces takes twice as long to sort
    rows = pa.concat_batches(batches)
    batches.clear()
    return rows.take(pc.sort_indices(rows, [(column, "ascending") for column in by]))


def _pieces(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows.num_rows, BATCH_ROWS):
        yield rows.slice(start, BATCH_ROWS)


def _cut(keys: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Rows in turn, as many as are given at once with all that stands beside them."""
    through = np.cumsum(np.from_dlpack(keys.column(_SIZE)))
    start = 0
    while start < keys.num_rows:
        before = int(through[start - 1]) if start else 0
        full = int(np.searchsorted(through, before + BATCH_BYTES, side="right"))
        end = min(max(full, start + 1), start + BATCH_ROWS)
        yield keys.slice(start, end - start)
        start = end


def _sizes(rows: pa.RecordBatch) -> Any:
    """Bytes of the texts of each row."""
    sizes = np.zeros(rows.num_rows, np.int64)
    nothing = _array(np.zeros(1, np.int32), pa.int32())[0]
    for column in rows.columns:
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            lengths = pc.fill_null(pc.binary_length(column), nothing)
            sizes += np.from_dlpack(lengths)
    return sizes


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    """Of numpy's; what takes a value of Python's looks for pandas, whose import takes a while."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _key(rows: pa.RecordBatch, row: int, by: Sequence[str]) -> _Key:
    values = [rows.column(column)[row].as_py() for column in by]
    return tuple((value is None, value) for value in values)


def _below(rows: pa.RecordBatch, key: _Key, by: Sequence[str]) -> int:
    """How many rows come before the key."""
    return bisect_left(range(rows.num_rows), key, key=lambda row: _key(rows, row, by))
