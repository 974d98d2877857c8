"""File delivery: look at days that may have changed, write those that did, record them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flagmart import talk
from flagmart.delivery.ledger import Partition
from flagmart.delivery.report import Outcome, Report
from flagmart.delivery.store import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from datetime import date
    from pathlib import Path

    from flagmart.delivery.deliveries import Delivery
    from flagmart.delivery.ledger import Ledger, Target
    from flagmart.delivery.partitions import Written
    from flagmart.destinations.layouts import Layout
    from flagmart.warehouse.protocol import PartitionFigures, Warehouse

ROWS_A_QUERY = 2_000_000
"""Days are read together up to this many rows: fewer scans of the relation, bounded sorts."""


@dataclass(frozen=True)
class Plan:
    """What comparing figures with the ledger tells, before any row is read."""

    look: tuple[PartitionFigures, ...]
    shrunk: dict[date, str]
    """Days that lost rows, with what happened in words."""
    unchanged_rows: int


def plan(
    found: Iterable[PartitionFigures],
    known: dict[date, Partition],
    fingerprint: str,
    *,
    allow_shrink: bool,
) -> Plan:
    """Which days to look at: those with figures other than the ledger's, or all when code changed.

    Args:
        found: figures of the relation as it is.
        known: partitions in place, by day.
        fingerprint: of the models as they are.
        allow_shrink: look at days that lost rows, too.
    """
    present = {figures.day: figures for figures in found}
    shrunk = {}
    for day, old in known.items():
        new = present.get(day)
        if new is None:
            shrunk[day] = f"vanished, {talk.plural(old.rows, 'row')} in place"
        elif new.rows < old.rows:
            shrunk[day] = f"shrank from {old.rows:,} to {talk.plural(new.rows, 'row')}"
    look, unchanged = [], 0
    for day, new in present.items():
        before = known.get(day)
        if before is not None and before.digest is not None and _same(new, before, fingerprint):
            unchanged += new.rows
        elif allow_shrink or day not in shrunk:
            look.append(new)
    return Plan(tuple(look), shrunk, unchanged)


def _same(new: PartitionFigures, old: Partition, fingerprint: str) -> bool:
    return (new.rows, new.newest, fingerprint) == (old.rows, old.newest, old.fingerprint)


def deliver(
    delivery: Delivery,
    layout: Layout,
    target: Target,
    ledger: Ledger,
    folder: Path,
    spool: Path,
    open_warehouse: Callable[[], AbstractContextManager[Warehouse]],
    *,
    allow_shrink: bool,
) -> Report:
    """Bring the folder up to date with the relation.

    Raises:
        FlagmartError: the relation, a column or a value is not as the layout needs it.
        OSError: the folder or the spool cannot be written.
    """
    # what a killed export left there
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir(parents=True)
    known = ledger.partitions(target)
    changed: list[tuple[PartitionFigures, Written]] = []
    already = 0
    with open_warehouse() as warehouse:
        work = plan(
            warehouse.partitions(delivery.relation),
            known,
            delivery.fingerprint,
            allow_shrink=allow_shrink,
        )
        already += work.unchanged_rows
        for figures, written in _look(delivery, layout, warehouse, work.look, spool):
            old = known.get(figures.day)
            if old is not None and old.digest == written.digest:
                ledger.in_place(
                    target,
                    Partition(
                        day=figures.day,
                        rows=written.rows,
                        newest=figures.newest,
                        fingerprint=delivery.fingerprint,
                        digest=written.digest,
                        files=old.files,
                        bytes=old.bytes,
                    ),
                    delivered=False,
                )
                already += written.rows
                _discard(written)
            else:
                changed.append((figures, written))

    store = Folder(folder)
    for figures, written in changed:
        size = sum(path.stat().st_size for path in written.files)
        ledger.replacing(target, figures.day)
        _replace(store, layout, figures.day, written.files)
        ledger.in_place(
            target,
            Partition(
                day=figures.day,
                rows=written.rows,
                newest=figures.newest,
                fingerprint=delivery.fingerprint,
                digest=written.digest,
                files=len(written.files),
                bytes=size,
            ),
            delivered=True,
        )
    vanished = [day for day in work.shrunk if day not in {figures.day for figures in work.look}]
    if allow_shrink:
        for day in vanished:
            ledger.replacing(target, day)
            _replace(store, layout, day, ())
            ledger.gone(target, day)
    shutil.rmtree(spool, ignore_errors=True)

    remarks = () if allow_shrink else _remarks(work)
    removed = len(vanished) if allow_shrink else 0
    return Report(
        delivery=delivery.name,
        destination=delivery.destination,
        outcome=_outcome(bool(changed or removed), remarks, Outcome.DELIVERED),
        unit="partitions",
        parts=len(changed) + removed,
        rows=sum(written.rows for _, written in changed),
        already=already,
        where=str(folder),
        remarks=remarks,
    )


def rehearse(
    delivery: Delivery,
    layout: Layout,
    known: dict[date, Partition],
    folder: Path,
    open_warehouse: Callable[[], AbstractContextManager[Warehouse]],
    *,
    allow_shrink: bool,
) -> Report:
    """What `deliver` would do; reads the rows it would look at and writes nothing."""
    with open_warehouse() as warehouse:
        work = plan(
            warehouse.partitions(delivery.relation),
            known,
            delivery.fingerprint,
            allow_shrink=allow_shrink,
        )
        looked = [
            (figures, written)
            for figures, written in _look(delivery, layout, warehouse, work.look, None)
        ]
    changed = [
        written
        for figures, written in looked
        if (old := known.get(figures.day)) is None or old.digest != written.digest
    ]
    removed = [
        day
        for day in work.shrunk
        if allow_shrink and day not in {figures.day for figures, _ in looked}
    ]
    remarks = () if allow_shrink else _remarks(work)
    rows = sum(written.rows for written in changed)
    return Report(
        delivery=delivery.name,
        destination=delivery.destination,
        outcome=_outcome(bool(changed or removed), remarks, Outcome.WOULD_DELIVER),
        unit="partitions",
        parts=len(changed) + len(removed),
        rows=rows,
        already=work.unchanged_rows + sum(written.rows for _, written in looked) - rows,
        where=str(folder),
        remarks=remarks,
        detail={
            "looked_at": [figures.day.isoformat() for figures, _ in looked],
            "written": {written.day.isoformat(): written.rows for written in changed},
            "removed": [day.isoformat() for day in removed],
        },
    )


def _outcome(anything: bool, remarks: tuple[str, ...], done: Outcome) -> Outcome:
    if remarks:
        return Outcome.PARTLY
    return done if anything else Outcome.NOTHING_NEW


def _remarks(work: Plan) -> tuple[str, ...]:
    return tuple(
        f"{day} {what}; left alone, --allow-shrink replaces it" for day, what in work.shrunk.items()
    )


def _look(
    delivery: Delivery,
    layout: Layout,
    warehouse: Warehouse,
    look: tuple[PartitionFigures, ...],
    spool: Path | None,
) -> Iterator[tuple[PartitionFigures, Written]]:
    from flagmart.delivery.partitions import write_days

    columns = [column.name for column in layout.columns]
    by_day = {figures.day: figures for figures in look}
    done = 0
    with talk.progress(delivery.name, sum(figures.rows for figures in look)) as advance:
        for group in _groups(look):
            batches = warehouse.rows_of_days(
                delivery.relation, columns, layout.order, [figures.day for figures in group]
            )
            for written in write_days(batches, layout, spool, str(delivery.relation)):
                done += written.rows
                advance(done, f"{done:,} rows read, up to {written.day}")
                yield by_day[written.day], written


def _groups(look: tuple[PartitionFigures, ...]) -> Iterator[list[PartitionFigures]]:
    group: list[PartitionFigures] = []
    for figures in look:
        if group and sum(other.rows for other in group) + figures.rows > ROWS_A_QUERY:
            yield group
            group = []
        group.append(figures)
    if group:
        yield group


def _discard(written: Written) -> None:
    for path in written.files:
        path.unlink()


def _replace(store: Folder, layout: Layout, day: date, files: tuple[Path, ...]) -> None:
    """Put one day's files in place of what is there.

    A reader that waits for the mark never sees a mixture.
    """
    folder = layout.folder_of(day)
    if layout.success is not None:
        store.remove(f"{folder}/{layout.success}")
    new = {path.name for path in files}
    for path in files:
        store.put(path, f"{folder}/{path.name}")
    for name in store.names(folder):
        if name not in new and name != layout.success:
            store.remove(f"{folder}/{name}")
    if layout.success is not None and files:
        store.put_empty(f"{folder}/{layout.success}")
