"""Parquet, as ClickHouse writes the tables of events: columns found by name.

ClickHouse writes UUID as 16 bytes, big-endian, with parquet's UUID type (from 26.3 on; earlier
releases refuse, so people select `toString(uuid)`), text as string or as plain bytes
(`output_format_parquet_string_as_string`), DateTime64 as a timestamp, DateTime as a timestamp or,
in earlier releases, as seconds.
"""

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flagmart.ingest import timestamps
from flagmart.ingest.event import NOT_UTF8, Event, NoEventError
from flagmart.ingest.event_tables import ARRIVALS, IDS, Table, table_of
from flagmart.ingest.records import arrival
from flagmart.ingest.sources import RefusedError, Stream
from flagmart.ingest.timestamps import Moment, Timestamp, number

_ROWS = 10_000


def events(stream: Stream) -> Iterator[tuple[int, Event | NoEventError, bytes]]:
    """The rows of a parquet file; a row's number stands where a text file has its line.

    Raises:
        RefusedError: damaged, or columns are missing or of a type no event has.
    """
    file = _opened(stream)
    names = file.schema_arrow.names
    table = table_of(names, "parquet")
    _check_types(file.schema_arrow, table)
    texts = [name for name in table.texts if name in names]
    wanted = [*texts, table.moment, *(name for name in (*IDS, *ARRIVALS) if name in names)]
    for row, record in _records(file, stream, wanted):
        try:
            yield row, _event(table, texts, record), b""
        except NoEventError as reason:
            yield row, reason, json.dumps(record, default=str).encode()


def records(
    stream: Stream, check: Callable[[Collection[str]], None]
) -> Iterator[tuple[int, dict[str, Any], bytes]]:
    """The rows of any parquet file, as `events` counts them: values by name.

    Args:
        stream: the file.
        check: raises RefusedError where it has no columns that are looked for.

    Raises:
        RefusedError: damaged, or what `check` raises.
    """
    file = _opened(stream)
    check(file.schema_arrow.names)
    for row, record in _records(file, stream, None):
        yield row, record, b""


def _opened(stream: Stream) -> pq.ParquetFile:
    try:
        # buffered: a row group of ClickHouse is a million rows, too much to hold at once
        return pq.ParquetFile(stream.raw, buffer_size=1 << 20, pre_buffer=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise RefusedError("damaged parquet") from error


def _records(
    file: pq.ParquetFile, stream: Stream, wanted: Sequence[str] | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    row = 0
    batches = file.iter_batches(batch_size=_ROWS, columns=wanted)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError):
            stream.damage = "its parquet data is damaged"
            return
        if batch is None:
            return
        columns = {name: _values(batch.column(name)) for name in batch.schema.names}
        for values in zip(*columns.values(), strict=True):
            row += 1
            yield row, dict(zip(columns, values, strict=True))


def _check_types(schema: pa.Schema, table: Table) -> None:
    for name in table.texts:
        if name not in schema.names:
            continue
        kind = schema.field(name).type
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if name == "numeric_value":
            wanted, fits = "a number", _is_number(kind) or _is_text(kind)
        else:
            wanted, fits = "text", _is_text(kind) or (name == "env_id" and kind == pa.binary(16))
        if not fits:
            raise RefusedError(f"parquet whose column {name} is {kind}, not {wanted}")


def _is_text(kind: pa.DataType) -> bool:
    return any(
        fits(kind)
        for fits in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
            # a column of nothing but nulls, where what wrote it knew no type
            pa.types.is_null,
        )
    )


def _is_number(kind: pa.DataType) -> bool:
    return any(
        fits(kind) for fits in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    )


def _values(column: pa.Array) -> list[Any]:
    """Python values of a column; timestamps as `Moment`s, 16 bytes of fixed size as a UUID."""
    if pa.types.is_fixed_size_binary(column.type) and column.type.byte_width == 16:
        return [None if raw is None else uuid.UUID(bytes=raw) for raw in column.to_pylist()]
    if not pa.types.is_timestamp(column.type):
        return list(column.to_pylist())
    times, over = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}[
        column.type.unit
    ]
    ticks = column.cast(pa.int64()).to_pylist()
    return [None if n is None else Moment(n * times // over) for n in ticks]


def _event(table: Table, texts: Sequence[str], record: dict[str, Any]) -> Event:
    env_id, event, distinct_id, properties = table.facts(
        {name: _text(record[name]) for name in texts}
    )
    return Event(
        id=next((text for name in IDS if (text := _text(record.get(name)))), None),
        env_id=env_id,
        event=event,
        distinct_id=distinct_id,
        properties=properties,
        timestamp=_timestamp(record[table.moment]),
        arrived=next(
            (moment for name in ARRIVALS if (moment := _arrived(record.get(name))) is not None),
            None,
        ),
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise NoEventError(NOT_UTF8) from error
    return str(value)


def _timestamp(value: object) -> Timestamp:
    if value is None or isinstance(value, Moment | int):
        return value
    try:
        if isinstance(value, float):
            return number(repr(value))
        return timestamps.from_text(_text(value)) if value else None
    except ValueError as error:
        raise NoEventError(timestamps.UNREADABLE) from error


def _arrived(value: object) -> int | None:
    if isinstance(value, Moment):
        return value.micros
    return arrival(_text(value))
