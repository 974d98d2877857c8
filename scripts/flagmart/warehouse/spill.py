"""Where an engine of DuckDB puts what its memory cannot hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def spilling_into(memory: str, folder: Path) -> dict[str, Any]:
    """Settings of an engine that keeps to `memory` (such as 384MB) and spills into `folder`.

    DuckDB makes that folder as it needs it, but none above it, and takes it away with the last of
    what processes keep there, each under names of its own.
    """
    return {"memory_limit": memory, "temp_directory": str(folder)}
