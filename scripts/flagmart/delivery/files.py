"""File delivery: look at days that may have changed, write those that did, record them."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from flagmart import settings, talk
from flagmart.delivery import loads
from flagmart.delivery.ledger import Partition
from flagmart.delivery.report import Outcome, Report
from flagmart.delivery.store import meant
from flagmart.destinations.days import day_in
from flagmart.errors import FlagmartError
from flagmart.warehouse.protocol import NO_DAY, Hints, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from datetime import date, tzinfo
    from pathlib import Path

    import pyarrow as pa

    from flagmart.delivery.deliveries import Built, Delivery
    from flagmart.delivery.ledger import Ledger, Target
    from flagmart.delivery.partitions import Written
    from flagmart.delivery.places import Place
    from flagmart.delivery.pushdown import Pushdown
    from flagmart.delivery.store import Store
    from flagmart.destinations.layouts import Layout
    from flagmart.warehouse.protocol import PartitionFigures, Warehouse

_Job = TypeVar("_Job")
_Done = TypeVar("_Done")

NAMED_DAYS = 5
"""Days that lost rows are named one by one up to this many."""
ROWS_A_QUERY = 500_000
"""Days are read together up to this many rows: fewer scans of the relation, bounded sorts."""


@dataclass(frozen=True)
class Days:
    """The days from one to another, both of them included."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"


@dataclass(frozen=True)
class Plan:
    """What comparing figures with the ledger tells, before any row is read."""

    look: tuple[PartitionFigures, ...]
    held: tuple[date, ...]
    """Days that are not over, by what has landed, and wait for that."""
    shrunk: dict[date, str]
    """Days that lost rows, with what happened in words."""
    unchanged_rows: int


def plan(
    found: Iterable[PartitionFigures],
    known: dict[date, Partition],
    fingerprint: str,
    *,
    allow_shrink: bool,
    complete_days: tzinfo | None = None,
) -> Plan:
    """Which days to look at: those with figures other than the ledger's, or all when code changed.

    Args:
        found: figures of the relation as it is.
        known: partitions in place, by day.
        fingerprint: of the code the relation was built from; '' where that is not known, and then
            every day is looked at.
        allow_shrink: look at days that lost rows, too.
        complete_days: leave out days from the one on which, in this zone, the newest of these rows
            landed. No clock is asked: a machine that was off has not made a day complete.
    """
    present = {figures.day: figures for figures in found}
    held: list[date] = []
    if complete_days is not None and present:
        newest = day_in(complete_days, max(figures.newest for figures in present.values()))
        held = [day for day in present if day >= newest]
    shrunk = {}
    for day, old in known.items():
        new = present.get(day)
        if new is None:
            shrunk[day] = f"vanished, {talk.plural(old.rows, 'row')} in place"
        elif new.rows < old.rows and day not in held:
            shrunk[day] = f"shrank from {old.rows:,} to {talk.plural(new.rows, 'row')}"
    look, unchanged = [], 0
    for day, new in present.items():
        if day in held:
            continue
        before = known.get(day)
        if before is not None and before.digest is not None and _same(new, before, fingerprint):
            unchanged += new.rows
        elif allow_shrink or day not in shrunk:
            look.append(new)
    return Plan(tuple(look), tuple(held), shrunk, unchanged)


def _same(new: PartitionFigures, old: Partition, fingerprint: str) -> bool:
    same = (new.rows, new.newest, fingerprint) == (old.rows, old.newest, old.fingerprint)
    return same and fingerprint != ""


@dataclass(frozen=True)
class _Findings:
    """What reading the rows of a plan's days tells."""

    work: Plan
    changed: tuple[tuple[Partition, tuple[Path, ...]], ...]
    """As they will be, and their files in the spool; none where nothing is to be written here."""
    equal: tuple[Partition, ...]
    removed: tuple[date, ...]
    backfill: Days | None

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
        shrunk = () if allow_shrink else shrunk_remarks(self.work)
        anything = bool(self.changed or self.removed)
        return Report(
            delivery=delivery.name,
            destination=delivery.destination,
            outcome=Outcome.PARTLY if shrunk else done if anything else Outcome.NOTHING_NEW,
            unit="partitions",
            parts=len(self.changed) + len(self.removed),
            rows=sum(partition.rows for partition, _ in self.changed),
            already=self.work.unchanged_rows + sum(partition.rows for partition in self.equal),
            where=place.where,
            remarks=(*shrunk, *self._about_the_backfill(place.layout)),
            detail=detail,
        )

    def _about_the_backfill(self, layout: Layout) -> tuple[str, ...]:
        if self.backfill is None:
            return ()
        days = sorted(partition.day for partition, _ in self.changed)
        if not days:
            return (f"no day to deliver lies in {self.backfill}",)
        if not layout.reloads:
            return ()
        return (
            f"Statsig does not reload them by itself: trigger its backfill of {days[0]}..{days[-1]}"
            " now; reloads are billed",
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
    backfill: Days | None = None,
    finished: date | None = None,
    pushdown: Callable[[Built], AbstractContextManager[Pushdown]] | None = None,
) -> Report:
    """Bring the place up to date with the relation; in a backfill, some days anew and no other.

    The days up to `finished` are those that Statsig was told to take up, as far as it was. With
    `pushdown` the engine writes the files, and is open until the last of them is in place.

    Raises:
        FlagmartError: the build must not go out, the relation, a column or a value is not as the
            layout needs it, or the store refuses or is away.
        OSError: the folder or the spool cannot be written.
    """
    # what a killed export left there
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir(parents=True)
    store, layout = place.store(), place.layout
    known = ledger.partitions(target)
    taken = ledger.loads(target) if layout.reloads else {}
    one_at_a_time = Lock()

    def replace_day(
        job: tuple[date, tuple[Path, ...], Partition | None], pushed: Pushdown | None
    ) -> date:
        day, files, partition = job
        spooled = {path.name: path for path in files}
        names = list(spooled)

        def put(name: str) -> None:
            if pushed is not None:
                pushed.put(day, name)
            else:
                store.put(spooled[name], layout.path_of(day, name))

        if pushed is not None and partition is not None:
            partition = pushed.write(partition)
            names = [layout.file_of(part) for part in range(partition.files)]
        with one_at_a_time:
            ledger.replacing(target, day)
        _replace(store, layout, day, names, put)
        with one_at_a_time:
            if partition is None:
                ledger.gone(target, day)
            else:
                load = None
                if layout.reloads:
                    load = loads.after(
                        partition,
                        known.get(day),
                        taken.get(day),
                        place.layout.zone,
                        is_finished=finished is not None and day <= finished,
                        is_taken=backfill is not None,
                    )
                ledger.in_place(target, partition, delivered=True, load=load)
        if pushed is not None:
            pushed.clear(day)
        return day

    with ExitStack() as engine:
        built = engine.enter_context(open_built())
        pushed = engine.enter_context(pushdown(built)) if pushdown is not None else None
        found = _find(
            delivery,
            place,
            store,
            known,
            None if pushed is not None else spool,
            built,
            allow_shrink=allow_shrink,
            backfill=backfill,
        )
        if pushed is None:
            engine.close()  # nobody waits for it while files are put in place
        else:
            built.refuse_another()
        for partition in found.equal:
            ledger.in_place(target, partition, delivered=False)
        work: list[tuple[date, tuple[Path, ...], Partition | None]] = [
            *((partition.day, files, partition) for partition, files in found.changed),
            *((day, (), None) for day in found.removed),
        ]
        if pushed is not None and work:
            pushed.begin()
        with talk.progress(f"{delivery.name}: delivering", len(work)) as advance:
            for done, day in enumerate(_in_lanes(partial(replace_day, pushed=pushed), work), 1):
                advance(done, f"{done:,} of {talk.plural(len(work), 'day')} in place, up to {day}")
    shutil.rmtree(spool, ignore_errors=True)
    return found.report(delivery, place, Outcome.DELIVERED, allow_shrink=allow_shrink)


def _in_lanes(do: Callable[[_Job], _Done], jobs: Iterable[_Job]) -> Iterator[_Done]:
    """What `do` gives for each job, in order, with some of them under way at the same time.

    The first that fails ends it: none is begun any more, those under way are waited for.
    """
    with ThreadPoolExecutor(settings.export_lanes()) as lanes:
        under_way = [lanes.submit(do, job) for job in jobs]
        try:
            for future in under_way:
                yield future.result()
        finally:
            for future in under_way:
                future.cancel()


def rehearse(
    delivery: Delivery,
    place: Place,
    known: dict[date, Partition],
    open_built: Callable[[], AbstractContextManager[Built]],
    *,
    allow_shrink: bool,
    backfill: Days | None = None,
    pushdown: Callable[[Built], AbstractContextManager[Pushdown]] | None = None,
) -> Report:
    """What `deliver` would do; reads the rows it would look at and writes nothing."""
    with open_built() as built, pushdown(built) if pushdown is not None else nullcontext():
        found = _find(
            delivery,
            place,
            place.store(),
            known,
            None,
            built,
            allow_shrink=allow_shrink,
            backfill=backfill,
        )
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
            "not_over": [day.isoformat() for day in found.work.held],
        },
    )


def _find(
    delivery: Delivery,
    place: Place,
    store: Store,
    known: dict[date, Partition],
    spool: Path | None,
    built: Built,
    *,
    allow_shrink: bool,
    backfill: Days | None,
) -> _Findings:
    standing = place.standing(known, store)
    changed: list[tuple[Partition, tuple[Path, ...]]] = []
    equal: list[Partition] = []
    present, work = compare(delivery, place.layout, standing, built, allow_shrink=allow_shrink)
    if backfill is not None:
        work = _of_days(work, present, backfill, allow_shrink=allow_shrink)
    for seen, written in look(delivery, place.layout, built.warehouse, work.look, spool):
        partition = Partition(
            day=seen.day,
            rows=written.rows,
            newest=seen.newest,
            fingerprint=built.fingerprint,
            digest=written.digest,
            files=len(written.files),
            bytes=sum(path.stat().st_size for path in written.files),
        )
        old = standing.get(seen.day)
        if backfill is not None or old is None or old.digest != written.digest:
            changed.append((partition, written.files))
            continue
        equal.append(replace(partition, files=old.files, bytes=old.bytes))
        for path in written.files:
            path.unlink()
    removed = tuple(day for day in work.shrunk if day not in {f.day for f in present})
    return _Findings(work, tuple(changed), tuple(equal), removed if allow_shrink else (), backfill)


def _of_days(
    work: Plan, present: list[PartitionFigures], days: Days, *, allow_shrink: bool
) -> Plan:
    """The plan for these days alone, each of which is looked at."""
    shrunk = {day: what for day, what in work.shrunk.items() if day in days}
    left_alone = {*work.held, *(() if allow_shrink else shrunk)}
    look = tuple(f for f in present if f.day in days and f.day not in left_alone)
    held = tuple(day for day in work.held if day in days)
    return Plan(look, held, shrunk, sum(f.rows for f in present) - sum(f.rows for f in look))


def compare(
    delivery: Delivery,
    layout: Layout,
    standing: dict[date, Partition],
    built: Built,
    *,
    allow_shrink: bool,
) -> tuple[list[PartitionFigures], Plan]:
    """The relation's days as the layout tells them apart, and what `plan` makes of them."""
    present = figures_of(delivery, layout, built.warehouse)
    return present, plan(
        present,
        standing,
        built.fingerprint if layout.newest_column else "",
        allow_shrink=allow_shrink,
        complete_days=layout.zone if layout.complete_days else None,
    )


def figures_of(delivery: Delivery, layout: Layout, warehouse: Warehouse) -> list[PartitionFigures]:
    """What there is of each of the relation's days, with all that helps to find its rows."""
    return warehouse.partitions(
        delivery.relation,
        layout.day_column,
        layout.newest_column,
        layout.moment_column,
        *layout.order[:1],
    )


def shrunk_remarks(work: Plan) -> tuple[str, ...]:
    """A line for each of the first days that lost rows, and how many more there are."""
    lines = [
        f"{'the table' if day == NO_DAY else day} {what}; left alone until --allow-shrink"
        for day, what in list(work.shrunk.items())[:NAMED_DAYS]
    ]
    if more := len(work.shrunk) - len(lines):
        lines.append(f"{talk.plural(more, 'more day')} lost rows; left alone until --allow-shrink")
    return tuple(lines)


def look(
    delivery: Delivery,
    layout: Layout,
    warehouse: Warehouse,
    days: tuple[PartitionFigures, ...],
    spool: Path | None,
    see: Callable[[pa.RecordBatch], None] | None = None,
) -> Iterator[tuple[PartitionFigures, Written]]:
    """Read these days and write them into the spool; without one, only digest them.

    `see` is called with all that is read, the day first, by several threads.
    """
    import pyarrow as pa

    from flagmart.delivery.partitions import write_days

    # Arrow's own gives memory back at once and asks for it again: a tenth of the time, 100 MB more
    pa.set_memory_pool(pa.system_memory_pool())
    if not layout.columns:
        layout = layout.with_columns(warehouse.columns(delivery.relation))
    columns = [column.name for column in layout.columns]
    by_day = {figures.day: figures for figures in days}

    def write(group: list[PartitionFigures]) -> list[Written]:
        wanted = [figures.day for figures in group]
        hints = None
        if layout.newest_column is not None:
            hints = Hints(layout.newest_column, layout.moment_column, tuple(group))
        batches = warehouse.rows_of_days(
            delivery.relation, columns, layout.order, wanted, layout.day_column, hints
        )
        with closing(batches):
            rows = batches if see is None else _seen(batches, see)
            found = list(write_days(rows, layout, spool, str(delivery.relation)))
        _refuse_other_rows(delivery, group, found)
        return found

    done, groups = 0, list(packed(days, ROWS_A_QUERY))
    with (
        warehouse.read_by(min(settings.export_lanes(), len(groups) or 1)),
        talk.progress(f"{delivery.name}: reading", sum(f.rows for f in days)) as advance,
    ):
        for group in _in_lanes(write, groups):
            for written in group:
                done += written.rows
                advance(done, f"{done:,} rows read, up to {written.day}")
                yield by_day[written.day], written


def _seen(
    batches: Iterable[pa.RecordBatch], see: Callable[[pa.RecordBatch], None]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        see(batch)
        yield batch


def _refuse_other_rows(
    delivery: Delivery, group: list[PartitionFigures], found: list[Written]
) -> None:
    """See that the rows read are those that were counted."""
    rows = {written.day: written.rows for written in found}
    for figures in group:
        if rows.get(figures.day, 0) != figures.rows:
            raise FlagmartError(
                f"{delivery.relation} has {talk.plural(figures.rows, 'row')} of {figures.day} and "
                f"gave {rows.get(figures.day, 0):,}; see that nothing else writes to it, and run "
                "the export again"
            )


def _replace(
    store: Store, layout: Layout, day: date, names: list[str], put: Callable[[str], None]
) -> None:
    """Put one day's files in place of those that are there; what is not ours stays.

    A reader that waits for the mark never sees a mixture. `put` brings a finished file to its name.
    """
    if layout.success is not None:
        store.remove(layout.path_of(day, layout.success))
    for name in names:
        put(name)
    for name in store.names(layout.folder_of(day)):
        if name not in names and name != layout.success and layout.makes(meant(name)):
            store.remove(layout.path_of(day, name))
    if layout.success is not None and names:
        store.put_empty(layout.path_of(day, layout.success))
