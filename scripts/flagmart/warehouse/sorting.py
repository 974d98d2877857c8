"""Rows in order, in the memory of a few of them: sorted in parts on the disk, then merged.

DuckDB's own sort fails where rows are long: 176,000 of 2 KB are more than 384 MB can hold of it.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import ExitStack, closing
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

PART_BYTES = 32 * 1024 * 1024
"""Sorted at once."""
BLOCK_BYTES = 256 * 1024
"""Of a part, read at once: while parts are merged, one block of each may wait for the others.

Measured: blocks of 128 KB take twice as long as those of 512 KB to pack and unpack, 2 million
messages a tenth longer in blocks of 256 KB.
"""
BATCH_ROWS = 8_192

_Key = tuple[tuple[bool, Any], ...]


@dataclass(frozen=True)
class _Part:
    """A file of sorted rows."""

    file: IO[bytes]
    """Without a name, so that nothing of it stays where this process is killed."""
    first_keys: list[_Key]
    """Of each of its blocks."""


def in_order(
    batches: Generator[pa.RecordBatch, None, None], by: Sequence[str], folder: Path
) -> Generator[pa.RecordBatch, None, None]:
    """The rows of `batches`, ordered by columns; texts by their bytes, nulls last.

    Args:
        batches: of one schema, in any order.
        by: the columns.
        folder: for what does not fit into memory; made where it is missing.
    """
    with closing(batches), ExitStack() as opened:

        def file() -> IO[bytes]:
            folder.mkdir(parents=True, exist_ok=True)
            return opened.enter_context(TemporaryFile(dir=folder))

        parts: list[_Part] = []
        held: list[pa.RecordBatch] = []
        size = 0
        for batch in batches:
            held.append(batch)
            size += batch.nbytes
            if size >= PART_BYTES:
                parts.append(_written(held, by, file()))
                size = 0
        if parts and held:
            parts.append(_written(held, by, file()))
        if parts:
            batches.close()
            pa.default_memory_pool().release_unused()
            yield from _merged(parts, by)
        elif held:
            yield from _pieces(_sorted(held, by))


def _sorted(batches: list[pa.RecordBatch], by: Sequence[str]) -> pa.RecordBatch:
    """Of `batches`, which are given away: the list is empty afterwards."""
    # made one first: a table of many pieces takes twice as long to sort
    rows = pa.concat_batches(batches)
    batches.clear()
    return rows.take(pc.sort_indices(rows, [(column, "ascending") for column in by]))


def _pieces(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows.num_rows, BATCH_ROWS):
        yield rows.slice(start, BATCH_ROWS)


def _key(rows: pa.RecordBatch, row: int, by: Sequence[str]) -> _Key:
    values = [rows.column(column)[row].as_py() for column in by]
    return tuple((value is None, value) for value in values)


def _written(batches: list[pa.RecordBatch], by: Sequence[str], file: IO[bytes]) -> _Part:
    rows = _sorted(batches, by)
    step = max(1, BLOCK_BYTES * rows.num_rows // max(rows.nbytes, 1))
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(file, rows.schema, options=options) as writer:
        writer.write_table(pa.Table.from_batches([rows]), max_chunksize=step)
    file.flush()
    return _Part(file, [_key(rows, row, by) for row in range(0, rows.num_rows, step)])


def _merged(parts: list[_Part], by: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Block by block, in the order of their first rows: what is below the next one is complete."""
    blocks = sorted(
        (key, part, block)
        for part, of in enumerate(parts)
        for block, key in enumerate(of.first_keys)
    )
    readers = [pa.ipc.open_file(part.file) for part in parts]
    waiting: list[pa.RecordBatch] = []
    size = 0
    for number, (_, part, block) in enumerate(blocks, 1):
        waiting.append(readers[part].get_batch(block))
        size += waiting[-1].nbytes
        if number < len(blocks) and size < PART_BYTES // 2:
            continue
        rows = _sorted(waiting, by)
        complete = rows.num_rows
        if number < len(blocks):
            complete = _below(rows, blocks[number][0], by)
        yield from _pieces(rows.slice(0, complete))
        # a copy, as a slice would hold all of them
        waiting, size = [pa.concat_batches([rows.slice(complete)])], 0
        del rows
        # else what was freed piles up with the parts: 560 MB of 5 million messages, 430 so
        pa.default_memory_pool().release_unused()


def _below(rows: pa.RecordBatch, key: _Key, by: Sequence[str]) -> int:
    """How many rows come before the key."""
    return bisect_left(range(rows.num_rows), key, key=lambda row: _key(rows, row, by))
