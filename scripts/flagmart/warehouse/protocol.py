"""What delivery and status ask of an engine; only that engine's own module knows its SQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
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


NO_DAY = date(1970, 1, 1)
"""Stands for the day of a relation that is one partition."""
LONG_AGO = datetime(1970, 1, 1)  # noqa: DTZ001 - moments are UTC without zone
"""Stands for the newest moment where none is known."""


@dataclass(frozen=True)
class PartitionFigures:
    """What shows cheaply that a partition of a file export may have changed."""

    day: date
    rows: int
    newest: datetime
    """The largest `ingested_at` in it, UTC without zone."""
    oldest: datetime = LONG_AGO
    """The smallest."""
    dates: tuple[date, date] | None = None
    """The first and the last of the dates asked for; None where not every row has one."""


@dataclass(frozen=True)
class Hints:
    """What the rows of some days have in common, so that an engine may leave others unread."""

    landed_column: str
    oldest: datetime
    newest: datetime
    date_column: str | None = None
    dates: tuple[date, date] | None = None
    """The first and the last of that column, where it is known."""


def hints_of(
    days: Collection[PartitionFigures], landed_column: str, date_column: str | None
) -> Hints:
    """What the figures of these days tell; `date_column` is whose dates they hold."""
    oldest = min(figures.oldest for figures in days)
    newest = max(figures.newest for figures in days)
    dates = [figures.dates for figures in days if figures.dates is not None]
    if len(dates) < len(days):
        return Hints(landed_column, oldest, newest)
    ends = min(first for first, _ in dates), max(last for _, last in dates)
    return Hints(landed_column, oldest, newest, date_column, ends)


def partition_figures(
    relation: Relation, rows: Iterable[Sequence[Any]], day: str | None, newest: str | None
) -> list[PartitionFigures]:
    """Figures from what an engine counted.

    That is the day, rows, rows that landed sometime, newest, oldest, first date and last date.

    Raises:
        FlagmartError: a row without a day, or that never landed.
    """
    found = []
    for value, count, landed, last, first, *dates in rows:
        if value is None or landed != count:
            missing = day if value is None else newest
            raise FlagmartError(f"{relation} has rows without {missing}; mend the model")
        known = (dates[0], dates[1]) if None not in dates else None
        found.append(PartitionFigures(value, count, last or LONG_AGO, first or LONG_AGO, known))
    return found


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


def message_order(key: str | None) -> list[str]:
    """The columns that messages are ordered by; see Warehouse.unsent."""
    return ["ingested_at", *(["batch_key"] if key else []), "event_id", "message_id"]


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

    def columns(self, relation: Relation) -> list[tuple[str, str]]:
        """Name and type of each column, in order; types as destinations.layouts names them.

        Raises:
            FlagmartError: a column has another type.
        """

    def partitions(
        self,
        relation: Relation,
        day: str | None = "partition_on",
        newest: str | None = "ingested_at",
        dates: str | None = None,
    ) -> list[PartitionFigures]:
        """Figures of each value of `day`, in order; of all rows as one, on NO_DAY, without it.

        Without `newest` it is LONG_AGO, as is the oldest. `dates` is a column of dates, which the
        relation may lack.

        Raises:
            FlagmartError: one of the two columns holds a null.
        """

    def rows_of_days(
        self,
        relation: Relation,
        columns: Sequence[str],
        order: Sequence[str],
        days: Collection[date],
        day: str | None = "partition_on",
        hints: Hints | None = None,
    ) -> Generator[pa.RecordBatch, None, None]:
        """`day`, then `columns`, of these days; ordered by (`day`, `order`).

        The first column is `partition_on` and holds NO_DAY where `day` is None. Threads may each
        read such a stream at the same time.
        """

    def runs(self, relation: Relation) -> list[RunFigures]:
        """Figures of each `ingested_at`, in order."""

    def repeated_message_ids(self, relation: Relation, runs: Collection[datetime]) -> list[str]:
        """A few message ids of these runs that the relation holds more than once; none is right."""

    def unsent(
        self,
        relation: Relation,
        runs: Collection[datetime],
        acknowledged: Sequence[IdFile],
        key: str | None = None,
    ) -> Generator[pa.RecordBatch, None, None]:
        """Rows of these runs whose id is not acknowledged: `ingested_at`, `message_id`, `payload`.

        Ordered by (`ingested_at`, `event_id`, `message_id`). With a column as `key`, its value is
        there as `batch_key`, and the rows of a run are ordered by it first.
        """

    def among(
        self,
        relation: Relation,
        runs: Collection[datetime],
        ids: Sequence[IdFile],
        key: str | None = None,
    ) -> Generator[pa.RecordBatch, None, None]:
        """As `unsent`, but the rows whose id is among these; there is one file at least."""

    def values(
        self, relation: Relation, columns: Sequence[str], among: Sequence[IdFile] | None = None
    ) -> Generator[pa.RecordBatch, None, None]:
        """These columns of every row, in no order; only of rows with one of these message ids."""

    def count_unsent(
        self, relation: Relation, runs: Collection[datetime], acknowledged: Sequence[IdFile]
    ) -> int:
        """How many rows `unsent` would give."""

    def counts(self, relation: Relation, by: Sequence[str]) -> list[tuple[object, ...]]:
        """(value of each column in `by`, number of rows), ordered; `by` may be empty."""

    def distinct(self, relation: Relation, column: str, by: str) -> list[tuple[object, int]]:
        """(value of `by`, number of different values of `column`)."""

    def asked(
        self,
        view: Relation,
        said: Mapping[str, str],
        columns: Sequence[str],
        order: Sequence[str] = (),
    ) -> list[tuple[Any, ...]]:
        """Rows of a view that depends on what is said along with the query, in this order.

        Args:
            view: one whose texts the macro `asked_text` made.
            said: value by name, all that the view asks for.
            columns: what to give of it.
            order: columns to sort by.
        """
