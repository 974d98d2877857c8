"""The manifest of a parquet landing: which runs are complete, and which files hold them.

It is the only truth: a file it does not name does not exist for any reader. Compaction moves what
is known of runs into a file beside it, the history, so that each new run writes a short manifest.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flagmart import durable
from flagmart.errors import FlagmartError

FORMAT = 2
_WITHOUT_HISTORY = 1
"""The format before there was compaction; the same but for what compaction makes."""
NAME = "manifest.json"


@dataclass(frozen=True)
class LandedFile:
    """One parquet file of a run."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class LandedRun:
    """One complete ingest run; read = landed + equal_repeats + conflicting_repeats + unreadable."""

    run_id: str
    source: str
    ingested_at: str
    """ISO 8601, UTC, microseconds, ending in Z; grows from run to run."""
    files: tuple[LandedFile, ...]
    read: int
    landed: int
    equal_repeats: int
    conflicting_repeats: int
    unreadable: int
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """The runs before the last compaction: a parquet file beside the manifest, without `files`."""

    name: str
    runs: int
    run_id: str
    """The newest of them."""
    ingested_at: str
    """Its moment."""


@dataclass(frozen=True)
class Manifest:
    """The complete runs of one landing, in order of `ingested_at`."""

    runs: tuple[LandedRun, ...] = ()
    """Those since the last compaction."""
    history: History | None = None
    """The runs before."""
    merged: tuple[LandedFile, ...] = ()
    """The files of the runs before, in order of landing."""

    @property
    def files(self) -> list[LandedFile]:
        """Every file of rows that exists for a reader, in order of landing."""
        return [*self.merged, *(file for run in self.runs for file in run.files)]

    @property
    def newest(self) -> LandedRun | History | None:
        """The run that landed last."""
        return self.runs[-1] if self.runs else self.history

    @property
    def names(self) -> set[str]:
        """Every file that belongs to the landing, beside the manifest."""
        return {file.name for file in self.files} | (
            {self.history.name} if self.history is not None else set()
        )


def read(folder: Path) -> Manifest:
    """The manifest of the landing in `folder`; an empty one where nothing has landed.

    Raises:
        FlagmartError: it is damaged, or of a format this release does not know.
    """
    path = folder / NAME
    try:
        document: Any = json.loads(path.read_bytes())
        if document["format"] not in (_WITHOUT_HISTORY, FORMAT):
            raise FlagmartError(
                f"{path} has format {document['format']}, this flagmart knows {FORMAT}; "
                "use a newer release"
            )
        history = document.get("history")
        return Manifest(
            tuple(_run(run) for run in document["runs"]),
            None if history is None else History(**history),
            tuple(LandedFile(**file) for file in document.get("merged", ())),
        )
    except FileNotFoundError:
        # the first run writes its manifest before its first file, so files without one mean a loss
        if lost := sum(1 for _ in folder.glob("*.parquet")):
            raise FlagmartError(
                f"{path} is missing, but {lost} landed files lie beside it; put it back from a "
                "copy, or move the landing away and ingest again"
            ) from None
        return Manifest()
    except (ValueError, KeyError, TypeError) as error:
        raise FlagmartError(
            f"{path} is damaged ({error}); put it back from a copy, or move the landing away "
            "and ingest again"
        ) from error


def _run(run: dict[str, Any]) -> LandedRun:
    files = tuple(LandedFile(**file) for file in run["files"])
    return LandedRun(**{**run, "files": files, "inputs": tuple(run["inputs"])})


def write(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step that outlives a power cut."""
    document = {
        "format": FORMAT,
        "history": None if manifest.history is None else asdict(manifest.history),
        "merged": [asdict(file) for file in manifest.merged],
        "runs": [asdict(run) for run in manifest.runs],
    }
    temporary = folder / f"{NAME}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, indent=1)
        file.write("\n")
    durable.sync_file(temporary)
    temporary.replace(folder / NAME)
    durable.sync_folder(folder)


_HISTORY: pa.Schema = pa.schema(
    [
        ("run_id", pa.string()),
        ("source", pa.string()),
        ("ingested_at", pa.string()),
        *((count, pa.int64()) for count in ("read", "landed", "equal_repeats")),
        *((count, pa.int64()) for count in ("conflicting_repeats", "unreadable")),
        ("inputs", pa.list_(pa.string())),
    ]
)
_HISTORY_ROWS = 50_000


def all_runs(folder: Path) -> Iterator[LandedRun]:
    """Every complete run of the landing in `folder`, those of the history without their files.

    Raises:
        FlagmartError: the manifest is damaged or of another format, or the history is.
    """
    known = read(folder)
    if known.history is not None:
        for batch in _history(folder / known.history.name):
            for facts in batch.to_pylist():
                yield LandedRun(**{**facts, "files": (), "inputs": tuple(facts["inputs"])})
    yield from known.runs


def _history(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(_HISTORY_ROWS)
    except (OSError, pa.ArrowException) as error:
        raise FlagmartError(
            f"{path}, the history of the landing, cannot be read ({error}); put it back from a copy"
        ) from error


def write_history(folder: Path, known: Manifest, staged: Path) -> History:
    """Write all runs of `known` to `staged`; what comes back names the file as it shall be called.

    Raises:
        FlagmartError: the history so far cannot be read.
    """
    newest = known.runs[-1]
    with pq.ParquetWriter(staged, _HISTORY, compression="zstd") as writer:
        if known.history is not None:
            for batch in _history(folder / known.history.name):
                writer.write_batch(batch)
        for batch in _batches(known.runs):
            writer.write_batch(batch)
    durable.sync_file(staged)
    before = 0 if known.history is None else known.history.runs
    return History(
        f"runs-{newest.run_id}.parquet",
        before + len(known.runs),
        newest.run_id,
        newest.ingested_at,
    )


def _batches(runs: Iterable[LandedRun]) -> Iterator[pa.RecordBatch]:
    rows = [{name: getattr(run, name) for name in _HISTORY.names} for run in runs]
    yield from pa.Table.from_pylist(rows, schema=_HISTORY).to_batches(_HISTORY_ROWS)
