"""Merging the small files of a parquet landing: many runs stay quick to read and to add to.

Rows, their order and their columns stay as they are. The new files lie beside the old ones until
the manifest names them; from then on the old ones do not exist, and are removed. What is known of
the merged runs goes into the history. A compaction that is killed leaves the landing as it was or
as it will be, and the next writer removes the rest.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from flagmart import durable, talk
from flagmart.errors import FlagmartError
from flagmart.warehouse import duckdb, manifest, parquet_landing
from flagmart.warehouse.landing import GROUP_ROWS, LANDINGS, SCHEMA, Landing
from flagmart.warehouse.manifest import LandedFile, Manifest
from flagmart.warehouse.parquet_landing import ParquetLanding, Writer
from flagmart.warehouse.protocol import Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flagmart.settings import DataFolder

_SCHEMA_OF_VIEWS = "flagmart_landing"
"""As the macro `landing_schema` names it."""


@dataclass(frozen=True)
class Compacted:
    """What became of one landing."""

    landing: str
    runs: int
    """Complete runs, old and new; none is lost."""
    rows: int
    files_before: int
    files: int
    bytes_before: int
    bytes: int


def compact(data: DataFolder, wait_seconds: float, *, dry_run: bool = False) -> list[Compacted]:
    """Merge what is small in each landing that has anything.

    Args:
        data: the data folder.
        wait_seconds: how long to wait while another process holds the DuckDB file: its queries may
            be reading the files that go.
        dry_run: say what would be merged, and change nothing; sizes stay as they are.

    Raises:
        FlagmartError: another process writes to a landing, holds the DuckDB file for longer, or a
            file is missing or damaged.
    """
    found = []
    for landing in LANDINGS:
        if not (data.landing / landing.name / manifest.NAME).exists():
            continue
        kept = ParquetLanding(data, landing)
        if dry_run:
            found.append(_planned(landing, manifest.read(kept.folder)))
            continue
        with kept.held() as before:
            found.append(_compact(data, landing, kept.folder, before, wait_seconds))
    return found


def _planned(landing: Landing, known: Manifest) -> Compacted:
    groups = list(_groups(known.files))
    files = sum(_expected(group) for group in groups)
    return _result(landing, known, known, files)


def _expected(group: Sequence[LandedFile]) -> int:
    if len(group) == 1:
        return 1
    return max(1, -(-sum(file.rows for file in group) // parquet_landing.FILE_ROWS))


def _result(landing: Landing, before: Manifest, after: Manifest, files: int) -> Compacted:
    return Compacted(
        landing=landing.name,
        runs=len(after.runs) + (0 if after.history is None else after.history.runs),
        rows=sum(file.rows for file in after.files),
        files_before=len(before.files),
        files=files,
        bytes_before=sum(file.bytes for file in before.files),
        bytes=sum(file.bytes for file in after.files),
    )


def _groups(files: Sequence[LandedFile]) -> Iterator[list[LandedFile]]:
    """Files in order, those that are merged together in one group.

    A file of half the full size or more stays: to write it again gains little, and each row is
    written again only as often as it takes to get there.
    """
    group: list[LandedFile] = []
    for file in files:
        if file.rows * 2 >= parquet_landing.FILE_ROWS:
            if group:
                yield group
            yield [file]
            group = []
        else:
            group.append(file)
    if group:
        yield group


def _compact(
    data: DataFolder, landing: Landing, folder: Path, before: Manifest, wait_seconds: float
) -> Compacted:
    groups = list(_groups(before.files))
    if not before.runs or (len(before.runs) == 1 and all(len(group) == 1 for group in groups)):
        return _result(landing, before, before, len(before.files))
    staging = folder / ".staging-compaction"
    staging.mkdir()
    try:
        history = manifest.write_history(folder, before, staging / "history")
        after = Manifest((), history, tuple(_merged(folder, staging, before, groups)))
        rows = [sum(file.rows for file in known.files) for known in (before, after)]
        if rows[0] != rows[1]:
            raise FlagmartError(
                f"{folder}: {rows[0]:,} rows became {rows[1]:,} on merging, so all stays as it "
                "was; a landed file may be damaged"
            )
        (staging / "history").rename(folder / history.name)
        durable.sync_folder(folder)
        with duckdb.reading_files(
            data.duckdb,
            data.spill,
            wait_seconds,
            talk.say,
            Relation(_SCHEMA_OF_VIEWS, landing.name),
            SCHEMA.names,
            [folder / file.name for file in after.files],
        ):
            manifest.write(folder, after)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        with suppress(FlagmartError):
            named = manifest.read(folder).names
            for path in _made_here(folder):
                if path.name not in named:
                    path.unlink()
    return _result(landing, before, after, len(after.files))


def _made_here(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if parquet_landing.FILE_NAME.fullmatch(path.name)]


def _merged(
    folder: Path, staging: Path, before: Manifest, groups: Sequence[Sequence[LandedFile]]
) -> Iterator[LandedFile]:
    total = sum(file.bytes for group in groups if len(group) > 1 for file in group)
    taken = before.names
    done = 0
    with talk.progress("compact", total) as advance:
        for number, group in enumerate(groups):
            if len(group) == 1:
                yield group[0]
                continue
            writer = Writer(staging, f"merged-{number}")
            try:
                for file in group:
                    with pq.ParquetFile(folder / file.name) as source:
                        for batch in source.iter_batches(GROUP_ROWS // 10):
                            writer.write(batch.cast(SCHEMA))
                    done += file.bytes
                    advance(done, f"{done / 1e6:,.0f} MB")
                writer.close()
            finally:
                writer.abandon()
            first_run = group[0].name.partition("-")[0]
            names = (f"{first_run}-m{place:05d}.parquet" for place in count())
            for path in writer.files:
                name = next(name for name in names if name not in taken)
                yield parquet_landing.publish(path, folder / name)
