"""What became of the events, by day of ingestion: the quality marts, and what ingest noted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from flagmart.delivery.deliveries import relation_named
from flagmart.warehouse import landed_runs
from flagmart.warehouse.protocol import NO_DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flagmart.settings import DataFolder
    from flagmart.warehouse.protocol import Relation, Warehouse

_QUALITY = "fct_event_quality"
_OF_QUALITY = ("env_id", "ingested_on", "outcome", "reject_reason", "warning", "events")
_LATENESS = "fct_event_lateness"
_OF_LATENESS = ("ingested_on", "lateness", "events")
OUTCOMES = {"evaluation": "Evaluations", "metric": "Metric events", "rejected": "Rejected"}
_LONGEST, _SHORTEST = timedelta(days=89), timedelta(days=13)
"""From the first day drawn to the last."""
LATENESS = {
    "ahead": "clock ahead of ingestion",
    "under_1m": "under a minute",
    "under_1h": "under an hour",
    "under_1d": "under a day",
    "under_7d": "under 7 days",
    "over_7d": "7 days or more",
}


@dataclass(frozen=True)
class Day:
    """A UTC day of ingestion, of all environments."""

    day: str
    outcomes: dict[str, int]
    repeats: int
    """Records that were there already, or said otherwise of an id that was: left out."""
    unreadable: int
    late: dict[str, int]
    """Accepted events by class of lateness."""

    @property
    def landed(self) -> int:
        """What landed, whatever became of it."""
        return sum(self.outcomes.values())


@dataclass(frozen=True)
class Judged:
    """Events of an environment that were rejected for one reason, or have one warning."""

    env: str
    what: str
    events: int
    last: str
    """The last day on which one landed."""


@dataclass(frozen=True)
class Health:
    """All of it."""

    days: list[Day]
    """In order."""
    rejected: list[Judged]
    """The most frequent first; so are the warnings."""
    warnings: list[Judged]

    @property
    def chart(self) -> dict[str, Any]:
        """Day by day up to the last, without a hole, as the script draws it."""
        if not self.days:
            return {"days": []}
        first, last = (date.fromisoformat(day.day) for day in (self.days[0], self.days[-1]))
        first = max(last - _LONGEST, min(first, last - _SHORTEST))
        known = {day.day: day for day in self.days}
        drawn = [
            (first + timedelta(days=number)).isoformat()
            for number in range((last - first).days + 1)
        ]
        days = [known.get(day, Day(day, {}, 0, 0, {})) for day in drawn]
        return {
            "days": drawn,
            "outcomes": _series(OUTCOMES, [day.outcomes for day in days]),
            "late": _series(LATENESS, [day.late for day in days]),
        }


def read(reader: Warehouse, relations: dict[str, Relation], data: DataFolder) -> Health:
    """Everything since the first event.

    Raises:
        FlagmartError: a model was never built, or the landing cannot be read.
    """
    outcomes: dict[str, Counter[str]] = {}
    rejected: dict[tuple[str, str], list[tuple[int, str]]] = {}
    warned: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for row in _rows(reader, relation_named(relations, _QUALITY), _OF_QUALITY):
        day = row["ingested_on"].isoformat()
        outcomes.setdefault(day, Counter())[row["outcome"]] += row["events"]
        for column, judged in (("reject_reason", rejected), ("warning", warned)):
            if row[column] is not None:
                judged.setdefault((row["env_id"], row[column]), []).append((row["events"], day))
    late: dict[str, Counter[str]] = {}
    for row in _rows(reader, relation_named(relations, _LATENESS), _OF_LATENESS):
        counted = late.setdefault(row["ingested_on"].isoformat(), Counter())
        counted[row["lateness"]] += row["events"]
    repeats: Counter[str] = Counter()
    unreadable: Counter[str] = Counter()
    for run in landed_runs(data):
        repeats[run.ingested_at[:10]] += run.equal_repeats + run.conflicting_repeats
        unreadable[run.ingested_at[:10]] += run.unreadable
    return Health(
        [
            Day(
                day,
                {name: outcomes.get(day, Counter())[name] for name in OUTCOMES},
                repeats[day],
                unreadable[day],
                {name: late.get(day, Counter())[name] for name in LATENESS},
            )
            for day in sorted({*outcomes, *repeats, *unreadable})
        ],
        _judged(rejected),
        _judged(warned),
    )


def _rows(reader: Warehouse, relation: Relation, columns: Sequence[str]) -> list[dict[str, Any]]:
    batches = reader.rows_of_days(relation, columns, ("ingested_on",), [NO_DAY], day=None)
    return [row for batch in batches for row in batch.select(columns).to_pylist()]


def _judged(found: dict[tuple[str, str], list[tuple[int, str]]]) -> list[Judged]:
    judged = [
        Judged(env, what, sum(events for events, _ in counted), max(day for _, day in counted))
        for (env, what), counted in found.items()
    ]
    return sorted(judged, key=lambda one: (-one.events, one.env, one.what))


def _series(names: dict[str, str], days: list[dict[str, int]]) -> list[dict[str, Any]]:
    return [
        {"name": label, "values": [day.get(name, 0) for day in days]}
        for name, label in names.items()
    ]
