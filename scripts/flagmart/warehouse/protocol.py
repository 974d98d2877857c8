"""What delivery and status ask of an engine; only that engine's own module knows its SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Sequence
    from datetime import date, datetime
    from pathlib import Path

    import pyarrow as pa


@dataclass(frozen=True)
class Relation:
    """A table or view as dbt built it."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Build:
    """What dbt noted in the engine itself of its last run; the hooks of the project write it."""

    invocation_id: str
    finished: bool
    statuses: dict[str, str]
    """How each node ended when it last ran, in this run or an earlier one, by its unique id."""


@dataclass(frozen=True)
class PartitionFigures:
    """What shows cheaply that a partition of a file export may have changed."""

    day: date
    rows: int
    newest: datetime
    """The largest `ingested_at` in it, UTC without zone."""


@dataclass(frozen=True)
class RunFigures:
    """What one ingest run looks like in an HTTP export."""

    ingested_at: datetime
    rows: int
    digest: str
    """Sixteen hex digits: xor of the first 64 bits of md5(message_id), so order does not matter."""


@dataclass(frozen=True)
class IdFile:
    """A parquet file of message ids, and which of its rows are acknowledged."""

    path: Path
    ranges: tuple[tuple[int, int], ...]
    """First and last row number, both included, counted from 0."""


class Warehouse(Protocol):
    """The read side of an engine.

    Every method raises FlagmartError where the relation or a column is missing.
    """

    def build(self) -> Build:
        """What the engine knows of dbt's last run.

        Raises:
            FlagmartError: nothing; the project's hooks have never run.
        """

    def has(self, relation: Relation) -> bool:
        """Whether the relation exists."""

    def partitions(self, relation: Relation) -> list[PartitionFigures]:
        """Figures of each `partition_on`, in order."""

    def rows_of_days(
        self,
        relation: Relation,
        columns: Sequence[str],
        order: Sequence[str],
        days: Collection[date],
    ) -> Generator[pa.RecordBatch, None, None]:
        """`partition_on`, then `columns`, of these days; ordered by (`partition_on`, `order`)."""

    def runs(self, relation: Relation) -> list[RunFigures]:
        """Figures of each `ingested_at`, in order."""

    def repeated_message_ids(self, relation: Relation, runs: Collection[datetime]) -> list[str]:
        """A few message ids of these runs that the relation holds more than once; none is right."""

    def unsent(
        self, relation: Relation, runs: Collection[datetime], acknowledged: Sequence[IdFile]
    ) -> Generator[pa.RecordBatch, None, None]:
        """Rows of these runs whose id is not acknowledged: `ingested_at`, `message_id`, `payload`.

        Ordered by (`ingested_at`, `event_id`, `message_id`).
        """

    def count_unsent(
        self, relation: Relation, runs: Collection[datetime], acknowledged: Sequence[IdFile]
    ) -> int:
        """How many rows `unsent` would give."""

    def counts(self, relation: Relation, by: Sequence[str]) -> list[tuple[object, ...]]:
        """(value of each column in `by`, number of rows), ordered; `by` may be empty."""

    def distinct(self, relation: Relation, column: str, by: str) -> list[tuple[object, int]]:
        """(value of `by`, number of different values of `column`)."""
