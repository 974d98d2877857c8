"""File delivery: look at days that may have changed, write those that did, record them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flagmart import talk
from flagmart.delivery.ledger import Partition
from flagmart.delivery.report import Outcome, Report
from flagmart.delivery.store import Folder, meant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from datetime import date
    from pathlib import Path

    from flagmart.delivery.deliveries import Built, Delivery
    from flagmart.delivery.ledger import Ledger, Target
    from flagmart.delivery.partitions import Written
    from flagmart.delivery.places import Place
    from flagmart.destinations.layouts import Layout
    from flagmart.warehouse.protocol import PartitionFigures, Warehouse

NAMED_DAYS = 5
"""Days that lost rows are named one by one up to this many."""
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
        fingerprint: of the code the relation was built from; '' where that is not known, and then
            every day is looked at.
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
    same = (new.rows, new.newest, fingerprint) == (old.rows, old.newest, old.fingerprint)
    return same and fingerprint != ""


@dataclass(frozen=True)
class _Findings:
    """What reading the rows of a plan's days tells."""

    work: Plan
    changed: tuple[tuple[Partition, tuple[Path, ...]], ...]
    """As they will be, and their files in the spool; none in a rehearsal."""
    equal: tuple[Partition, ...]
    removed: tuple[date, ...]

    def report(
        self,
        delivery: Delivery,
        place: Place,
        done: Outcome,
        *,
        allow_shrink: bool,
        detail: dict[str, Any] | None = None,
    ) -> Report:
        """What became of it; `done` where anything was to be done."""
        remarks = () if allow_shrink else shrunk_remarks(self.work)
        anything = bool(self.changed or self.removed)
        return Report(
            delivery=delivery.name,
            destination=delivery.destination,
            outcome=Outcome.PARTLY if remarks else done if anything else Outcome.NOTHING_NEW,
            unit="partitions",
            parts=len(self.changed) + len(self.removed),
            rows=sum(partition.rows for partition, _ in self.changed),
            already=self.work.unchanged_rows + sum(partition.rows for partition in self.equal),
            where=str(place.folder),
            remarks=remarks,
            detail=detail,
        )


def deliver(
    delivery: Delivery,
    place: Place,
    target: Target,
    ledger: Ledger,
    spool: Path,
    open_built: Callable[[], AbstractContextManager[Built]],
    *,
    allow_shrink: bool,
) -> Report:
    """Bring the folder up to date with the relation.

    Raises:
        FlagmartError: the build must not go out, or the relation, a column or a value is not as
            the layout needs it.
        OSError: the folder or the spool cannot be written.
    """
    # what a killed export left there
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir(parents=True)
    known = ledger.partitions(target)
    found = _find(delivery, place, known, spool, open_built, allow_shrink=allow_shrink)
    for partition in found.equal:
        ledger.in_place(target, partition, delivered=False)
    store = Folder(place.folder)
    for partition, files in found.changed:
        ledger.replacing(target, partition.day)
        _replace(store, place.layout, partition.day, files)
        ledger.in_place(target, partition, delivered=True)
    for day in found.removed:
        ledger.replacing(target, day)
        _replace(store, place.layout, day, ())
        ledger.gone(target, day)
    shutil.rmtree(spool, ignore_errors=True)
    return found.report(delivery, place, Outcome.DELIVERED, allow_shrink=allow_shrink)


def rehearse(
    delivery: Delivery,
    place: Place,
    known: dict[date, Partition],
    open_built: Callable[[], AbstractContextManager[Built]],
    *,
    allow_shrink: bool,
) -> Report:
    """What `deliver` would do; reads the rows it would look at and writes nothing."""
    found = _find(delivery, place, known, None, open_built, allow_shrink=allow_shrink)
    return found.report(
        delivery,
        place,
        Outcome.WOULD_DELIVER,
        allow_shrink=allow_shrink,
        detail={
            "looked_at": [figures.day.isoformat() for figures in found.work.look],
            "written": {
                partition.day.isoformat(): partition.rows for partition, _ in found.changed
            },
            "removed": [day.isoformat() for day in found.removed],
        },
    )


def _find(
    delivery: Delivery,
    place: Place,
    known: dict[date, Partition],
    spool: Path | None,
    open_built: Callable[[], AbstractContextManager[Built]],
    *,
    allow_shrink: bool,
) -> _Findings:
    standing = place.standing(known)
    changed: list[tuple[Partition, tuple[Path, ...]]] = []
    equal: list[Partition] = []
    with open_built() as built:
        figures_now = built.warehouse.partitions(delivery.relation)
        work = plan(figures_now, standing, built.fingerprint, allow_shrink=allow_shrink)
        for figures, written in _look(delivery, place.layout, built.warehouse, work.look, spool):
            partition = Partition(
                day=figures.day,
                rows=written.rows,
                newest=figures.newest,
                fingerprint=built.fingerprint,
                digest=written.digest,
                files=len(written.files),
                bytes=sum(path.stat().st_size for path in written.files),
            )
            old = standing.get(figures.day)
            if old is None or old.digest != written.digest:
                changed.append((partition, written.files))
                continue
            equal.append(replace(partition, files=old.files, bytes=old.bytes))
            for path in written.files:
                path.unlink()
    removed = tuple(day for day in work.shrunk if day not in {f.day for f in figures_now})
    return _Findings(work, tuple(changed), tuple(equal), removed if allow_shrink else ())


def shrunk_remarks(work: Plan) -> tuple[str, ...]:
    """A line for each of the first days that lost rows, and how many more there are."""
    lines = [
        f"{day} {what}; left alone until --allow-shrink"
        for day, what in list(work.shrunk.items())[:NAMED_DAYS]
    ]
    if more := len(work.shrunk) - len(lines):
        lines.append(f"{talk.plural(more, 'more day')} lost rows; left alone until --allow-shrink")
    return tuple(lines)


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


def _replace(store: Folder, layout: Layout, day: date, files: tuple[Path, ...]) -> None:
    """Put one day's files in place of those that are there; what is not ours stays.

    A reader that waits for the mark never sees a mixture.
    """
    folder = layout.folder_of(day)
    if layout.success is not None:
        store.remove(f"{folder}/{layout.success}")
    new = {path.name for path in files}
    for path in files:
        store.put(path, f"{folder}/{path.name}")
    for name in store.names(folder):
        if name not in new and name != layout.success and layout.makes(meant(name)):
            store.remove(f"{folder}/{name}")
    if layout.success is not None and files:
        store.put_empty(f"{folder}/{layout.success}")
