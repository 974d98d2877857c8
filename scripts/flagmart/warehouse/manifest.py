"""The manifest of a parquet landing: which runs are complete, and which files hold them.

It is the only truth: a file it does not name does not exist for any reader.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flagmart import durable
from flagmart.errors import FlagmartError

LANDING = "featbit_events"
"""The landing of FeatBit's events: its folder's name below `landing` and `rejects`."""
FORMAT = 1
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
class Manifest:
    """The complete runs of one landing, in order of `ingested_at`."""

    runs: tuple[LandedRun, ...] = ()

    @property
    def files(self) -> list[LandedFile]:
        """Every file that exists for a reader."""
        return [file for run in self.runs for file in run.files]


def read(folder: Path) -> Manifest:
    """The manifest of the landing in `folder`; an empty one where nothing has landed.

    Raises:
        FlagmartError: it is damaged, or of a format this release does not know.
    """
    path = folder / NAME
    try:
        document: Any = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            raise FlagmartError(
                f"{path} has format {document['format']}, this flagmart knows {FORMAT}; "
                "use a newer release"
            )
        return Manifest(tuple(_run(run) for run in document["runs"]))
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
    document = {"format": FORMAT, "runs": [asdict(run) for run in manifest.runs]}
    temporary = folder / f"{NAME}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, indent=1)
        file.write("\n")
    durable.sync_file(temporary)
    temporary.replace(folder / NAME)
    durable.sync_folder(folder)
