"""What a sync remembers of its last good build, beside dbt's artifacts: to do less, never more."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from flagmart import project

if TYPE_CHECKING:
    from pathlib import Path

_NAME = "flagmart_sync.json"


@dataclass(frozen=True)
class Note:
    """A build that ended well."""

    deliveries: tuple[str, ...]
    """What was asked for."""
    variables: str | None
    newest_run: str
    """The run that had landed last by then."""
    tested_at: str
    """When all tests last passed; ISO 8601."""


def read(project_dir: Path) -> Note | None:
    """The note; None where there is none that can be read."""
    try:
        said = json.loads((project.target_folder(project_dir) / _NAME).read_bytes())
        return Note(**{**said, "deliveries": tuple(said["deliveries"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def write(project_dir: Path, note: Note) -> None:
    """Replace the note."""
    path = project.target_folder(project_dir) / _NAME
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(note)), encoding="utf-8")
    temporary.replace(path)
