"""`flagmart verify`: what lies in the store, beside what the relation and the ledger say.

Each file is read back whole: its schema down to what parquet requires, its rows, their digest.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from flagmart import destinations, talk
from flagmart.delivery import files, places, signals
from flagmart.delivery.deliveries import read_project
from flagmart.delivery.export import Options, delivery_lock, opener
from flagmart.delivery.ledger import Partition, opened
from flagmart.errors import Exit, UsageError
from flagmart.warehouse.protocol import LONG_AGO, NO_DAY

if TYPE_CHECKING:
    from pathlib import Path

    from flagmart.delivery.deliveries import Built, Delivery
    from flagmart.delivery.ledger import Ledger, Target
    from flagmart.delivery.places import Place
    from flagmart.delivery.store import Store
    from flagmart.destinations.layouts import Layout
    from flagmart.settings import DataFolder
    from flagmart.warehouse.protocol import PartitionFigures


@dataclass
class Day:
    """One day as it lies in the store; 1970-01-01 for a relation that is one partition."""

    day: date
    rows: int = 0
    files: int = 0
    bytes: int = 0
    digest: str = ""
    """Of its content; '' where it is not whole."""
    wrong: list[str] = field(default_factory=list)
    """What no export would leave behind."""
    behind: list[str] = field(default_factory=list)
    """What the next export brings, or leaves alone until it is told otherwise."""
    adopted: bool = False
    """Whether the ledger has taken it over."""

    @property
    def result(self) -> str:
        """In a word."""
        return "WRONG" if self.wrong else "behind" if self.behind else "right"


@dataclass
class Verified:
    """What `flagmart verify` prints."""

    delivery: str
    destination: str
    where: str
    days: list[Day]

    def count(self, result: str) -> int:
        """Days with this result."""
        return sum(day.result == result for day in self.days)

    def exit_code(self) -> Exit:
        """The command's; see errors.Exit."""
        if self.count("WRONG"):
            return Exit.FAILED
        return Exit.PARTLY if self.count("behind") else Exit.DONE


def verify(name: str, options: Options, data: DataFolder, *, adopt: bool) -> Verified:
    """Read a file delivery back, and with `adopt` make the ledger say what lies there.

    Raises:
        UsageError: it is no delivery of files.
        FlagmartError: no manifest, a build that must not go out, a store that is away, or another
            process at the same delivery.
    """
    project = read_project(options.project_dir)
    (delivery,) = project.chosen([name])
    if delivery.sink != destinations.FILES:
        raise UsageError(
            f"{name} goes out by {delivery.sink}, and nothing of it can be read back; "
            "verify is for deliveries of files"
        )
    place = places.place(delivery, data, options.to)
    points_to = place.points_to(data)
    spool = data.ensure(data.spool) / delivery.name
    with delivery_lock(delivery, options, data), opened(data.ledger, read_only=not adopt) as book:
        target = book.find(delivery.name, delivery.destination, points_to)
        known = book.partitions(target) if target else {}
        shutil.rmtree(spool, ignore_errors=True)
        with opener(delivery, options, data)() as built:
            found, written = _compare(delivery, place, built, known, spool)
            fingerprint = built.fingerprint
        shutil.rmtree(spool, ignore_errors=True)
        if adopt:
            target = target or book.target(delivery.name, delivery.destination, points_to)
            _adopt(found, written, known, target, book, fingerprint)
        _judge_by_ledger(found, book.partitions(target) if target else {})
    return Verified(delivery.name, delivery.destination, place.where, list(found.values()))


def _compare(
    delivery: Delivery, place: Place, built: Built, known: dict[date, Partition], spool: Path
) -> tuple[dict[date, Day], dict[date, PartitionFigures]]:
    """The days as they lie there; and figures of those that are as the relation has them."""
    warehouse, layout, store = built.warehouse, place.layout, place.store()
    if not layout.columns:
        layout = layout.with_columns(warehouse.columns(delivery.relation))
    figures, work = files.compare(delivery, layout, known, built, allow_shrink=False)
    lying = _lying(store, layout)
    days = {day: Day(day) for day in sorted({*lying, *known, *(f.day for f in figures)})}
    with talk.progress(f"{delivery.name}: reading back", len(lying)) as advance:
        for done, (day, names) in enumerate(sorted(lying.items()), 1):
            _read_day(days[day], names, store, layout, spool)
            advance(done, f"{done:,} of {talk.plural(len(lying), 'day')} read back")
    as_built = {
        seen.day: written
        for seen, written in files.look(
            delivery, layout, warehouse, tuple(f for f in figures if f.day in lying), None
        )
    }
    equal = {}
    for seen in figures:
        one = days[seen.day]
        if seen.day not in lying:
            if seen.day in known:
                continue  # the ledger has more to say of it
            if seen.day in work.held or signals.is_signals(delivery):
                del days[seen.day]  # it waits for its time
            else:
                one.behind.append(f"not delivered; the relation has {_rows(seen.rows)}")
        elif one.digest and as_built[seen.day].digest == one.digest:
            equal[seen.day] = seen
        elif one.digest:
            one.behind.append(
                f"the relation has {_rows(seen.rows)}"
                if seen.rows != one.rows
                else "the relation has other values in as many rows"
            )
    for day in set(lying) - {seen.day for seen in figures}:
        days[day].behind.append("the relation has no such day any more")
    return days, equal


def _lying(store: Store, layout: Layout) -> dict[date, list[str]]:
    """Names of files by day, of all folders that could be a day's."""
    before, is_daily, after = layout.folder.format(day="\0").partition("\0")
    if not is_daily:
        names = [name for name in store.names(layout.folder) if layout.makes(name)]
        return {NO_DAY: names} if names else {}
    pattern = re.compile(
        re.escape(before) + r"(\d{4}-\d\d-\d\d)" + re.escape(after) + r"/([^/]+)", re.ASCII
    )
    found: dict[date, list[str]] = {}
    for name in store.tree(before.rpartition("/")[0]):
        if match := pattern.fullmatch(name):
            try:
                day = date.fromisoformat(match[1])
            except ValueError:
                continue
            found.setdefault(day, []).append(match[2])
    return found


def _read_day(day: Day, names: list[str], store: Store, layout: Layout, spool: Path) -> None:
    """Fill in what lies there of a day."""
    from flagmart.delivery.partitions import ReadBack, Unreadable

    mine = sorted(name for name in names if layout.makes(name) and name != layout.success)
    # a name that begins with a dot or an underscore is passed over by readers
    strange = [n for n in names if not layout.makes(n) and not n.startswith((".", "_"))]
    if strange and mine:
        day.wrong.append(f"{strange[0]} lies there, too, and is none of ours; take it away")
    day.files = len(mine)
    if mine != [layout.file_of(part) for part in range(len(mine))] or not mine:
        day.wrong.append(f"the numbers of its files have a hole: {', '.join(mine) or 'none'}")
    if layout.success is not None and layout.success not in names:
        day.wrong.append(f"{layout.success} is missing")
    reader = ReadBack(layout)
    try:
        for name in mine:
            path = store.fetch(layout.path_of(day.day, name), spool / name)
            day.bytes += path.stat().st_size
            reader.add(path)
            if path.is_relative_to(spool):
                path.unlink()
    except Unreadable as error:
        day.wrong.append(str(error))
    day.rows = reader.rows
    if not day.wrong:
        day.digest = reader.hexdigest()


def _judge_by_ledger(found: dict[date, Day], known: dict[date, Partition]) -> None:
    for day in found.values():
        before = known.get(day.day)
        if before is None:
            if day.files:
                day.wrong.append("the ledger knows nothing of it; take it over with --adopt")
        elif not day.files:
            day.wrong.append("the ledger has it as delivered, and nothing lies there")
        elif before.digest is None:
            day.wrong.append("it was being replaced and that did not end; run the export again")
        elif before.files != day.files:
            day.wrong.append(
                f"the ledger has {talk.plural(before.files, 'file')}, there lie {day.files:,}"
            )
        elif day.digest and before.digest != day.digest:
            day.wrong.append(
                f"other content than was delivered ({_rows(before.rows)}, there lie {day.rows:,}); "
                "export it with --backfill"
            )


def _adopt(
    found: dict[date, Day],
    equal: dict[date, PartitionFigures],
    known: dict[date, Partition],
    target: Target,
    book: Ledger,
    fingerprint: str,
) -> None:
    """Make the ledger say what lies there, of days that are whole."""
    for day in found.values():
        before = known.get(day.day)
        if not day.digest or (before is not None and before.digest == day.digest):
            continue
        seen = equal.get(day.day)
        partition = Partition(
            day=day.day,
            rows=day.rows,
            newest=LONG_AGO,
            # of a day that is not as the relation has it: looked at by the next export
            fingerprint="",
            digest=day.digest,
            files=day.files,
            bytes=day.bytes,
        )
        if seen is not None:
            partition = replace(partition, newest=seen.newest, fingerprint=fingerprint)
        book.in_place(target, partition, delivered=False)
        day.adopted = True


def _rows(count: int) -> str:
    return talk.plural(count, "row")
