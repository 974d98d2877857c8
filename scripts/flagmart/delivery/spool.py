"""Messages on their way out: ids, kept for good, and payloads, kept until they are sent."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flagmart import durable
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from datetime import datetime
    from pathlib import Path

    from flagmart.destinations.endpoint import Endpoint

_PAYLOAD_GROUP_ROWS = 8_192


@dataclass(frozen=True)
class Batch:
    """Messages for one request: the rows of a spool from `first` on, counted from 0."""

    first: int
    messages: tuple[bytes, ...]
    key: str = ""
    """What they have in common, where the endpoint says by what batches are made."""

    @property
    def last(self) -> int:
        """The last row, included."""
        return self.first + len(self.messages) - 1

    def body(self, endpoint: Endpoint) -> bytes:
        """The texts of the relation joined together, never rendered anew.

        So a message has the same bytes whenever and however often it is sent.
        """
        return endpoint.prefix + endpoint.separator.join(self.messages) + endpoint.suffix

    def halves(self) -> tuple[Batch, Batch]:
        """The first half and the second, of a batch of two messages or more."""
        middle = len(self.messages) // 2
        return self.part(0, middle), self.part(middle, len(self.messages))

    def part(self, start: int, end: int) -> Batch:
        """The messages from `start` to before `end`, counted from 0 in the batch."""
        return Batch(self.first + start, self.messages[start:end], self.key)


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
        payloads: file to send from; parquet with `payload` and `batch_key`, row by row beside
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
            pa.field("batch_key", pa.string(), nullable=False),
        ]
    )
    left = max_rows
    with (
        closing(batches),
        pq.ParquetWriter(ids, id_schema, compression="zstd", use_dictionary=False) as id_writer,
        pq.ParquetWriter(
            payloads,
            payload_schema,
            compression="snappy",
            use_dictionary=["batch_key"],
            write_statistics=False,
        ) as payload_writer,
    ):
        for whole in batches:
            batch = whole if left is None else whole.slice(0, left)
            if left is not None:
                left -= batch.num_rows
            keyed = "batch_key" in batch.schema.names
            keys = batch.column("batch_key") if keyed else pa.repeat("", batch.num_rows)
            for name, column in (
                ("message_id", batch.column("message_id")),
                ("payload", batch.column("payload")),
                ("a key to batch it by", keys),
            ):
                if column.null_count:
                    raise FlagmartError(f"{what} has rows without {name}; mend the model")
            for count in pc.value_counts(batch.column("ingested_at")):
                moment = count["values"].as_py()
                rows[moment] = rows.get(moment, 0) + count["counts"].as_py()
            id_writer.write_batch(pa.record_batch([batch.column("message_id")], schema=id_schema))
            payload_writer.write_batch(
                pa.record_batch(
                    [batch.column("payload").cast(pa.binary()), keys], schema=payload_schema
                ),
                row_group_size=_PAYLOAD_GROUP_ROWS,
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
    envelope = len(endpoint.prefix) + len(endpoint.suffix)
    largest = largest_message(endpoint)
    waiting: list[bytes] = []
    size, row, held = envelope, 0, ""
    keyed = endpoint.batched_by is not None
    with pq.ParquetFile(payloads) as file:
        for rows in file.iter_batches(
            _PAYLOAD_GROUP_ROWS, columns=["payload", *(["batch_key"] if keyed else [])]
        ):
            messages = rows.column("payload").to_pylist()
            keys = rows.column("batch_key").to_pylist() if keyed else repeat("", len(messages))
            for message, key in zip(messages, keys, strict=True):
                length = len(message) + (len(endpoint.separator) if waiting else 0)
                if waiting and (
                    size + length > endpoint.max_body_bytes
                    or len(waiting) == endpoint.max_messages
                    or len(message) > largest
                    or key != held
                ):
                    yield Batch(row - len(waiting), tuple(waiting), held)
                    waiting, size, length = [], envelope, len(message)
                row, held = row + 1, key
                if len(message) > largest:
                    yield Batch(row - 1, (message,), key)
                    continue
                waiting.append(message)
                size += length
    if waiting:
        yield Batch(row - len(waiting), tuple(waiting), held)


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
        self._group: pa.ChunkedArray = pa.chunked_array([[]], pa.string())

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
        for rows in file.iter_batches(batch_size=_PAYLOAD_GROUP_ROWS):
            yield from rows.column(0).to_pylist()
