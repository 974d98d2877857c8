"""DuckDB's landing: parquet files beside its file.

A run stages its files in a folder of its own and publishes them by renaming, then by one
replacement of the manifest. Whatever a killed run leaves is named by no manifest, and the next
writer removes it under the same lock.
"""

import re
import shutil
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flagmart import durable, locks
from flagmart.errors import FlagmartError
from flagmart.settings import DataFolder
from flagmart.warehouse import manifest, repeats, unchanged
from flagmart.warehouse.landing import (
    FEATBIT,
    GROUP_ROWS,
    LANDINGS,
    SCHEMA,
    TIME,
    InputCounts,
    Landing,
    Rejects,
    Run,
    RunResult,
    next_moment,
    record,
    run_id,
)
from flagmart.warehouse.manifest import LandedFile, Manifest
from flagmart.warehouse.repeats import Dropped

FILE_ROWS = 10 * GROUP_ROWS
"""Rows of every file of a run but its last."""


class ParquetLanding:
    """One landing in the data folder."""

    def __init__(self, data: DataFolder, landing: Landing = FEATBIT) -> None:
        self._data = data
        self._landing = landing
        self.folder = data.landing / landing.name
        self.rejects = data.rejects / landing.name

    def open_run(self, source: str, inputs: tuple[str, ...]) -> AbstractContextManager[Run]:
        """A run that is abandoned, without a trace, unless it is finished before the block ends.

        Args:
            source: clickhouse, postgres, mongodb, file or prefab.
            inputs: what was asked to be read, for the manifest.

        Raises:
            FlagmartError: another process writes to this landing, or it is unusable.
        """
        return self._open_run(source, inputs)

    @contextmanager
    def _open_run(self, source: str, inputs: tuple[str, ...]) -> Iterator[Run]:
        with self.held() as before:
            run = _ParquetRun(self, before, self._last_moment(before), source, inputs)
            try:
                yield run
            finally:
                run.close()

    def find_repeats(
        self, staged: list[Path], landed: list[Path], spill: Path
    ) -> Iterator[Dropped]:
        """Which of a run's rows do not land."""
        find = unchanged.find if self._landing.versioned else repeats.find
        return find(staged, FILE_ROWS, landed, spill)

    def _last_moment(self, before: Manifest) -> datetime | None:
        """When the newest run of any landing was; one writer at a time, so none is under way."""
        others = (
            manifest.read(self._data.landing / other.name)
            for other in LANDINGS
            if other != self._landing
        )
        newest = [known.newest for known in (before, *others) if known.newest is not None]
        moments = [datetime.fromisoformat(run.ingested_at).astimezone(UTC) for run in newest]
        return max(moments, default=None)

    @contextmanager
    def held(self) -> Iterator[Manifest]:
        """What has landed, with nobody else writing and nothing left of killed runs.

        Raises:
            FlagmartError: another process writes to a landing, or this one is unusable.
        """
        for folder in (self.folder, self.rejects, self._data.locks):
            self._data.ensure(folder)
        with locks.held(self._data.locks / "landing.lock", f"the landing of {self._data.root}"):
            before = manifest.read(self.folder)
            self._remove_leftovers(before)
            self._check_files(before)
            yield before

    def _remove_leftovers(self, known: Manifest) -> None:
        """What a killed run left: nothing the manifest names, and nothing but what a run makes."""
        named = known.names
        newest = "" if known.newest is None else known.newest.run_id
        for path in self.folder.iterdir():
            if path.name.startswith(".staging-"):
                shutil.rmtree(path)
            elif path.name == f"{manifest.NAME}.tmp" or (
                FILE_NAME.fullmatch(path.name) and path.name not in named
            ):
                path.unlink()
        for path in self.rejects.iterdir():
            # each writer begins with this, so what is left is of a run after all that are complete
            if path.name.startswith(".staging-") or (
                _REJECTS_NAME.fullmatch(path.name) and path.stem > newest
            ):
                path.unlink()

    def _check_files(self, known: Manifest) -> None:
        missing = sorted(name for name in known.names if not (self.folder / name).exists())
        if missing:
            raise FlagmartError(
                f"{self.folder / missing[0]} is missing ({len(missing)} of {len(known.names)} "
                "landed files); put it back before anything else lands"
            )


_RUN_ID = r"\d{8}T\d{12}Z"
FILE_NAME = re.compile(rf"{_RUN_ID}-m?\d+\.parquet|runs-{_RUN_ID}\.parquet")
"""What the landing's own files are called, of rows and of its history."""
_REJECTS_NAME = re.compile(_RUN_ID + r"\.jsonl")


class _ParquetRun:
    def __init__(
        self,
        landing: ParquetLanding,
        before: Manifest,
        last: datetime | None,
        source: str,
        inputs: tuple[str, ...],
    ) -> None:
        self._landing = landing
        self._folder = landing.folder
        self._before = before
        self._source = source
        self._asked = inputs
        self._ingested_at = next_moment(last)
        self.run_id = run_id(self._ingested_at)
        self._staging = self._folder / f".staging-{self.run_id}"
        self._staging.mkdir()
        self._writer = Writer(self._staging, "read")
        self._rejects = Rejects(landing.rejects, self.run_id)
        self._inputs: list[InputCounts] = []
        self._starts: list[int] = []  # the position of each input's first row

    def begin(self, label: str) -> None:
        self._inputs.append(InputCounts(label))
        self._starts.append(self._writer.rows)

    def append(self, events: pa.RecordBatch) -> None:
        self._inputs[-1].landed += events.num_rows
        self._writer.write(self._completed(events))

    def reject(self, line: int | None, reason: str, text: str) -> None:
        self._rejects.unreadable(self._inputs[-1], line, reason, text)

    def landed_before(self, ids: pa.Array) -> pa.Array:
        landed = [self._folder / file.name for file in self._before.files]
        return repeats.among(ids, landed, self._staging / "spill")

    def finish(self) -> RunResult:
        self._writer.close()
        files = self._drop_repeats(self._writer.files)
        result = RunResult(self._inputs)
        if not result.total("read"):
            return result
        if self._before.newest is None:
            # so that files without a manifest always mean a lost one, and never a first run killed
            manifest.write(self._folder, self._before)
        published = tuple(
            self._publish(path, f"{self.run_id}-{number:05d}.parquet")
            for number, path in enumerate(files)
        )
        rejects = self._rejects.publish()
        durable.sync_folder(self._folder)
        recorded = record(self._ingested_at, self._source, self._asked, result, published)
        manifest.write(self._folder, replace(self._before, runs=(*self._before.runs, recorded)))
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
        moment = pa.scalar(self._ingested_at.replace(tzinfo=None), TIME)
        column["ingested_at"] = pa.repeat(moment, rows)
        column["run_id"] = pa.repeat(pa.scalar(self.run_id, pa.string()), rows)
        column["source"] = pa.repeat(pa.scalar(self._source, pa.string()), rows)
        return pa.RecordBatch.from_arrays([column[name] for name in SCHEMA.names], schema=SCHEMA)

    def _drop_repeats(self, staged: list[Path]) -> list[Path]:
        """The staged files if nothing repeats, else new ones without what does."""
        if not staged:
            return []
        # what reading has left over goes back first, so that DuckDB's share does not come on top
        pa.default_memory_pool().release_unused()
        landed = [self._folder / file.name for file in self._before.files]
        dropped = self._landing.find_repeats(staged, landed, self._staging / "spill")
        following = next(dropped, None)  # the first row that does not land
        if following is None:
            return staged
        kept = Writer(self._staging, "kept")
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
        self._rejects.conflicting(counts, batch.slice(row, 1))

    def _publish(self, path: Path, name: str) -> LandedFile:
        return publish(path, self._folder / name)


def publish(staged: Path, target: Path) -> LandedFile:
    """Give a file that was staged its name in the landing."""
    durable.sync_file(staged)
    with pq.ParquetFile(staged) as parquet:
        rows = parquet.metadata.num_rows
    staged.rename(target)
    return LandedFile(target.name, rows, target.stat().st_size)


class Writer:
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
        """Take a batch of the landing's columns."""
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
