from __future__ import annotations

from datetime import date, datetime, timedelta

from flagmart.delivery.files import plan
from flagmart.delivery.ledger import Partition
from flagmart.warehouse.protocol import PartitionFigures

NEWEST = datetime(2026, 3, 5)  # noqa: DTZ001 - UTC without zone, as the engine gives it


def day(number: int) -> date:
    return date(2026, 3, number)


def found(number: int, rows: int = 10, later: int = 0) -> PartitionFigures:
    return PartitionFigures(day(number), rows, NEWEST + timedelta(days=later))


def known(
    number: int, rows: int = 10, fingerprint: str = "f", digest: str | None = "d"
) -> Partition:
    return Partition(day(number), rows, NEWEST, fingerprint, digest, 1, 100)


def looked_at(
    figures: list[PartitionFigures], partitions: list[Partition], *, allow_shrink: bool = False
) -> list[int]:
    work = plan(figures, {p.day: p for p in partitions}, "f", allow_shrink=allow_shrink)
    return [f.day.day for f in work.look]


def test_a_new_day_is_looked_at() -> None:
    assert looked_at([found(1), found(2)], [known(1)]) == [2]


def test_more_rows_or_newer_rows_are_looked_at() -> None:
    assert looked_at(
        [found(1, rows=11), found(2, later=1), found(3)], [known(n) for n in (1, 2, 3)]
    ) == [1, 2]


def test_changed_code_has_every_day_looked_at() -> None:
    assert looked_at([found(1), found(2)], [known(1, fingerprint="old"), known(2)]) == [1]


def test_unknown_code_has_every_day_looked_at_however_it_was_delivered() -> None:
    partitions = {day(1): known(1), day(2): known(2, fingerprint="")}
    work = plan([found(1), found(2)], partitions, "", allow_shrink=False)
    assert [f.day.day for f in work.look] == [1, 2]
    # nor is a day that was looked at under unknown code the same as under known code
    assert looked_at([found(2)], [known(2, fingerprint="")]) == [2]


def test_a_replacement_that_was_cut_short_is_looked_at() -> None:
    assert looked_at([found(1)], [known(1, digest=None)]) == [1]


def test_days_that_lost_rows_are_left_alone_and_named() -> None:
    work = plan(
        [found(1, rows=9), found(2)],
        {day(n): known(n) for n in (1, 2, 3)},
        "f",
        allow_shrink=False,
    )
    assert work.look == ()
    assert work.shrunk == {
        day(1): "shrank from 10 to 9 rows",
        day(3): "vanished, 10 rows in place",
    }
    assert work.unchanged_rows == 10


def test_days_that_lost_rows_are_looked_at_when_allowed() -> None:
    assert looked_at([found(1, rows=9)], [known(1), known(3)], allow_shrink=True) == [1]
