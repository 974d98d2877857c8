"""Days that change after Statsig took them up: what it has of them, and what is left to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flagmart import destinations, settings
from flagmart.delivery import places
from flagmart.delivery.ledger import Load
from flagmart.destinations import statsig
from flagmart.destinations.days import day_in

if TYPE_CHECKING:
    from datetime import date, tzinfo

    from flagmart.delivery.deliveries import Delivery
    from flagmart.delivery.ledger import Ledger, Partition, Target
    from flagmart.settings import DataFolder
    from flagmart.warehouse.protocol import Warehouse


@dataclass(frozen=True)
class ChangedDay:
    """A day that changed after Statsig took it up."""

    delivery: str
    destination: str
    where: str
    day: date
    taken: int
    """Rows as Statsig took it up."""
    rows: int
    """As they are now."""
    delivered: bool
    """Whether the change is in the store; else it is judged as if it came there now."""
    statsig: str
    """What Statsig does with it."""
    rule: str
    you: str
    """What is left to a person; '' where nothing is."""
    billed: bool
    """Whether what brings it up to date is a reload, which Statsig bills."""


def after(
    new: Partition,
    old: Partition | None,
    load: Load | None,
    zone: tzinfo,
    *,
    is_finished: bool,
    is_taken: bool,
) -> Load:
    """What Statsig has of a day that was just put in place.

    Args:
        new: as it is now.
        old: as it was in place before, if it was.
        load: what was known of it until now.
        zone: where Statsig's days end.
        is_finished: whether Statsig was told before that the day is finished.
        is_taken: whether Statsig is made to take it up as it is.
    """
    now = settings.now()
    if is_taken or new.day >= day_in(zone, now):
        return Load(new.rows, None)
    if old is None:
        # of a finished day without a file, Statsig has nothing
        return Load(0, now) if is_finished else Load(new.rows, None)
    if load is None:
        load = Load(old.rows, None)
    if new.digest == old.digest:
        return load  # only put back
    if load.changed_at is not None:
        before = statsig.judge(new.day, load.rows, old.rows, day_in(zone, load.changed_at))
        if before.does is statsig.Does.RELOADS:
            load = Load(old.rows, None)
    return Load(load.rows, now)


def changed_days(
    delivery: Delivery,
    target: Target,
    where: str,
    book: Ledger,
    reader: Warehouse,
    data: DataFolder,
    last: date | None,
) -> list[ChangedDay]:
    """Days that Statsig has otherwise than they are, or might come to have so.

    Args:
        delivery: any; there are none of another destination.
        target: the place in question.
        where: the same, for people.
        book: the ledger.
        reader: the engine.
        data: the data folder.
        last: the last finished day; None where Statsig is not told of any and goes by a schedule.
    """
    values = delivery.settings.values
    if values.get("layout") != "statsig" or values.get("sink") != destinations.FILES:
        return []
    if not places.is_files(target.points_to):
        return []
    taken, there = book.loads(target), book.partitions(target)
    now = settings.now()
    zone = places.at(delivery, target.points_to, data).layout.zone
    today = day_in(zone, now)
    changed = []
    for figures in reader.partitions(delivery.relation):
        load, partition = taken.get(figures.day), there.get(figures.day)
        if partition is None or figures.day >= today:
            continue
        delivered = (figures.rows, figures.newest) == (partition.rows, partition.newest)
        load = load or Load(partition.rows, None)
        if delivered and load.changed_at is None:
            continue
        rows = partition.rows if delivered else figures.rows
        changed_at = load.changed_at or now if delivered else now
        verdict = statsig.judge(figures.day, load.rows, rows, day_in(zone, changed_at))
        if last is not None and figures.day > last:
            verdict = statsig.Verdict(statsig.Does.NOT_YET, f"finished days end with {last}")
        does = verdict.does
        age = (today - figures.day).days
        if does is statsig.Does.RELOADS and delivered and age > statsig.RELOAD_DAYS:
            continue  # it has done so
        by_itself = does in (statsig.Does.NOT_YET, statsig.Does.RELOADS)
        todo = [] if delivered else ["export it"]
        if not by_itself:
            todo.append(f"export it with --backfill {figures.day}..{figures.day}, then trigger one")
        changed.append(
            ChangedDay(
                delivery=target.delivery,
                destination=target.destination,
                where=where,
                day=figures.day,
                taken=load.rows,
                rows=rows,
                delivered=delivered,
                statsig=does.value,
                rule=verdict.rule,
                you=todo[-1] if todo else "",
                billed=does is not statsig.Does.NOT_YET,
            )
        )
    return changed
