"""Finished days of Statsig: which may be said to be, and saying so by a file or by a call.

A day is said to be finished when its events and its metrics lie in the store as the relations have
them, by the ledger, and all days before it are, too: Statsig takes a finished day for every one
before it. It is said once, and never of a day before the last.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from flagmart import destinations, settings, talk
from flagmart.delivery import places
from flagmart.delivery.ledger import Called, Partition
from flagmart.delivery.report import Outcome, Report
from flagmart.destinations import statsig
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from contextlib import AbstractContextManager
    from datetime import date, datetime
    from pathlib import Path

    from flagmart.delivery.deliveries import Built, Delivery
    from flagmart.delivery.ledger import Ledger, Target
    from flagmart.delivery.partitions import Written
    from flagmart.delivery.places import Place
    from flagmart.delivery.retry import Patience
    from flagmart.settings import DataFolder
    from flagmart.warehouse.protocol import PartitionFigures

_NOT_CALLED = Called(None, None)


@dataclass(frozen=True)
class Dataset:
    """A delivery that must have brought a day before the day is finished."""

    delivery: Delivery
    place: Place
    target: Target | None
    """None: never delivered there."""


@dataclass(frozen=True)
class Due:
    """Days that may be said to be finished, in order, and why there are no more."""

    days: tuple[date, ...]
    waiting: str | None


def is_signals(delivery: Delivery) -> bool:
    """Whether a delivery is one of finished days."""
    values = delivery.settings.values
    sink = values.get("sink")
    return sink in destinations.CALL_SINKS or (
        sink == destinations.FILES and values.get("layout") == destinations.SIGNALS
    )


def kind(delivery: Delivery) -> str:
    """What a file delivery with the layout `statsig` brings: one of statsig.DATASETS."""
    return "metrics" if delivery.settings.values.get("dataset") == "metrics" else "events"


def finished(everything: Iterable[Delivery], book: Ledger) -> dict[tuple[str, str], date]:
    """The last finished day by destination and dataset, where one was ever said to be."""
    names = {delivery.name for delivery in everything if is_signals(delivery)}
    found: dict[tuple[str, str], date] = {}
    for target in book.targets():
        if target.delivery not in names:
            continue
        calls = book.calls(target)
        for dataset in statsig.DATASETS:
            day = calls[dataset].day if dataset in calls else last_finished(target, book)
            if day is not None:
                key = (target.destination, dataset)
                found[key] = max(day, found.get(key, day))
    return found


def datasets(
    delivery: Delivery,
    everything: Iterable[Delivery],
    book: Ledger,
    data: DataFolder,
    here: Place | None = None,
    to: str | None = None,
) -> tuple[Dataset, ...]:
    """The deliveries of events and metrics to the same destination.

    Args:
        delivery: of the finished days.
        everything: all deliveries of the project.
        book: the ledger.
        data: the data folder.
        here: where the days go as files; the datasets must lie beside them.
        to: another place of all of them, as the command line has it.

    Raises:
        FlagmartError: there are none of one kind, or they lie elsewhere.
    """
    destination = delivery.destination
    found = [
        other
        for other in everything
        if other.settings.values.get("sink") == destinations.FILES
        and other.settings.values.get("layout") == "statsig"
        and other.settings.values.get("destination") == destination
    ]
    kinds = {other.settings.values.get("dataset") == "metrics" for other in found}
    if kinds != {True, False}:
        missing = "metrics" if True not in kinds else "events"
        raise FlagmartError(
            f"exposure {delivery.name}: no file delivery with the layout statsig brings {missing} "
            f"to the destination {destination}, so no day of it is ever finished; declare one"
        )
    known = []
    for other in found:
        place = places.place(other, data, to)
        points_to = place.points_to(data)
        if here is not None and points_to != here.points_to(data):
            raise FlagmartError(
                f"exposure {delivery.name}: {other.name} lies in {place.where} and its finished "
                f"days would in {here.where}; Statsig looks for both in one, "
                "give them the same meta.flagmart.path"
            )
        known.append(Dataset(other, place, book.find(other.name, destination, points_to)))
    return tuple(known)


def candidates(days: Iterable[date], last: date | None) -> list[date]:
    """Those of `days` that come next, in order.

    Args:
        days: all that are over.
        last: the last that was said to be finished. None: none was, and then Statsig looks back
            for four weeks only, so that what clocks of 1970 sent holds up nothing.
    """
    ordered = sorted(days)
    if last is not None:
        return [day for day in ordered if day > last]
    if not ordered:
        return []
    first = ordered[-1] - timedelta(days=statsig.FIRST_SIGNAL_DAYS - 1)
    return [day for day in ordered if day >= first]


def last_finished(target: Target, book: Ledger) -> date | None:
    """The last day that was said to be finished there; by calls, of every dataset."""
    calls = book.calls(target)
    if not calls:
        return max(book.partitions(target), default=None)
    days = [calls.get(dataset, _NOT_CALLED).day for dataset in statsig.DATASETS]
    known = [day for day in days if day is not None]
    return min(known) if len(known) == len(days) else None


def due(days: Iterable[date], last: date | None, missing: Callable[[date], str | None]) -> Due:
    """The days that come next, up to the first of which something is missing.

    Args:
        days: all that are over.
        last: the last that was said to be finished.
        missing: what of a day is not delivered, None where nothing is.
    """
    ready: list[date] = []
    for day in candidates(days, last):
        if reason := missing(day):
            return Due(tuple(ready), f"{day} and what follows wait: {reason}")
        ready.append(day)
    return Due(tuple(ready), None)


def undelivered(
    known: Iterable[Dataset], book: Ledger, built: Built
) -> Callable[[date], str | None]:
    """What of a day is not in the store as the relations have it; see `due`."""
    facts = []
    for one in known:
        layout = one.place.layout
        figures = {
            found.day: found
            for found in built.warehouse.partitions(
                one.delivery.relation, layout.day_column, layout.newest_column
            )
        }
        standing = one.place.standing(book.partitions(one.target)) if one.target else {}
        facts.append(
            (one.delivery.name, built.fingerprints.get(one.delivery.name, ""), figures, standing)
        )

    def missing(day: date) -> str | None:
        for name, fingerprint, figures, standing in facts:
            if reason := _difference(figures.get(day), standing.get(day), fingerprint):
                return f"{name} {reason}"
        return None

    return missing


def _difference(
    found: PartitionFigures | None, there: Partition | None, fingerprint: str
) -> str | None:
    """Why a day is not delivered; one without rows and without files is."""
    if found is None and there is None:
        return None
    if there is None:
        return "has not delivered it; export that first"
    if there.digest is None:
        return "has it in part only; export that first"
    if found is None or found.rows < there.rows:
        return "lost rows of it; export that with --allow-shrink, or mend it"
    if (found.rows, found.newest) != (there.rows, there.newest) or (
        # where no code is known nothing but the figures tells
        fingerprint and fingerprint != there.fingerprint
    ):
        return "may have changed since it was delivered; export that first"
    return None


def _over(delivery: Delivery, built: Built) -> list[date]:
    return [found.day for found in built.warehouse.partitions(delivery.relation)]


# by files


def write(
    delivery: Delivery,
    place: Place,
    target: Target | None,
    ledger: Ledger,
    spool: Path,
    open_built: Callable[[], AbstractContextManager[Built]],
    known: tuple[Dataset, ...],
    *,
    rehearse: bool,
) -> Report:
    """Put a file for each day that is due, in order; in a rehearsal, say which they would be.

    Raises:
        FlagmartError: the build must not go out, or the store refuses or is away.
        OSError: the folder or the spool cannot be written.
    """
    store = place.store()
    said = ledger.partitions(target) if target else {}
    standing = place.standing(said, store)
    lost = {day for day in said if day not in standing or standing[day].digest is None}
    if not rehearse:
        shutil.rmtree(spool, ignore_errors=True)
        spool.mkdir(parents=True)
    written: list[Written] = []
    with open_built() as built:
        over = _over(delivery, built)
        missing = undelivered(known, ledger, built)
        what = due(over, max(said, default=None), missing)
        put_back = {day for day in lost & set(over) if missing(day) is None}
        days = sorted({*what.days, *put_back})
        if days and not rehearse:
            written = _written(delivery, place, built, days, spool)
        fingerprint = built.fingerprint
    if target is not None and not rehearse:
        for one in written:
            (path,) = one.files
            size = path.stat().st_size
            store.put(path, place.layout.path_of(one.day, path.name))
            # only now: killed in between, it is due again and put with the same bytes
            moment = settings.now().replace(tzinfo=None)
            partition = Partition(one.day, one.rows, moment, fingerprint, one.digest, 1, size)
            ledger.in_place(target, partition, delivered=True)
            if one.day not in lost:
                _taken(known, ledger, [one.day])
        shutil.rmtree(spool, ignore_errors=True)
    return _report(
        delivery,
        unit="partitions",
        days=days,
        already=len(said) - len(lost),
        where=place.where,
        waiting=(what.waiting,) if what.waiting else (),
        rehearse=rehearse,
    )


def _taken(known: Iterable[Dataset], ledger: Ledger, days: Collection[date]) -> None:
    """Note that Statsig now has these days as they lie there."""
    for one in known:
        if one.target is not None:
            ledger.taken(one.target, days)


def _written(
    delivery: Delivery, place: Place, built: Built, days: Collection[date], spool: Path
) -> list[Written]:
    from flagmart.delivery.partitions import write_days

    layout = place.layout
    columns = [column.name for column in layout.columns]
    with closing(
        built.warehouse.rows_of_days(delivery.relation, columns, layout.order, days)
    ) as rows:
        return list(write_days(rows, layout, spool, str(delivery.relation)))


# by calls


@dataclass(frozen=True)
class _Planned:
    """One call."""

    dataset: str
    body: bytes
    days: tuple[date, ...]
    """Those that it says are finished, in order."""


def call(
    delivery: Delivery,
    how: statsig.Call,
    target: Target | None,
    ledger: Ledger,
    open_built: Callable[[], AbstractContextManager[Built]],
    known: tuple[Dataset, ...],
    patience: Patience,
    *,
    rehearse: bool,
) -> Report:
    """Say by calls which days are finished; in a rehearsal, say which calls they would be.

    A call goes out once in two hours for each dataset, also across runs. What the server answered
    is recorded at once; that a call begins, before it does.

    Raises:
        FlagmartError: the build must not go out.
    """
    from flagmart.delivery import sending

    now = settings.now()
    before = ledger.calls(target) if target else {}
    with open_built() as built:
        planned, remarks = _planned(delivery, how, before, now, ledger, built, known)
    days: list[date] = []
    failed: list[str] = []
    if target is not None and not rehearse:
        for one in planned:
            reason = _called(delivery, how, one, target, ledger, now, before, patience)
            if reason is None:
                days.append(one.days[-1])
                _taken([d for d in known if kind(d.delivery) == one.dataset], ledger, one.days)
            else:
                failed.append(f"{one.dataset}: {reason}")
    report = _report(
        delivery,
        unit="calls",
        days=[one.days[-1] for one in planned] if rehearse else days,
        already=0,
        where=how.endpoint.url,
        waiting=(*failed, *remarks),
        rehearse=rehearse,
    )
    if rehearse and planned:
        return replace(
            report,
            detail={
                "method": "POST",
                "url": how.endpoint.url,
                "headers": sending.masked_headers(how.endpoint),
                "bodies": [one.body.decode() for one in planned],
            },
        )
    return replace(report, outcome=Outcome.FAILED) if failed else report


def _called(
    delivery: Delivery,
    how: statsig.Call,
    one: _Planned,
    target: Target,
    ledger: Ledger,
    now: datetime,
    before: Mapping[str, Called],
    patience: Patience,
) -> str | None:
    """None when the server took the call, which the ledger knows by then, else why not."""
    from flagmart.delivery import sending

    # first: killed while it is under way, it may have been counted
    ledger.calling(target, one.dataset, now)
    refusal = sending.post(
        how.endpoint, one.body, patience, lambda line: talk.say(f"{delivery.name}: {line}")
    )
    if refusal is None:
        ledger.called(target, one.dataset, one.days[-1])
        return None
    if refusal.counts:
        return f"{refusal.reason}; {_next_time(now)}"
    ledger.calling(target, one.dataset, before.get(one.dataset, _NOT_CALLED).at)
    return f"{refusal.reason}; the next run calls again"


def _planned(
    delivery: Delivery,
    how: statsig.Call,
    before: Mapping[str, Called],
    now: datetime,
    ledger: Ledger,
    built: Built,
    known: tuple[Dataset, ...],
) -> tuple[list[_Planned], list[str]]:
    over = _over(delivery, built)
    missing = undelivered(known, ledger, built)
    planned: list[_Planned] = []
    remarks: dict[str, None] = {}
    for dataset in statsig.DATASETS:
        last = before.get(dataset, _NOT_CALLED)
        what = due(over, last.day, missing)
        if what.waiting:
            remarks[what.waiting] = None
        if not what.days:
            continue
        if last.at is not None and now < last.at + statsig.CALL_EVERY:
            remarks[f"{dataset}: {_next_time(last.at)}"] = None
            continue
        days = what.days[:1] if how.each_day else what.days
        if left := len(what.days) - 1 if how.each_day else 0:
            remarks[f"{dataset}: {talk.plural(left, 'more day')} to call for, one in two hours"] = (
                None
            )
        body = how.body(dataset, days[-1], _end_of(delivery, built, days[-1]))
        planned.append(_Planned(dataset, body, days))
    return planned, list(remarks)


def _end_of(delivery: Delivery, built: Built, day: date) -> int:
    with closing(
        built.warehouse.rows_of_days(delivery.relation, ["ends_at"], ["ends_at"], [day])
    ) as rows:
        return int(next(rows).column("ends_at")[0].as_py())


def _next_time(called_at: datetime) -> str:
    when = (called_at + statsig.CALL_EVERY).isoformat(timespec="minutes")
    return f"Statsig takes one call in two hours; run the export again from {when}"


def _report(
    delivery: Delivery,
    *,
    unit: str,
    days: Collection[date],
    already: int,
    where: str,
    waiting: tuple[str, ...],
    rehearse: bool,
) -> Report:
    done = Outcome.WOULD_DELIVER if rehearse else Outcome.DELIVERED
    outcome = Outcome.PARTLY if waiting else done if days else Outcome.NOTHING_NEW
    return Report(
        delivery=delivery.name,
        destination=delivery.destination,
        outcome=outcome,
        unit=unit,
        parts=len(days),
        rows=len(set(days)),
        already=already,
        where=where,
        remarks=waiting,
        detail={"finished": [day.isoformat() for day in sorted(set(days))]} if rehearse else None,
    )
