"""What became of a delivery in one export."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How one delivery ended."""

    DELIVERED = "delivered"
    NOTHING_NEW = "nothing new"
    PARTLY = "partly"
    """Something was left out or refused: named in the report's remarks."""
    WOULD_DELIVER = "would deliver"
    """A dry run that found something to do."""
    FAILED = "failed"


@dataclass(frozen=True)
class Report:
    """One row of what `flagmart export` prints."""

    delivery: str
    destination: str
    outcome: Outcome
    unit: str = ""
    """What `parts` counts: `partitions` of files, `requests` over HTTP."""
    parts: int = 0
    rows: int = 0
    """Rows written, or messages acknowledged."""
    already: int = 0
    """Rows that were there before and still are."""
    dead: int = 0
    """Messages that became dead letters."""
    where: str = ""
    remarks: tuple[str, ...] = ()
    detail: dict[str, Any] | None = None
    """Of a dry run: what would be written, or the first request."""
    dead_letters: tuple[dict[str, object], ...] = ()
    """The first thousand of them."""
