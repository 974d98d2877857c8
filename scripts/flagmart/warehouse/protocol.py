"""What delivery and status ask of an engine; only that engine's own module knows its SQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
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
class Stretch:
    """Rows of a partition that lie together in time: all from one moment to another."""

    rows: int
    first: datetime
    last: datetime
    """Included; both UTC without zone."""


@dataclass(frozen=True)
class PartitionFigures:
    """What shows cheaply that a partition of a file export may have changed."""

    day: date
    rows: int
    newest: datetime
    """The largest `ingested_at` in it, UTC without zone."""
    oldest: datetime = LONG_AGO
    """The smallest."""
    stretches: tuple[Stretch, ...] = ()
    """All of it, an hour or more each; sorted one by one they are in order as a whole, too.

    None where not every row has a time.
    """


@dataclass(frozen=True)
class Hints:
    """What the rows of some days have in common, so that an engine may leave others unread."""

    landed_column: str
    moment_column: str | None
    """Whose moments the stretches hold."""
    days: tuple[PartitionFigures, ...]
    """Those that are read, in order."""

    @property
    def landed(self) -> tuple[datetime, datetime]:
        """When the first and the last of them landed."""
        oldest = min(figures.oldest for figures in self.days)
        return oldest, max(figures.newest for figures in self.days)

    @property
    def moments(self) -> tuple[datetime, datetime] | None:
        """The first and the last moment of them all, where all have one."""
        if not all(figures.stretches for figures in self.days):
            return None
        return span(stretch for figures in self.days for stretch in figures.stretches)


def span(stretches: Iterable[Stretch]) -> tuple[datetime, datetime]:
    """The first and the last moment of some stretches."""
    ends = [(stretch.first, stretch.last) for stretch in stretches]
    return min(first for first, _ in ends), max(last for _, last in ends)


_Counted = TypeVar("_Counted", PartitionFigures, Stretch)


def packed(parts: Iterable[_Counted], most: int) -> Iterator[list[_Counted]]:
    """Neighbours together up to so many rows; a part that has more stands alone."""
    group: list[_Counted] = []
    for part in parts:
        if group and sum(other.rows for other in group) + part.rows > most:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def partition_figures(
    relation: Relation, rows: Iterable[Sequence[Any]], day: str | None, newest: str | None
) -> list[PartitionFigures]:
    """Figures from what an engine counted of each hour, ordered by day.

    That is the day, rows, rows that landed sometime, newest, oldest; first and last moment, least
    and greatest of what rows are ordered by, null where a row has none.

    Raises:
        FlagmartError: a row without a day, or that never landed.
    """
    found = []
    for value, of_day in groupby(rows, itemgetter(0)):
        hours = list(of_day)
        count = sum(hour[1] for hour in hours)
        if value is None or sum(hour[2] for hour in hours) != count:
            missing = day if value is None else newest
            raise FlagmartError(f"{relation} has rows without {missing}; mend the model")
        latest = max(hour[3] or LONG_AGO for hour in hours)
        oldest = min(hour[4] or LONG_AGO for hour in hours)
        stretches = _stretches([(hour[1], *hour[5:]) for hour in hours])
        found.append(PartitionFigures(value, count, latest, oldest, stretches))
    return found


def _stretches(hours: list[tuple[Any, ...]]) -> tuple[Stretch, ...]:
    """Hours (rows, first, last, least, greatest), made one where their orders overlap."""
    if any(None in hour for hour in hours):
        return ()
    found: list[tuple[Any, ...]] = []
    for rows, first, last, least, greatest in sorted(hours, key=itemgetter(1)):
        while found and found[-1][4] >= least:
            before = found.pop()
            rows, first = rows + before[0], before[1]
            least, greatest = min(least, before[3]), max(greatest, before[4])
        found.append((rows, first, last, least, greatest))
    return tuple(Stretch(*hour[:3]) for hour in found)


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
        moment: str | None = None,
        order: str | None = None,
    ) -> list[PartitionFigures]:
        """Figures of each value of `day`, in order; of all rows as one, on NO_DAY, without it.

        Without `newest` it is LONG_AGO, as is the oldest. Stretches are of the timestamp `moment`,
        which the relation may lack, for who reads rows ordered by `order` first.

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
        read such a stream at the same time; see `read_by`.
        """

    def read_by(self, lanes: int) -> AbstractContextManager[None]:
        """Until the block ends, rows are read by so many threads at the same time."""

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
