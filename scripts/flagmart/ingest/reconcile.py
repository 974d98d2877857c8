"""What a store has, against what landed of it and what the models accepted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from flagmart.ingest.stores import Bounds, Store
from flagmart.warehouse import landed, open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flagmart.settings import DataFolder
    from flagmart.warehouse.landed import Group
    from flagmart.warehouse.protocol import Relation, Warehouse

_EPOCH = date(1970, 1, 1)


class CountedStore(Store, Protocol):
    """A store that can count its events itself."""

    def counts(self, bounds: Bounds) -> Iterator[Group]:
        """Events by environment, day of the client's clock and event, each id once.

        The same three may come more than once, of different tables.
        """

    def usage(self) -> Iterator[tuple[str, date, int, int]]:
        """What FeatBit itself counted, where it does: environment, day, evaluations, metric events.

        The day is that of FeatBit's server when the events came, not of the client's clock.
        """


@dataclass
class Line:
    """Events of one environment, day of the client's clock (UTC) and kind."""

    env_id: str
    day: date | None
    """None where the clock shows none, or no day of a calendar."""
    event: str
    stored: int = 0
    """What the store has now, each id once."""
    landed: int = 0
    """What landed, from this store or from elsewhere; it stays when the store is cleaned up."""
    accepted: int | None = None
    """What of it the models take for evaluations and metric events; None where none were built."""

    @property
    def missing(self) -> int:
        """How many at least have not landed."""
        return max(self.stored - self.landed, 0)


@dataclass
class Usage:
    """What FeatBit itself counted on a day of its server's clock."""

    env_id: str
    day: date
    evaluations: int
    metric_events: int


@dataclass
class Reconciliation:
    """A store beside the landing."""

    store: str
    lines: list[Line]
    usage: list[Usage]
    """Empty where the store keeps no such account."""

    @property
    def missing(self) -> int:
        """How many events at least have not landed."""
        return sum(line.missing for line in self.lines)


@dataclass(frozen=True)
class Scope:
    """What is compared: environments, and whole days of the client's clock."""

    envs: tuple[str, ...] = ()
    first_day: date | None = None
    end_day: date | None = None
    """The first that is left out."""

    @property
    def since(self) -> datetime | None:
        """The first instant."""
        return _midnight(self.first_day)

    @property
    def until(self) -> datetime | None:
        """The first instant that is left out."""
        return _midnight(self.end_day)


def reconcile(
    store: CountedStore,
    data: DataFolder,
    scope: Scope,
    base: Relation | None,
    wait_seconds: float,
    say: Callable[[str], None],
) -> Reconciliation:
    """Count on all sides.

    Args:
        store: connected.
        data: the data folder.
        scope: what is compared.
        base: the relation of all landed events as the models judge them; None where dbt has made
            none yet.
        wait_seconds: how long to wait while another process holds DuckDB's file.
        say: told at once who holds it.

    Raises:
        FlagmartError: the store, the landing or the engine cannot be read.
    """
    lines: dict[tuple[str, date | None, str], Line] = {}

    def line(env_id: str, day: date | None, event: str) -> Line:
        key = (env_id, day, event)
        return lines.setdefault(key, Line(*key))

    bounds = Bounds(scope.envs, scope.since, scope.until)
    for group in store.counts(bounds):
        line(group.env_id, day_of(group.day), group.event).stored += group.rows
    for group in landed.counts(data, scope.envs, _number(scope.first_day), _number(scope.end_day)):
        line(group.env_id, day_of(group.day), group.event).landed += group.rows
    if base is not None:
        accepted = _accepted(data, scope, base, wait_seconds, say)
        for (env_id, day, event), rows in accepted.items():
            line(env_id, day, event).accepted = rows
        for one in lines.values():
            one.accepted = one.accepted or 0
    usage = [
        Usage(env_id, day, evaluations, metrics)
        for env_id, day, evaluations, metrics in store.usage()
        if (not scope.envs or env_id in scope.envs)
        and (scope.first_day is None or day >= scope.first_day)
        and (scope.end_day is None or day < scope.end_day)
    ]
    ordered = sorted(lines.values(), key=lambda one: (one.env_id, one.day or date.min, one.event))
    return Reconciliation(store.label, ordered, usage)


def _accepted(
    data: DataFolder,
    scope: Scope,
    base: Relation,
    wait_seconds: float,
    say: Callable[[str], None],
) -> dict[tuple[str, date | None, str], int]:
    with open_reader(data, wait_seconds, say) as reader:
        rows = _counted(reader, base) if reader.has(base) else []
    found: dict[tuple[str, date | None, str], int] = defaultdict(int)
    for env_id, day, event, outcome, count in rows:
        if outcome == "rejected" or (scope.envs and env_id not in scope.envs):
            continue
        if scope.first_day and (day is None or day < scope.first_day):
            continue
        if scope.end_day and (day is None or day >= scope.end_day):
            continue
        found[(env_id, day, event)] += count
    return dict(found)


def _counted(
    reader: Warehouse, relation: Relation
) -> Sequence[tuple[str, date | None, str, str, int]]:
    by = ["env_id", "occurred_on", "event", "outcome"]
    return [
        (str(env_id), day if isinstance(day, date) else None, str(event), str(outcome), int(str(n)))
        for env_id, day, event, outcome, n in reader.counts(relation, by)
    ]


def day_of(number: int | None) -> date | None:
    """The date so many days after 1970-01-01; None where no calendar has it."""
    try:
        return None if number is None else _EPOCH + timedelta(days=number)
    except OverflowError:
        return None


def _number(day: date | None) -> int | None:
    return None if day is None else (day - _EPOCH).days


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)
