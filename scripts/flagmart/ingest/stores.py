"""FeatBit's own stores into the landing: what ingest does alike for all of them.

A store is read in chunks, each bounded, so that memory stays flat and a killed run loses little.
Of each chunk the ids come first; those that landed before are left out, and only then are the other
columns read, by id. So reading an overlap again costs little, and a run that is killed or starts
without a checkpoint neither loses a row nor lands one twice.

What a run reads beyond the newest depends on the store's clocks: a store says so in its notes, kept
as the checkpoint. No look-back sees what is later than it, so every so many runs a sweep looks at
all ids.
"""

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from flagmart import settings, talk
from flagmart.errors import FlagmartError, UsageError
from flagmart.ingest import checkpoints
from flagmart.ingest.checkpoints import Checkpoint
from flagmart.ingest.store_rows import ID, Rows
from flagmart.settings import DataFolder, Engine
from flagmart.warehouse import landed_runs, newest_run, open_run
from flagmart.warehouse.landing import InputCounts, Run, RunResult, Selection, ServerRun

RUN_ROWS = 1_000_000
"""Rows, or ids looked at, after which a run is finished and the next begun: what a kill can cost.

The ids are held in memory, about 100 MB of them with the search; each run looks through the ids
that landed before twice, so far smaller ones would make a first ingest slow.
"""


@dataclass(frozen=True)
class Bounds:
    """What is asked for: environments, and a half-open time of the client's clock in UTC."""

    envs: tuple[str, ...] = ()
    """All where empty."""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def timed(self) -> bool:
        """Whether it leaves out a time, so that no checkpoint may move."""
        return bool(self.since or self.until)

    @classmethod
    def parsed(cls, envs: Sequence[str], since: str | None, until: str | None) -> "Bounds":
        """Bounds as written on the command line.

        Raises:
            UsageError: an environment is empty, a time is none, or the times leave nothing.
        """
        if not all(env.strip() for env in envs):
            raise UsageError("--env is empty, maybe a variable that is not set; nothing was read")
        first, end = _moment("--since", since), _moment("--until", until)
        if first and end and first >= end:
            raise UsageError(f"--since {since} is not before --until {until}; nothing was read")
        return cls(tuple(dict.fromkeys(envs)), first, end)


@dataclass(frozen=True)
class Chunk:
    """A bounded part of one table, read in one go."""

    table: str
    rows: int
    """How many there are, about."""
    key: Any
    """What the store knows it by."""
    selection: Selection | None = None
    """How the landing's own server reads its rows by itself; None where it cannot."""
    odd: Any = None
    """With a selection: what the store knows those rows by that are no events."""


@dataclass(frozen=True)
class Plan:
    """What is to be read."""

    chunks: Sequence[Chunk]
    state: Mapping[str, Any]
    """The store's notes for its next run, once all chunks have landed; JSON."""


@dataclass
class Reading:
    """Rows of a chunk on their way."""

    expected: int
    """How many rows come, as the store counted them in the same snapshot.

    A store without snapshots mends it where rows came or went since they were counted.
    """
    rows: Iterator[Rows]


class Store(Protocol):
    """One of FeatBit's stores, connected, whose tables have been checked.

    Its methods raise FlagmartError where it cannot be reached, refuses, or loses the connection;
    the error names the store and tells no secret.
    """

    @property
    def kind(self) -> str:
        """clickhouse, postgres or mongodb; the landing's `source`."""

    @property
    def label(self) -> str:
        """Host and database, without any secret; a checkpoint belongs to it."""

    def plan(self, bounds: Bounds, state: Mapping[str, Any]) -> Plan:
        """Chunks that hold all that is new within `bounds` since a run that left these notes.

        Empty notes mean everything: a first run, a bounded one, and a sweep.
        """

    def ids(self, chunk: Chunk) -> pa.Table:
        """The ids of a chunk: `event_id`, in lower case, and what else `read` needs to find it."""

    def read(self, chunk: Chunk, wanted: pa.Table | None) -> AbstractContextManager[Reading]:
        """The rows of a chunk that `wanted`, a part of what `ids` gave, names; None for all."""


@dataclass
class StoreReport:
    """What became of one ingest from a store."""

    label: str
    swept: bool
    """Whether all ids were looked at."""
    results: list[RunResult] = field(default_factory=list)
    """The runs that landed something, or at least refused something."""
    looked_at: int = 0
    """Ids compared with the landing."""
    landed_before: int = 0
    """How many of them were there, or are known to be no events."""

    @property
    def tables(self) -> list[InputCounts]:
        """The counts of each table over all runs."""
        tables: dict[str, InputCounts] = {}
        for result in self.results:
            for part in result.inputs:
                whole = tables.setdefault(part.label, InputCounts(part.label))
                whole.landed += part.landed
                whole.equal_repeats += part.equal_repeats
                whole.conflicting_repeats += part.conflicting_repeats
                whole.reasons += part.reasons
        return list(tables.values())

    def total(self, count: str) -> int:
        """The sum of one of the counts over all runs."""
        return sum(result.total(count) for result in self.results)

    @property
    def is_complete(self) -> bool:
        """Whether every row landed or had landed before."""
        return not self.total("unreadable") and not self.total("conflicting_repeats")


def plan(store: Store, data: DataFolder, bounds: Bounds, *, sweep: bool) -> Plan:
    """What `ingest` would read, without reading it."""
    return store.plan(bounds, _known(store, data, bounds, sweep=sweep).state)


def ingest(
    store: Store,
    data: DataFolder,
    bounds: Bounds,
    *,
    sweep: bool = False,
    run_rows: int = RUN_ROWS,
) -> StoreReport:
    """Land what the store has and the landing has not.

    Args:
        store: where from.
        data: the data folder.
        bounds: what to look at; each set of environments has a checkpoint of its own, and bounded
            by time none is used or moved.
        sweep: look at all ids, whatever the checkpoint says.
        run_rows: after how many rows the next run begins.

    Raises:
        FlagmartError: the store or the landing fails; what was finished stays landed.
    """
    # where nothing has landed no id needs to be looked for; what lands meanwhile, `finish` finds
    everything = next(iter(landed_runs(data)), None) is None
    before = _known(store, data, bounds, sweep=sweep)
    todo = store.plan(bounds, before.state)
    report = StoreReport(store.label, swept=not before.state and not bounds.timed)
    refused = list(before.refused)
    waiting = deque(todo.chunks)
    total = sum(chunk.rows for chunk in todo.chunks)
    with talk.progress(f"ingest {store.kind}", total) as advance:
        done = 0
        while waiting:
            with open_run(data, store.kind, (store.label,)) as run:
                label = None
                taken = _take(run, waiting, report, run_rows, everything=everything)
                done += taken
                group = _group(
                    store,
                    run,
                    waiting,
                    report,
                    frozenset(refused),
                    run_rows - taken,
                    everything=everything,
                )
                for chunk, wanted in group:
                    if wanted is None or wanted.num_rows:
                        if label != chunk.table:
                            label = chunk.table
                            run.begin(f"{store.label} {label}")
                        refused += _read(store, run, chunk, wanted)
                    done += chunk.rows
                    landed = report.total("landed")
                    advance(min(done, total), f"{talk.plural(landed, 'event')} landed")
                result = run.finish()
            if result.recorded is not None:
                report.results.append(result)
    if not bounds.timed:
        after = Checkpoint(
            todo.state,
            0 if report.swept else before.runs_since_sweep + 1,
            newest_run(data),
            tuple(dict.fromkeys(refused)),
        )
        checkpoints.write(data, store.kind, _known_as(store, bounds), after)
    return report


def _known(store: Store, data: DataFolder, bounds: Bounds, *, sweep: bool) -> Checkpoint:
    """The checkpoint, without the store's notes where all ids are to be looked at."""
    found = checkpoints.read(data, store.kind, _known_as(store, bounds)) or Checkpoint()
    if found.landed is not None and all(run.run_id != found.landed for run in landed_runs(data)):
        talk.say(
            f"{store.label}: run {found.landed} is not in this landing, so the checkpoint is of "
            "another one; all ids are looked at again"
        )
        return Checkpoint()
    due = found.runs_since_sweep + 1 >= settings.sweep_every()
    return replace(found, state={}) if sweep or bounds.timed or due else found


def _known_as(store: Store, bounds: Bounds) -> str:
    """What a checkpoint belongs to: a store, the environments, the landing where it is a server."""
    what = store.label
    if bounds.envs:
        # as JSON, since an environment may be named anything
        what += f", of it {json.dumps(sorted(bounds.envs))}"
    if settings.engine() is Engine.DUCKDB:
        return what  # the landing lies in the data folder, as the checkpoint does
    server = settings.clickhouse()
    return f"{what}, landed on {server}/{server.landing}"


def _take(
    run: Run, waiting: deque[Chunk], report: StoreReport, run_rows: int, *, everything: bool
) -> int:
    """Have the landing's server take the next chunks that it can read; about how many rows.

    Of a chunk with rows that are no events, these wait instead of it, to be read like any other.
    """
    group: list[Chunk] = []
    rows = 0
    while waiting and waiting[0].selection and rows < run_rows:
        group.append(waiting.popleft())
        rows += group[-1].rows
    if not isinstance(run, ServerRun) or not group:
        return 0
    selections = [chunk.selection for chunk in group if chunk.selection]
    for chunk, taken in zip(group, run.take(selections, everything=everything), strict=True):
        if not everything:
            report.looked_at += taken.ids - taken.left
            report.landed_before += taken.landed_before
        if taken.left:
            waiting.appendleft(Chunk(chunk.table, taken.left, chunk.odd))
    return rows


def _group(
    store: Store,
    run: Run,
    waiting: deque[Chunk],
    report: StoreReport,
    refused: frozenset[str],
    run_rows: int,
    *,
    everything: bool,
) -> list[tuple[Chunk, pa.Table | None]]:
    """The next chunks of a run, each with the ids that are to be read; None for all of them."""
    group: list[tuple[Chunk, pa.Table | None]] = []
    rows = 0
    while waiting and not waiting[0].selection and rows < run_rows:
        chunk = waiting.popleft()
        ids = None if everything else store.ids(chunk)
        rows += chunk.rows if ids is None else ids.num_rows
        group.append((chunk, ids))
    if everything or not group:
        return group
    tables = [ids for _, ids in group if ids is not None]
    looked_for = pa.concat_tables([ids.select([ID]) for ids in tables]).column(ID).combine_chunks()
    if not len(looked_for):
        return []
    known = pc.or_(
        run.landed_before(looked_for),
        pc.is_in(looked_for, pa.array(sorted(refused), pa.string())),
    )
    report.looked_at += len(looked_for)
    report.landed_before += pc.sum(known).as_py()
    unknown = pc.invert(known)
    first = 0
    wanted: list[tuple[Chunk, pa.Table | None]] = []
    for (chunk, _), ids in zip(group, tables, strict=True):
        part = ids.filter(unknown.slice(first, ids.num_rows))
        first += ids.num_rows
        wanted.append((chunk, None if part.num_rows == ids.num_rows else part))
    return wanted


def _read(store: Store, run: Run, chunk: Chunk, wanted: pa.Table | None) -> list[str]:
    """Read a chunk into the run; the ids of rows that are no events come back."""
    refused: list[str] = []
    came = 0
    with store.read(chunk, wanted) as reading:
        for batch, out in reading.rows:
            came += batch.num_rows + len(out)
            run.append(batch)
            for row in out:
                run.reject(None, row.reason, row.text)
                refused.append(row.event_id)
    if came != reading.expected:
        raise FlagmartError(
            f"{store.label}: {came:,} of {reading.expected:,} rows of {chunk.table} came, then the "
            "stream ended without an error; nothing of this run landed, run it again"
        )
    return refused


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is no time; write it like 2026-01-31 or 2026-01-31T12:00:00"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
