"""Where ingested events land, behind one small protocol: open a run, append, finish or abandon.

What the landings of all engines share; each has a module of its own.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

import pyarrow as pa

from flagmart import durable, settings
from flagmart.warehouse.manifest import LandedFile, LandedRun

GROUP_ROWS = 100_000
"""Rows that a run writes at a time; it holds them in memory twice, gathering while it writes."""
TEXT_KEPT = 10_000
"""Characters kept of an unreadable record in the reject file."""

CONFLICT = "conflicting repeat of an id that landed before"

TIME = pa.timestamp("us")


@dataclass(frozen=True)
class Landing:
    """One landing; all have the same columns, runs and promises, and share one writer.

    They share one clock, too: a run is later than every run of any of them that came before it.
    """

    name: str
    """What dbt reads; also the folder below `landing` and `rejects`."""
    rows_table: str
    """ClickHouse's table of rows; the macro `landings` names both tables, too."""
    runs_table: str
    """ClickHouse's table with a row for each complete run."""
    versioned: bool = False
    """Whether a row is a state of what its key names, which lands when it is another than before.

    The key is (env_id, event, distinct_id), and a run lands one row of it at most: the one that is
    newest by `occurred_at`, then the last that was read. All rows of a key have one `event_id` in a
    run. Elsewhere the `event_id` says what a row is, and the first one stays.
    """


FEATBIT = Landing("featbit_events", "landed_events", "ingest_runs")
"""FeatBit's events."""
PREFAB = Landing("prefab_counters", "landed_prefab_counters", "prefab_ingest_runs")
"""Counters of Prefab's evaluation summaries: `properties` is a counter, `occurred_at` its start."""
VERSIONS = Landing("featbit_versions", "landed_versions", "version_ingest_runs", versioned=True)
"""Versions of FeatBit's flags and users: `event` is the kind, `distinct_id` the key, `properties`
the content, `occurred_at` when it last changed."""
LANDINGS = (FEATBIT, PREFAB, VERSIONS)


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


EVENT_COLUMNS: pa.Schema = pa.schema(
    [
        _required("event_id", pa.string()),
        _required("env_id", pa.string()),
        _required("event", pa.string()),
        _required("distinct_id", pa.string()),
        _required("properties", pa.string()),
        pa.field("occurred_at", TIME),
        _required("source_ref", pa.string()),
        pa.field("source_ingested_at", TIME),
    ]
)
"""What a batch of events brings; the rest of the landing's columns is the run's."""

SCHEMA: pa.Schema = pa.schema(
    [
        *(EVENT_COLUMNS.field(place) for place in range(6)),
        _required("ingested_at", TIME),
        _required("run_id", pa.string()),
        _required("source", pa.string()),
        _required("source_ref", pa.string()),
        pa.field("source_ingested_at", TIME),
    ]
)
"""The columns of the landing, in their order."""


@dataclass
class InputCounts:
    """What became of the records of one input; read is the sum of the others."""

    label: str
    landed: int = 0
    equal_repeats: int = 0
    conflicting_repeats: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def unreadable(self) -> int:
        """Records that are no event."""
        return self.reasons.total()

    @property
    def read(self) -> int:
        """All records."""
        return self.landed + self.equal_repeats + self.conflicting_repeats + self.unreadable


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    inputs: list[InputCounts]
    recorded: LandedRun | None = None
    """None where nothing was read, so that there is nothing to account for."""
    rejects: Path | None = None
    """The reject file, if anything went there."""

    def total(self, count: str) -> int:
        """The sum of one of the counts over all inputs."""
        return sum(int(getattr(counts, count)) for counts in self.inputs)


class Run(Protocol):
    """One ingest run that is open."""

    @property
    def run_id(self) -> str:
        """Its name; that of no other run of any landing."""

    def begin(self, label: str) -> None:
        """What follows comes from this input."""

    def append(self, events: pa.RecordBatch) -> None:
        """Take a batch with the columns `EVENT_COLUMNS`."""

    def reject(self, line: int | None, reason: str, text: str) -> None:
        """Record what is no event; `text` is cut to `TEXT_KEPT` characters.

        `line` is where it stands in a file; None where it comes from a table.
        """

    def landed_before(self, ids: pa.Array) -> pa.Array:
        """Which of `ids`, in lower case, complete runs have landed: one boolean for each.

        Only ids are read. It takes memory in proportion to `ids`, not to what landed.
        """

    def finish(self) -> RunResult:
        """Drop repeats and make the rest visible to readers, all at once."""


@dataclass(frozen=True)
class Selection:
    """Rows that the landing's own server can read by itself."""

    label: str
    """The input they are counted under."""
    rows: str
    """A statement for the columns `EVENT_COLUMNS`, by name; of what is an event."""
    ids: str
    """A statement for `event_id`, in lower case, of all."""
    odd: str
    """A statement for `event_id` of those that are no events."""
    values: dict[str, Any]
    """The parameters of all three."""


@dataclass(frozen=True)
class Taken:
    """What became of a selection."""

    ids: int
    """How many there are, as counted before."""
    landed_before: int
    taken: int

    @property
    def left(self) -> int:
        """Those that are no events."""
        return max(self.ids - self.landed_before - self.taken, 0)


@runtime_checkable
class ServerRun(Run, Protocol):
    """A run of a landing that is a server."""

    def take(self, selections: Sequence[Selection], *, everything: bool) -> list[Taken]:
        """Take what has not landed, or `everything`, without a byte of it coming here.

        Raises:
            FlagmartError: fewer rows came than there are.
        """


class DryRun:
    """A run that counts and keeps nothing."""

    run_id = "dry-run"

    def __init__(self) -> None:
        self._inputs: list[InputCounts] = []

    def begin(self, label: str) -> None:
        """See `Run`."""
        self._inputs.append(InputCounts(label))

    def append(self, events: pa.RecordBatch) -> None:
        """See `Run`."""
        self._inputs[-1].landed += events.num_rows

    def reject(self, line: int | None, reason: str, text: str) -> None:  # noqa: ARG002
        """See `Run`."""
        self._inputs[-1].reasons[reason] += 1

    def landed_before(self, ids: pa.Array) -> pa.Array:
        """See `Run`; nothing is looked for."""
        return pa.repeat(pa.scalar(False), len(ids))

    def finish(self) -> RunResult:
        """See `Run`."""
        return RunResult(self._inputs)


def next_moment(last: datetime | None) -> datetime:
    """`max(now, last + 1 µs)`: a run's time only ever grows, whatever the clock does."""
    now = settings.now()
    return now if last is None else max(now, last + timedelta(microseconds=1))


def run_id(moment: datetime) -> str:
    """The name of the run of that time; sorts like it."""
    return moment.strftime("%Y%m%dT%H%M%S%fZ")


def record(
    moment: datetime,
    source: str,
    inputs: tuple[str, ...],
    result: RunResult,
    files: tuple[LandedFile, ...] = (),
) -> LandedRun:
    """A run as it is noted when it is complete; `inputs` is what was asked to be read."""
    return LandedRun(
        run_id=run_id(moment),
        source=source,
        ingested_at=moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        files=files,
        read=result.total("read"),
        landed=result.total("landed"),
        equal_repeats=result.total("equal_repeats"),
        conflicting_repeats=result.total("conflicting_repeats"),
        unreadable=result.total("unreadable"),
        inputs=inputs,
    )


def envelope(
    *,
    event_id: str | None,
    env_id: str,
    event: str,
    distinct_id: str,
    properties: str,
    timestamp: object,
) -> str:
    """An event as the JSON line Kafka would have for it, for whoever wants to read it once more."""
    document = {
        "uuid": event_id,
        "distinct_id": distinct_id,
        "env_id": env_id,
        "event": event,
        "properties": properties,
        "timestamp": timestamp,
    }
    return json.dumps(document, ensure_ascii=False, default=str)


_ENVELOPE = ("event_id", "env_id", "event", "distinct_id", "properties")


class Rejects:
    """What does not land, as JSON lines; the file appears with the run."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder = folder
        self._staged = folder / f".staging-{run_id}.jsonl"
        self._published = folder / f"{run_id}.jsonl"
        self._file: IO[str] | None = None

    def unreadable(self, counts: InputCounts, line: int | None, reason: str, text: str) -> None:
        """Record what is no event, and count it; `text` is cut to `TEXT_KEPT` characters."""
        counts.reasons[reason] += 1
        if len(text) > TEXT_KEPT:
            text = f"{text[:TEXT_KEPT]}… (cut after {TEXT_KEPT} characters)"
        self._write(counts.label, line, reason, text)

    def conflicting(self, counts: InputCounts, repeat: pa.RecordBatch) -> None:
        """Record a repeat that contradicts what landed: one row of the landing's columns."""
        facts = {name: repeat.column(name)[0].as_py() for name in _ENVELOPE}
        micros = repeat.column("occurred_at").cast(pa.int64())[0].as_py()
        number = repeat.column("source_ref")[0].as_py().rpartition(":")[2]
        line = int(number) if number.isdecimal() else None
        # whole, since this is all that is left of it
        self._write(counts.label, line, CONFLICT, envelope(**facts, timestamp=micros))

    def _write(self, source: str, line: int | None, reason: str, text: str) -> None:
        if self._file is None:
            self._file = self._staged.open("w", encoding="utf-8", errors="backslashreplace")
        facts = {"source": source, "line": line, "reason": reason, "text": text}
        self._file.write(json.dumps(facts, ensure_ascii=False) + "\n")

    def publish(self) -> Path | None:
        """Put the file in its place, for good; None where nothing went into it."""
        if self._file is None:
            return None
        self._file.close()
        durable.sync_file(self._staged)
        self._staged.rename(self._published)
        durable.sync_folder(self._folder)
        return self._published

    def abandon(self) -> None:
        """Remove the file unless it was published."""
        if self._file is not None:
            self._file.close()
            self._staged.unlink(missing_ok=True)
