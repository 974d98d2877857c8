from __future__ import annotations

from datetime import date, datetime

import pytest

from flagmart.errors import FlagmartError
from flagmart.warehouse.protocol import (
    LONG_AGO,
    Hints,
    PartitionFigures,
    Relation,
    Stretch,
    packed,
    partition_figures,
)

RELATION = Relation("main", "events")
DAY = date(2026, 3, 1)
LANDED = datetime(2026, 3, 5)  # noqa: DTZ001 - UTC without zone, as the engine gives it


def at(hour: int) -> datetime:
    return datetime(2026, 3, 1, hour)  # noqa: DTZ001


def hour(
    number: int, least: int, greatest: int, *, rows: int = 10, day: date = DAY
) -> tuple[object, ...]:
    return (day, rows, rows, LANDED, LANDED, at(number), at(number), least, greatest)


def stretches(*hours: tuple[object, ...]) -> list[tuple[int, int, int]]:
    [figures] = partition_figures(RELATION, hours, "partition_on", "ingested_at")
    assert figures.rows == sum(stretch.rows for stretch in figures.stretches)
    return [(s.rows, s.first.hour, s.last.hour) for s in figures.stretches]


def test_hours_that_follow_each_other_in_order_stay_apart() -> None:
    assert stretches(hour(2, 5, 6), hour(1, 1, 4)) == [(10, 1, 1), (10, 2, 2)]


def test_hours_that_overlap_in_order_are_one() -> None:
    assert stretches(hour(1, 1, 2), hour(2, 3, 5), hour(3, 5, 6), hour(4, 7, 8)) == [
        (10, 1, 1),
        (20, 2, 3),
        (10, 4, 4),
    ]
    # one that reaches back over several takes them all
    assert stretches(hour(1, 1, 2), hour(2, 3, 4), hour(3, 5, 6), hour(4, 3, 9)) == [
        (10, 1, 1),
        (30, 2, 4),
    ]
    assert stretches(hour(1, 7, 8), hour(2, 5, 6), hour(3, 3, 4)) == [(30, 1, 3)]


def test_a_day_of_unknown_times_is_one() -> None:
    unknown = (DAY, 10, 10, LANDED, LANDED, None, None, None, None)
    [figures] = partition_figures(RELATION, [hour(1, 1, 2), unknown], "partition_on", "ingested_at")
    assert figures == PartitionFigures(DAY, 20, LANDED, LANDED)
    assert Hints("ingested_at", "occurred_at", (figures,)).moments is None


def test_hours_are_counted_into_their_days() -> None:
    later = date(2026, 3, 2)
    first, second = partition_figures(
        RELATION,
        [hour(1, 1, 2), hour(2, 3, 4, rows=5), hour(3, 1, 2, day=later)],
        "partition_on",
        "ingested_at",
    )
    assert (first.day, first.rows, second.day, second.rows) == (DAY, 15, later, 10)
    hints = Hints("ingested_at", "occurred_at", (first, second))
    assert (hints.moments, hints.landed) == ((at(1), at(3)), (LANDED, LANDED))


def test_what_never_landed_is_refused_in_any_hour() -> None:
    missing = (DAY, 10, 9, LANDED, LANDED, at(2), at(2), 3, 4)
    with pytest.raises(FlagmartError, match="rows without ingested_at"):
        partition_figures(RELATION, [hour(1, 1, 2), missing], "partition_on", "ingested_at")


def test_parts_are_packed_up_to_what_is_asked_for() -> None:
    parts = [Stretch(rows, LONG_AGO, LONG_AGO) for rows in (4, 6, 1, 25, 5, 5)]
    rows = [[part.rows for part in group] for group in packed(parts, 10)]
    assert rows == [[4, 6], [1], [25], [5, 5]]
    assert list(packed([], 10)) == []
