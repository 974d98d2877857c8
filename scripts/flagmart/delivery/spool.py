"""Messages on their way out: ids, kept for good, and payloads, kept until they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flagmart import durable
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from flagmart.destinations.endpoint import Endpoint

_PAYLOAD_GROUP_ROWS = 8_192


@dataclass(frozen=True)
class Batch:
    """Rows `first` to `last` of a spool (both included, from 0) as one request body."""

    first: int
    last: int
    body: bytes


@dataclass(frozen=True)
class TooLarge:
    """A row that no request can carry."""

    row: int
    bytes: int


def write(
    batches: Iterable[pa.RecordBatch], ids: Path, payloads: Path, what: str
) -> dict[datetime, int]:
    """Write the spool; both files are on the disk when it returns.

    Args:
        batches: `ingested_at`, `message_id`, `payload`, in the order of sending.
        ids: file to keep; parquet with the one column `message_id`.
        payloads: file to send from; parquet with the one column `payload`, row by row beside `ids`.
        what: the relation, for messages.

    Returns:
        Number of rows of each `ingested_at`, in the order they stand in the spool.

    Raises:
        FlagmartError: a row without message id or payload.
    """
    rows: dict[datetime, int] = {}
    id_schema = pa.schema([pa.field("message_id", pa.string(), nullable=False)])
    payload_schema = pa.schema([pa.field("payload", pa.binary(), nullable=False)])
    with (
        pq.ParquetWriter(ids, id_schema, compression="zstd", use_dictionary=False) as id_writer,
        pq.ParquetWriter(
            payloads,
            payload_schema,
            compression="snappy",
            use_dictionary=False,
            write_statistics=False,
        ) as payload_writer,
    ):
        for batch in batches:
            for name in ("message_id", "payload"):
                if batch.column(name).null_count:
                    raise FlagmartError(f"{what} has rows without {name}; mend the model")
            for count in pc.value_counts(batch.column("ingested_at")):
                moment = count["values"].as_py()
                rows[moment] = rows.get(moment, 0) + count["counts"].as_py()
            id_writer.write_batch(pa.record_batch([batch.column("message_id")], schema=id_schema))
            payload_writer.write_batch(
                pa.record_batch([batch.column("payload").cast(pa.binary())], schema=payload_schema),
                row_group_size=_PAYLOAD_GROUP_ROWS,
            )
    # the payloads may be lost with the machine; ids that were sent may not
    durable.sync_file(ids)
    durable.sync_folder(ids.parent)
    return rows


def batches(payloads: Path, endpoint: Endpoint) -> Iterator[Batch | TooLarge]:
    """Cut a spool into request bodies by number of messages and encoded bytes, envelope included.

    A body is the texts of the relation joined together, never rendered anew: so a message has the
    same bytes whenever and however often it is sent.
    """
    envelope = len(endpoint.prefix) + len(endpoint.suffix)
    largest = min(endpoint.max_message_bytes, endpoint.max_body_bytes - envelope)
    waiting: list[bytes] = []
    size, row = envelope, 0

    def cut() -> Iterator[Batch]:
        if waiting:
            body = endpoint.prefix + endpoint.separator.join(waiting) + endpoint.suffix
            yield Batch(row - len(waiting), row - 1, body)

    with pq.ParquetFile(payloads) as file:
        for rows in file.iter_batches(batch_size=_PAYLOAD_GROUP_ROWS):
            for message in rows.column(0).to_pylist():
                length = len(message) + (len(endpoint.separator) if waiting else 0)
                if len(message) > largest:
                    yield from cut()
                    waiting, size = [], envelope
                    yield TooLarge(row, len(message))
                    row += 1
                    continue
                if size + length > endpoint.max_body_bytes or len(waiting) == endpoint.max_messages:
                    yield from cut()
                    waiting, size, length = [], envelope, len(message)
                waiting.append(message)
                size += length
                row += 1
    yield from cut()


def message_id(ids: Path, row: int) -> str:
    """The id of one row of a spool."""
    with pq.ParquetFile(ids) as file:
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number).num_rows
            if row < group:
                return str(file.read_row_group(number).column(0)[row].as_py())
            row -= group
    raise IndexError(row)
