"""Where ingested events land, behind one small protocol: open a run, append, finish or abandon.

Here: parquet files beside the DuckDB file. A run stages its files in a folder of its own and
publishes them by renaming, then by one replacement of the manifest. Whatever a killed run leaves is
named by no manifest, and the next writer removes it under the same lock.
"""

import json
import re
import shutil
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from flagmart import durable, locks, settings
from flagmart.errors import FlagmartError
from flagmart.settings import DataFolder
from flagmart.warehouse import manifest, repeats
from flagmart.warehouse.manifest import LandedFile, LandedRun, Manifest

GROUP_ROWS = 100_000
"""Rows of a parquet row group; also what a run holds in memory, twice, before it writes."""
FILE_ROWS = 10 * GROUP_ROWS
"""Rows of every file of a run but its last."""
TEXT_KEPT = 10_000
"""Characters kept of an unreadable record in the reject file."""

CONFLICT = "conflicting repeat of an id that landed before"

_TIME = pa.timestamp("us")


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


EVENT_COLUMNS: pa.Schema = pa.schema(
    [
        _required("event_id", pa.string()),
        _required("env_id", pa.string()),
        _required("event", pa.string()),
        _required("distinct_id", pa.string()),
        _required("properties", pa.string()),
        pa.field("occurred_at", _TIME),
        _required("source_ref", pa.string()),
        pa.field("source_ingested_at", _TIME),
    ]
)
"""What a batch of events brings; the rest of the landing's columns is the run's."""

SCHEMA: pa.Schema = pa.schema(
    [
        *(EVENT_COLUMNS.field(place) for place in range(6)),
        _required("ingested_at", _TIME),
        _required("run_id", pa.string()),
        _required("source", pa.string()),
        _required("source_ref", pa.string()),
        pa.field("source_ingested_at", _TIME),
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

    def begin(self, label: str) -> None:
        """What follows comes from this input."""

    def append(self, events: pa.RecordBatch) -> None:
        """Take a batch with the columns `EVENT_COLUMNS`."""

    def reject(self, line: int, reason: str, text: str) -> None:
        """Record what is no event; `text` is cut to `TEXT_KEPT` characters."""

    def finish(self) -> RunResult:
        """Drop repeats and make the rest visible to readers, all at once."""


class DryRun:
    """A run that counts and keeps nothing."""

    def __init__(self) -> None:
        self._inputs: list[InputCounts] = []

    def begin(self, label: str) -> None:
        """See `Run`."""
        self._inputs.append(InputCounts(label))

    def append(self, events: pa.RecordBatch) -> None:
        """See `Run`."""
        self._inputs[-1].landed += events.num_rows

    def reject(self, line: int, reason: str, text: str) -> None:  # noqa: ARG002
        """See `Run`."""
        self._inputs[-1].reasons[reason] += 1

    def finish(self) -> RunResult:
        """See `Run`."""
        return RunResult(self._inputs)


class ParquetLanding:
    """The landing of FeatBit's events in the data folder."""

    def __init__(self, data: DataFolder) -> None:
        self._data = data
        self.folder = data.landing / manifest.LANDING
        self.rejects = data.rejects / manifest.LANDING

    def open_run(self, source: str, inputs: tuple[str, ...]) -> AbstractContextManager[Run]:
        """A run that is abandoned, without a trace, unless it is finished before the block ends.

        Args:
            source: clickhouse, postgres, mongodb or file.
            inputs: what was asked to be read, for the manifest.

        Raises:
            FlagmartError: another process writes to this landing, or it is unusable.
        """
        return self._open_run(source, inputs)

    @contextmanager
    def _open_run(self, source: str, inputs: tuple[str, ...]) -> Iterator[Run]:
        for folder in (self.folder, self.rejects, self._data.locks):
            self._data.ensure(folder)
        with locks.held(self._data.locks / "landing.lock", f"the landing of {self._data.root}"):
            before = manifest.read(self.folder)
            self._remove_leftovers(before)
            self._check_files(before)
            run = _ParquetRun(self.folder, self.rejects, before, source, inputs)
            try:
                yield run
            finally:
                run.close()

    def _remove_leftovers(self, known: Manifest) -> None:
        """What a killed run left: nothing the manifest names, and nothing but what a run makes."""
        named = {file.name for file in known.files}
        runs = {run.run_id for run in known.runs}
        for path in self.folder.iterdir():
            if path.name.startswith(".staging-"):
                shutil.rmtree(path)
            elif path.name == f"{manifest.NAME}.tmp" or (
                _FILE_NAME.fullmatch(path.name) and path.name not in named
            ):
                path.unlink()
        for path in self.rejects.iterdir():
            if path.name.startswith(".staging-") or (
                _REJECTS_NAME.fullmatch(path.name) and path.stem not in runs
            ):
                path.unlink()

    def _check_files(self, known: Manifest) -> None:
        missing = [file.name for file in known.files if not (self.folder / file.name).exists()]
        if missing:
            raise FlagmartError(
                f"{self.folder / missing[0]} is missing ({len(missing)} of {len(known.files)} "
                "landed files); put it back before anything else lands"
            )


_ENVELOPE = ("event_id", "env_id", "event", "distinct_id", "properties")
_RUN_ID = r"\d{8}T\d{12}Z"
_FILE_NAME = re.compile(_RUN_ID + r"-\d+\.parquet")
_REJECTS_NAME = re.compile(_RUN_ID + r"\.jsonl")


class _ParquetRun:
    def __init__(
        self, folder: Path, rejects: Path, before: Manifest, source: str, inputs: tuple[str, ...]
    ) -> None:
        self._folder = folder
        self._before = before
        self._source = source
        self._asked = inputs
        self._ingested_at = _next_moment(before)
        self._run_id = self._ingested_at.strftime("%Y%m%dT%H%M%S%fZ")
        self._staging = folder / f".staging-{self._run_id}"
        self._staging.mkdir()
        self._writer = _Writer(self._staging, "read")
        self._rejects = _Rejects(rejects, self._run_id)
        self._inputs: list[InputCounts] = []
        self._starts: list[int] = []  # the position of each input's first row

    def begin(self, label: str) -> None:
        self._inputs.append(InputCounts(label))
        self._starts.append(self._writer.rows)

    def append(self, events: pa.RecordBatch) -> None:
        self._inputs[-1].landed += events.num_rows
        self._writer.write(self._completed(events))

    def reject(self, line: int, reason: str, text: str) -> None:
        counts = self._inputs[-1]
        counts.reasons[reason] += 1
        if len(text) > TEXT_KEPT:
            text = f"{text[:TEXT_KEPT]}… (cut after {TEXT_KEPT} characters)"
        self._rejects.write(counts.label, line, reason, text)

    def finish(self) -> RunResult:
        self._writer.close()
        files = self._drop_repeats(self._writer.files)
        result = RunResult(self._inputs)
        if not result.total("read"):
            return result
        if not self._before.runs:
            # so that files without a manifest always mean a lost one, and never a first run killed
            manifest.write(self._folder, self._before)
        published = tuple(
            self._publish(path, f"{self._run_id}-{number:05d}.parquet")
            for number, path in enumerate(files)
        )
        rejects = self._rejects.publish()
        durable.sync_folder(self._folder)
        recorded = LandedRun(
            run_id=self._run_id,
            source=self._source,
            ingested_at=self._ingested_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            files=published,
            read=result.total("read"),
            landed=result.total("landed"),
            equal_repeats=result.total("equal_repeats"),
            conflicting_repeats=result.total("conflicting_repeats"),
            unreadable=result.total("unreadable"),
            inputs=self._asked,
        )
        manifest.write(self._folder, Manifest((*self._before.runs, recorded)))
        return RunResult(self._inputs, recorded, rejects)

    def close(self) -> None:
        """Remove what was not published."""
        self._writer.abandon()
        self._rejects.abandon()
        shutil.rmtree(self._staging, ignore_errors=True)

    def _completed(self, events: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with the run's own columns, in the landing's order; ids in lower case."""
        rows = events.num_rows
        column = dict(zip(events.schema.names, events.columns, strict=True))
        column["event_id"] = pa.compute.ascii_lower(column["event_id"])
        moment = pa.scalar(self._ingested_at.replace(tzinfo=None), _TIME)
        column["ingested_at"] = pa.repeat(moment, rows)
        column["run_id"] = pa.repeat(pa.scalar(self._run_id, pa.string()), rows)
        column["source"] = pa.repeat(pa.scalar(self._source, pa.string()), rows)
        return pa.RecordBatch.from_arrays([column[name] for name in SCHEMA.names], schema=SCHEMA)

    def _drop_repeats(self, staged: list[Path]) -> list[Path]:
        """The staged files if nothing repeats, else new ones without what does."""
        if not staged:
            return []
        # what reading has left over goes back first, so that DuckDB's share does not come on top
        pa.default_memory_pool().release_unused()
        landed = [self._folder / file.name for file in self._before.files]
        dropped = repeats.find(staged, FILE_ROWS, landed, self._staging / "spill")
        following = next(dropped, None)  # the first row that does not land
        if following is None:
            return staged
        kept = _Writer(self._staging, "kept")
        try:
            first = 0  # the position of the batch's first row
            for path in staged:
                with pq.ParquetFile(path) as file:
                    for batch in file.iter_batches(batch_size=GROUP_ROWS // 10):
                        keep = [True] * batch.num_rows
                        while following and following[0] < first + batch.num_rows:
                            position, conflicting = following
                            keep[position - first] = False
                            self._count_repeat(position, conflicting, batch, position - first)
                            following = next(dropped, None)
                        kept.write(batch.filter(pa.array(keep)))
                        first += batch.num_rows
            kept.close()
        finally:
            kept.abandon()
        return kept.files

    def _count_repeat(
        self, position: int, conflicting: bool, batch: pa.RecordBatch, row: int
    ) -> None:
        counts = self._inputs[bisect_right(self._starts, position) - 1]
        counts.landed -= 1
        if not conflicting:
            counts.equal_repeats += 1
            return
        counts.conflicting_repeats += 1
        values = batch.slice(row, 1)
        facts = {name: values.column(name)[0].as_py() for name in _ENVELOPE}
        micros = values.column("occurred_at").cast(pa.int64())[0].as_py()
        line = int(values.column("source_ref")[0].as_py().rpartition(":")[2])
        # whole, since this is all that is left of it
        self._rejects.write(counts.label, line, CONFLICT, envelope(**facts, timestamp=micros))

    def _publish(self, path: Path, name: str) -> LandedFile:
        durable.sync_file(path)
        with pq.ParquetFile(path) as parquet:
            rows = parquet.metadata.num_rows
        target = path.rename(self._folder / name)
        return LandedFile(name, rows, target.stat().st_size)


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


def _next_moment(before: Manifest) -> datetime:
    """`max(now, last + 1 µs)`: a run's time only ever grows, whatever the clock does."""
    now = settings.now()
    if not before.runs:
        return now
    last = datetime.fromisoformat(before.runs[-1].ingested_at).astimezone(UTC)
    return max(now, last + timedelta(microseconds=1))


class _Writer:
    """Writes batches to numbered parquet files, each of `FILE_ROWS` rows but the last.

    Compression runs in a thread of its own, one row group behind, while the next is gathered.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._file_rows = 0
        self._parquet: pq.ParquetWriter | None = None
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None
        self.files: list[Path] = []
        self.rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        while batch.num_rows:
            part = batch.slice(0, GROUP_ROWS - self._waiting_rows)
            batch = batch.slice(part.num_rows)
            self._waiting.append(part)
            self._waiting_rows += part.num_rows
            if self._waiting_rows == GROUP_ROWS:
                self._hand_over()

    def _hand_over(self) -> None:
        group = pa.Table.from_batches(self._waiting, SCHEMA)
        self._waiting, self._waiting_rows = [], 0
        self._wait()
        self._writing = self._thread.submit(self._write_group, group)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _write_group(self, group: pa.Table) -> None:
        if self._parquet is None:
            path = self._folder / f"{self._prefix}-{len(self.files):05d}.parquet"
            # in the other columns hardly a value comes twice, so a dictionary is a detour
            self._parquet = pq.ParquetWriter(
                path,
                SCHEMA,
                compression="zstd",
                use_dictionary=[
                    "env_id",
                    "event",
                    "distinct_id",
                    "ingested_at",
                    "run_id",
                    "source",
                ],
            )
            self.files.append(path)
        self._parquet.write_table(group, row_group_size=GROUP_ROWS)
        self._file_rows += group.num_rows
        if self._file_rows == FILE_ROWS:
            self._parquet.close()
            self._parquet = None
            self._file_rows = 0

    def close(self) -> None:
        """Write what waits; `files` is complete then."""
        if self._waiting:
            self._hand_over()
        self._wait()
        self.abandon()

    def abandon(self) -> None:
        """Stop, whatever is written or not."""
        self._thread.shutdown(wait=True)
        if self._parquet is not None:
            self._parquet.close()
            self._parquet = None


class _Rejects:
    """What is no event, as JSON lines; the file appears with the run."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder = folder
        self._staged = folder / f".staging-{run_id}.jsonl"
        self._published = folder / f"{run_id}.jsonl"
        self._file: IO[str] | None = None

    def write(self, source: str, line: int, reason: str, text: str) -> None:
        if self._file is None:
            self._file = self._staged.open("w", encoding="utf-8", errors="backslashreplace")
        facts = {"source": source, "line": line, "reason": reason, "text": text}
        self._file.write(json.dumps(facts, ensure_ascii=False) + "\n")

    def publish(self) -> Path | None:
        if self._file is None:
            return None
        self._file.close()
        durable.sync_file(self._staged)
        self._staged.rename(self._published)
        durable.sync_folder(self._folder)
        return self._published

    def abandon(self) -> None:
        if self._file is not None:
            self._file.close()
            self._staged.unlink(missing_ok=True)
