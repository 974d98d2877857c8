"""Events gathered into record batches of the columns every landing takes."""

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from flagmart.ingest.event import Event
from flagmart.ingest.timestamps import FIRST, LAST, OUT_OF_RANGE, Moment, Timestamp, Unit, micros
from flagmart.warehouse.landing import EVENT_COLUMNS, envelope

ROWS = 10_000
# ids of records that came without one hang on this name, so it never changes
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "events.flagmart")


class Occurrences:
    """How often each digest has been seen in one file; memory stays flat, SQLite goes to disk."""

    def __init__(self) -> None:
        # no name: a private database that SQLite puts on disk when it outgrows its cache
        self._seen = sqlite3.connect("", isolation_level=None)
        self._seen.execute("pragma journal_mode = off")
        self._seen.execute(
            "create table seen (digest blob primary key, times integer) without rowid"
        )
        self._seen.execute("begin")

    def next(self, digest: bytes) -> int:
        """1 for a digest not seen before, then 2, and so on."""
        row = self._seen.execute(
            "insert into seen values (?, 1) "
            "on conflict do update set times = times + 1 returning times",
            (digest,),
        ).fetchone()
        return int(row[0])

    def close(self) -> None:
        """Drop what was counted."""
        self._seen.close()


class Batcher:
    """The events of one file on their way into batches."""

    def __init__(self, label: str, unit: Unit) -> None:
        self._label = label
        self._unit = unit
        self._events: list[Event] = []
        self._lines: list[int] = []
        self._occurrences: Occurrences | None = None

    def add(self, line: int, event: Event) -> bool:
        """Take one event; True when there are enough for a batch."""
        self._lines.append(line)
        self._events.append(event)
        return len(self._lines) >= ROWS

    def take(self) -> tuple[pa.RecordBatch, list[tuple[int, str, str]]]:
        """The batch of the events added since the last, and those whose time no calendar has.

        The latter as line, reason and text.
        """
        events, lines = self._events, self._lines
        self._events, self._lines = [], []
        occurred, misdated = _occurred([event.timestamp for event in events], self._unit)
        refused = [(lines[place], OUT_OF_RANGE, as_text(events[place])) for place in misdated]
        if misdated:
            out = set(misdated)
            events = [event for place, event in enumerate(events) if place not in out]
            lines = [line for place, line in enumerate(lines) if place not in out]
        ids = [_one_spelling(event.id) for event in events]
        if not all(ids):
            times = occurred.cast(pa.int64()).to_pylist()
            ids = [
                known or self._made_id(events[place], times[place])
                for place, known in enumerate(ids)
            ]
        refs = pc.binary_join_element_wise(
            self._label, pa.array(lines, pa.int64()).cast(pa.string()), ":"
        )
        columns = [
            pa.array(ids, pa.string()),
            pa.array([event.env_id for event in events], pa.string()),
            pa.array([event.event for event in events], pa.string()),
            pa.array([event.distinct_id for event in events], pa.string()),
            pa.array([event.properties for event in events], pa.string()),
            occurred,
            refs,
            pa.array([event.arrived for event in events], pa.timestamp("us")),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=EVENT_COLUMNS), refused

    def _made_id(self, event: Event, occurred: int | None) -> str:
        if self._occurrences is None:
            self._occurrences = Occurrences()
        digest = _digest(event, occurred)
        return str(uuid.uuid5(_NAMESPACE, f"{digest.hex()}:{self._occurrences.next(digest)}"))

    def close(self) -> None:
        """Free what was held besides memory."""
        if self._occurrences is not None:
            self._occurrences.close()


def _one_spelling(event_id: str | None) -> str | None:
    """A uuid without hyphens (32 characters) or in braces (38) as FeatBit spells it.

    Otherwise the same event from another tool's dump would land twice.
    """
    if event_id is None or len(event_id) not in (32, 38):
        return event_id
    try:
        return str(uuid.UUID(event_id))
    except ValueError:
        return event_id


def _occurred(timestamps: list[Timestamp], unit: Unit) -> tuple[pa.Array, list[int]]:
    """Microseconds as a column, without those outside the calendar; and the places of these."""
    if unit is Unit.US:
        try:
            column = pa.array(timestamps, pa.int64())
        except (pa.ArrowException, OverflowError, TypeError):
            pass
        else:
            ends = pc.min_max(column)
            if column.null_count == len(column) or (
                ends["min"].as_py() >= FIRST and ends["max"].as_py() <= LAST
            ):
                return column.cast(pa.timestamp("us")), []
    values: list[int | None] = []
    misdated: list[int] = []
    for place, timestamp in enumerate(timestamps):
        try:
            values.append(micros(timestamp, unit))
        except ValueError:
            misdated.append(place)
    return pa.array(values, pa.timestamp("us")), misdated


def _digest(event: Event, occurred: int | None) -> bytes:
    """What a record without an id is known by: its content, however it was formatted."""
    try:
        properties = json.dumps(json.loads(event.properties), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        properties = event.properties
    content = json.dumps([event.env_id, event.event, event.distinct_id, occurred, properties])
    return hashlib.sha256(content.encode()).digest()


def as_text(event: Event) -> str:
    """An event whose own bytes are no longer at hand."""
    timestamp = event.timestamp
    return envelope(
        event_id=event.id,
        env_id=event.env_id,
        event=event.event,
        distinct_id=event.distinct_id,
        properties=event.properties,
        timestamp=timestamp.micros if isinstance(timestamp, Moment) else timestamp,
    )


def batches(
    batcher: Batcher, events: Iterator[tuple[int, Event]]
) -> Iterator[tuple[pa.RecordBatch, list[tuple[int, str, str]]]]:
    """All of `events` in batches, the last one as large as it comes."""
    pending = False
    for line, event in events:
        pending = True
        if batcher.add(line, event):
            yield batcher.take()
            pending = False
    if pending:
        yield batcher.take()
