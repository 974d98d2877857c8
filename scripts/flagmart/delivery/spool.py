"""Messages on their way out: ids, kept for good, and payloads, kept until they are sent."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flagmart import durable
from flagmart.ahead import ahead
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from datetime import datetime
    from pathlib import Path

    from flagmart.destinations.endpoint import Endpoint

Body = tuple[bytes | memoryview, ...]
"""Of a request, in pieces."""
_ID_ROWS = 65_536
"""Read at once."""


@dataclass(frozen=True)
class Batch:
    """Messages for one request: the rows of a spool from `first` on, counted from 0."""

    first: int
    messages: pa.BinaryArray
    key: str = ""
    """What they have in common, where the endpoint says by what batches are made."""

    @property
    def last(self) -> int:
        """The last row, included."""
        return self.first + len(self.messages) - 1

    def body(self, endpoint: Endpoint) -> Body:
        """The texts of the relation joined together, never rendered anew.

        So a message has the same bytes whenever and however often it is sent. All in Arrow's
        memory, which is used again: half a megabyte of Python's own is new to the system each
        time, and took three times as long. Copied once: the envelope stays beside it.
        """
        all_of_them = pa.Array.from_buffers(
            pa.list_(pa.binary()),
            1,
            [None, _offsets(len(self.messages))],
            children=[self.messages],
        )
        joined = pc.binary_join(all_of_them, _array(endpoint.separator)[0])
        return endpoint.prefix, memoryview(joined.buffers()[2]).cast("B"), endpoint.suffix

    def halves(self) -> tuple[Batch, Batch]:
        """The first half and the second, of a batch of two messages or more."""
        middle = len(self.messages) // 2
        return self.part(0, middle), self.part(middle, len(self.messages))

    def part(self, start: int, end: int) -> Batch:
        """The messages from `start` to before `end`, counted from 0 in the batch."""
        return Batch(self.first + start, self.messages.slice(start, end - start), self.key)


def _offsets(end: int) -> pa.Buffer:
    return pa.py_buffer(np.array([0, end], np.int32))


def _array(value: bytes) -> pa.BinaryArray:
    """`pa.array` would look for pandas, whose import takes a second."""
    buffers = [None, _offsets(len(value)), pa.py_buffer(value)]
    return pa.Array.from_buffers(pa.binary(), 1, buffers)


def write(
    batches: Generator[pa.RecordBatch, None, None],
    ids: Path,
    payloads: Path,
    what: str,
    max_rows: int | None = None,
) -> dict[datetime, int]:
    """Write the spool; both files are on the disk when it returns.

    Args:
        batches: `ingested_at`, `message_id`, `payload` and, where batches have a key, `batch_key`,
            in the order of sending.
        ids: file to keep; parquet with the one column `message_id`.
        payloads: file to send from; Arrow's own, with `payload` and `batch_key`, row by row beside
            `ids`.
        what: the relation, for messages.
        max_rows: how many to take at most.

    Returns:
        Number of rows of each `ingested_at`, in the order they stand in the spool.

    Raises:
        FlagmartError: a row without message id, payload or key.
    """
    rows: dict[datetime, int] = {}
    id_schema = pa.schema([pa.field("message_id", pa.string(), nullable=False)])
    payload_schema = pa.schema(
        [
            pa.field("payload", pa.binary(), nullable=False),
            pa.field("batch_key", pa.string()),
        ]
    )
    left = max_rows
    with (
        closing(ahead(batches)) as coming,
        pq.ParquetWriter(ids, id_schema, compression="zstd", use_dictionary=False) as id_writer,
        pa.ipc.new_file(
            payloads, payload_schema, options=pa.ipc.IpcWriteOptions(compression="lz4")
        ) as payload_writer,
    ):
        for whole in coming:
            batch = whole if left is None else whole.slice(0, left)
            if left is not None:
                left -= batch.num_rows
            keyed = "batch_key" in batch.schema.names
            keys = batch.column("batch_key") if keyed else pa.nulls(batch.num_rows, pa.string())
            for name, nulls in (
                ("message_id", batch.column("message_id").null_count),
                ("payload", batch.column("payload").null_count),
                ("a key to batch it by", keyed and keys.null_count),
            ):
                if nulls:
                    raise FlagmartError(f"{what} has rows without {name}; mend the model")
            for count in pc.value_counts(batch.column("ingested_at")):
                moment = count["values"].as_py()
                rows[moment] = rows.get(moment, 0) + count["counts"].as_py()
            id_writer.write_batch(pa.record_batch([batch.column("message_id")], schema=id_schema))
            payload_writer.write_batch(
                pa.record_batch(
                    [batch.column("payload").cast(pa.binary()), keys], schema=payload_schema
                )
            )
            if left == 0:
                break
    # the payloads may be lost with the machine; ids that were sent may not
    durable.sync_file(ids)
    durable.sync_folder(ids.parent)
    return rows


def largest_message(endpoint: Endpoint) -> int:
    """Bytes of the largest message that a request can carry."""
    envelope = len(endpoint.prefix) + len(endpoint.suffix)
    return min(endpoint.max_message_bytes, endpoint.max_body_bytes - envelope)


def batches(payloads: Path, endpoint: Endpoint) -> Iterator[Batch]:
    """Cut a spool into batches by key, number of messages and encoded bytes, envelope included.

    A message that no request can carry is a batch of its own.
    """
    with pa.OSFile(str(payloads)) as file, pa.ipc.open_file(file) as spool:
        waiting, row = pa.Table.from_batches([], spool.schema), 0
        for number in range(spool.num_record_batches):
            group = pa.Table.from_batches([spool.get_batch(number)])
            waiting = pa.concat_tables([waiting, group])
            ends = _ends(waiting, endpoint)
            if number + 1 < spool.num_record_batches:
                ends = ends[:-1]  # the next rows may belong to the last batch
            start = 0
            for end in ends:
                yield _batch(row + start, waiting.slice(start, end - start))
                start = end
            waiting, row = waiting.slice(start), row + start


def _ends(rows: pa.Table, endpoint: Endpoint) -> list[int]:
    """Where batches end: each as late as key, limits and messages too large let it."""
    lengths = np.from_dlpack(pc.binary_length(rows.column("payload")).combine_chunks())
    through = np.cumsum(lengths + len(endpoint.separator), dtype=np.int64)
    envelope = len(endpoint.prefix) + len(endpoint.suffix)
    room = endpoint.max_body_bytes - envelope + len(endpoint.separator)
    too_large = np.flatnonzero(lengths > largest_message(endpoint))
    stops = {*too_large.tolist(), *(too_large + 1).tolist(), rows.num_rows} - {0}
    if endpoint.batched_by is not None:
        keys = rows.column("batch_key").combine_chunks()
        changes = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1)).cast(pa.uint8())
        stops.update((np.flatnonzero(np.from_dlpack(changes)) + 1).tolist())
    ends, end = [], 0
    for stop in sorted(stops):
        while end < stop:
            before = int(through[end - 1]) if end else 0
            full = int(np.searchsorted(through, before + room, side="right"))
            end = min(max(full, end + 1), end + endpoint.max_messages, stop)
            ends.append(end)
    return ends


def _batch(first: int, rows: pa.Table) -> Batch:
    chunks = rows.column("payload").chunks
    messages = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
    return Batch(first, messages, rows.column("batch_key")[0].as_py() or "")


class Ids:
    """The ids of a spool by row; one row group of them is held."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)
        rows = [
            self._file.metadata.row_group(number).num_rows
            for number in range(self._file.num_row_groups)
        ]
        self._starts = [0, *accumulate(rows)]
        self._held = -1
        self._group: pa.ChunkedArray = pa.chunked_array([], pa.string())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def of(self, first: int, last: int) -> list[str]:
        """Of the rows from `first` to `last`, both included."""
        found: list[str] = []
        while first <= last:
            number = bisect_right(self._starts, first) - 1
            if number != self._held:
                self._group = self._file.read_row_group(number).column(0)
                self._held = number
            start, end = self._starts[number], min(last + 1, self._starts[number + 1])
            found += self._group.slice(first - start, end - first).to_pylist()
            first = end
        return found


def all_message_ids(ids: Path) -> Iterator[str]:
    """The ids of all rows of a spool, in order."""
    with pq.ParquetFile(ids) as file:
        for rows in file.iter_batches(batch_size=_ID_ROWS):
            yield from rows.column(0).to_pylist()
