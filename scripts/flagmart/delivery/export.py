"""`flagmart export`: each chosen delivery in turn, one failing without holding up the others."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING

from flagmart import destinations, locks, settings, talk
from flagmart.delivery import files, ledger, places, pushdown, signals
from flagmart.delivery.deliveries import Built, read_project
from flagmart.delivery.files import Days
from flagmart.delivery.outbox import Bounds
from flagmart.delivery.report import Outcome, Report
from flagmart.destinations.settings import Settings
from flagmart.errors import Exit, FlagmartError, UsageError
from flagmart.warehouse import landed_runs, open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from flagmart.delivery.deliveries import Delivery
    from flagmart.delivery.http import Route
    from flagmart.destinations.endpoint import Endpoint
    from flagmart.settings import DataFolder


_CALL_ATTEMPTS = 4
"""Of a call that says a day is finished; nothing waits for it but the next run."""
_RATE, _IN_ORDER = "requests_per_second", "in_order"
"""Settings that every delivery over HTTP may have."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    project_dir: Path
    dry_run: bool = False
    to: str | None = None
    """Another folder or address for the one file delivery that is named."""
    allow_shrink: bool = False
    backfill: Days | None = None
    """Deliver these days of the one file delivery that is named anew, and no other."""
    wait_seconds: float = 30.0
    pushdown: bool = False
    """Let ClickHouse write the files."""
    bounds: Bounds = field(default_factory=Bounds)
    """Of deliveries over HTTP, which are all that is named."""
    resend: str | None = None
    """The run whose acknowledged messages the named delivery sends again: its id, or its moment."""


def export(names: list[str], options: Options, data: DataFolder) -> list[Report]:
    """Deliver the named deliveries, or all.

    Raises:
        UsageError: an unknown name, `to` with anything but one file delivery, or `pushdown` where
            ClickHouse cannot write.
        FlagmartError: no manifest, or no delivery at all; what ails a single one is in its report.
    """
    project = read_project(options.project_dir)
    chosen = project.chosen(names)
    if options.backfill is not None and (
        len(names) != 1 or chosen[0].sink != destinations.FILES or signals.is_signals(chosen[0])
    ):
        raise UsageError("--backfill needs the name of one file delivery that has days")
    if options.bounds != Bounds() or options.resend is not None:
        for delivery in chosen:
            if delivery.sink not in destinations.HTTP_SINKS:
                raise UsageError(
                    "--max-rows, --since, --until and --resend are for messages; "
                    f"name deliveries over HTTP, {delivery.name} is none"
                )
    if options.resend is not None and (len(names) != 1 or options.dry_run):
        raise UsageError("--resend needs the name of one delivery, and cannot be rehearsed")
    if options.to is not None:
        if len(names) != 1 or chosen[0].sink != destinations.FILES:
            raise UsageError("--to needs the name of one file delivery")
        if not options.to.strip():
            raise UsageError("--to is empty, maybe a variable that is not set")
        if "://" in options.to:
            places.refuse_no_bucket(options.to)
    if options.pushdown:
        for delivery in chosen:
            is_files = delivery.sink == destinations.FILES
            place = places.place(delivery, data, options.to) if is_files else None
            pushdown.refuse(delivery, place)
    # finished days last: what they speak of has been delivered by then
    ordered = sorted(chosen, key=signals.is_signals)
    return [_one(delivery, project.deliveries, options, data) for delivery in ordered]


def days_of(text: str) -> Days:
    """The days that `--backfill FROM..TO` names.

    Raises:
        UsageError: it names none.
    """
    first, dots, last = text.partition("..")
    try:
        days = Days(date.fromisoformat(first), date.fromisoformat(last))
    except ValueError:
        days = None
    if days is None or not dots or days.first > days.last:
        raise UsageError(f"--backfill {text} names no days; write it like 2026-03-01..2026-03-07")
    return days


def moment_of(text: str, option: str) -> datetime:
    """A moment as `ingested_at` has them: UTC, without zone.

    Raises:
        UsageError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} is no moment; write it like 2026-03-01 or 2026-03-01T12:00:00Z"
        ) from error
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def exit_code(reports: list[Report], *, detailed: bool) -> Exit:
    """The command's exit code; see errors.Exit."""
    outcomes = {report.outcome for report in reports}
    if Outcome.FAILED in outcomes:
        return Exit.FAILED
    if Outcome.PARTLY in outcomes:
        return Exit.PARTLY
    if detailed and outcomes == {Outcome.NOTHING_NEW}:
        return Exit.NOTHING_TO_DO
    return Exit.DONE


def _one(
    delivery: Delivery, everything: tuple[Delivery, ...], options: Options, data: DataFolder
) -> Report:
    def work() -> Report:
        if signals.is_signals(delivery):
            return _signals(delivery, everything, options, data)
        if delivery.sink == destinations.FILES:
            return _files(delivery, everything, options, data)
        if delivery.sink in destinations.HTTP_SINKS:
            return _http(delivery, options, data)
        known = ", ".join([destinations.FILES, *destinations.HTTP_SINKS, *destinations.CALL_SINKS])
        raise FlagmartError(
            f"exposure {delivery.name}: meta.flagmart.sink {delivery.sink!r} is unknown; "
            f"there are {known}"
        )

    return guarded(delivery, data, work)


def guarded(delivery: Delivery, data: DataFolder, work: Callable[[], Report]) -> Report:
    """What `work` reports, or why it failed: one delivery does not hold up another."""
    try:
        return work()
    except (FlagmartError, OSError, sqlite3.Error) as error:
        if isinstance(error, UsageError):
            raise
        reason = str(error)
        if isinstance(error, OSError):
            reason = f"{error.filename or data.root.absolute()}: {error.strerror or error}"
            if error.errno in _FULL:
                reason += "; make room there and run the export again, it goes on where it was"
        return Report(
            delivery=delivery.name,
            destination=str(delivery.settings.values.get("destination", "")),
            outcome=Outcome.FAILED,
            remarks=(reason,),
        )


def _files(
    delivery: Delivery, everything: tuple[Delivery, ...], options: Options, data: DataFolder
) -> Report:
    place = places.place(delivery, data, options.to)
    points_to = place.points_to(data)
    pushed = partial(pushdown.opened, delivery, place) if options.pushdown else None
    with delivery_lock(delivery, options, data), _ledger(options, data) as book:
        places.refuse_shared(delivery, place, everything, book, data)
        if options.dry_run:
            target = book.find(delivery.name, delivery.destination, points_to)
            return files.rehearse(
                delivery,
                place,
                book.partitions(target) if target else {},
                opener(delivery, options, data),
                allow_shrink=options.allow_shrink,
                backfill=options.backfill,
                pushdown=pushed,
            )
        return files.deliver(
            delivery,
            place,
            book.target(delivery.name, delivery.destination, points_to),
            book,
            data.ensure(data.spool) / delivery.name,
            opener(delivery, options, data),
            allow_shrink=options.allow_shrink,
            backfill=options.backfill,
            finished=signals.finished(everything, book).get(
                (delivery.destination, signals.kind(delivery))
            ),
            pushdown=pushed,
        )


def _http(delivery: Delivery, options: Options, data: DataFolder) -> Report:
    from flagmart.delivery import http

    if options.dry_run:
        endpoint, _ = endpoint_of(delivery)
        with _ledger(options, data) as book:
            return http.rehearse(
                delivery,
                endpoint,
                book.find(delivery.name, delivery.destination, endpoint.url),
                book,
                data.acknowledged / delivery.name,
                opener(delivery, options, data),
                options.bounds,
            )
    # before anything is asked of the environment
    moment = None if options.resend is None else _run(options.resend, data)
    with routed(delivery, options, data) as route:
        if moment is not None:
            return http.resend(route, moment)
        return http.deliver(route, options.bounds)


@contextmanager
def routed(delivery: Delivery, options: Options, data: DataFolder) -> Iterator[Route]:
    """All that sending a delivery over HTTP takes; this process is alone at it."""
    from flagmart.delivery.http import Route
    from flagmart.delivery.retry import Patience

    endpoint, gap = endpoint_of(delivery)
    with delivery_lock(delivery, options, data), _ledger(options, data) as book:
        yield Route(
            delivery,
            endpoint,
            book.target(delivery.name, delivery.destination, endpoint.url),
            book,
            data.ensure(data.spool) / delivery.name,
            data.ensure(data.acknowledged / delivery.name),
            opener(delivery, options, data),
            Patience(longest_wait=settings.longest_wait(), least_gap=gap),
        )


def endpoint_of(delivery: Delivery) -> tuple[Endpoint, float]:
    """Where it goes, and the seconds between two requests by `requests_per_second`.

    With `in_order` a request waits for the one before it.

    Raises:
        FlagmartError: a setting is wrong.
    """
    values = dict(delivery.settings.values)
    rate, in_order = values.pop(_RATE, None), values.pop(_IN_ORDER, False)
    if rate is not None and (
        isinstance(rate, bool) or not isinstance(rate, int | float) or not rate > 0
    ):
        raise FlagmartError(
            f"exposure {delivery.name}: meta.flagmart.{_RATE} is {rate!r}; "
            "write a number above 0, or leave it out"
        )
    if not isinstance(in_order, bool):
        raise FlagmartError(
            f"exposure {delivery.name}: meta.flagmart.{_IN_ORDER} is {in_order!r}; "
            "write true, or leave it out"
        )
    endpoint = replace(
        destinations.HTTP_SINKS[delivery.sink](Settings(delivery.name, values)), in_order=in_order
    )
    return endpoint, 0.0 if rate is None else 1 / rate


def _run(text: str, data: DataFolder) -> datetime:
    """The moment of the run with this id, or the moment itself."""
    known = {run.run_id: run.ingested_at for run in landed_runs(data)}
    return moment_of(known.get(text, text), "--resend")


def _signals(
    delivery: Delivery, everything: tuple[Delivery, ...], options: Options, data: DataFolder
) -> Report:
    with delivery_lock(delivery, options, data), _ledger(options, data) as book:
        # in a rehearsal, the ledger is not written to
        entry = book.find if options.dry_run else book.target
        if delivery.sink == destinations.FILES:
            place = places.place(delivery, data, options.to)
            places.refuse_shared(delivery, place, everything, book, data)
            return signals.write(
                delivery,
                place,
                entry(delivery.name, delivery.destination, place.points_to(data)),
                book,
                data.spool / delivery.name,
                opener(delivery, options, data),
                signals.datasets(delivery, everything, book, data, place, options.to),
                rehearse=options.dry_run,
            )
        from flagmart.delivery.retry import Patience

        how = destinations.CALL_SINKS[delivery.sink](delivery.settings)
        return signals.call(
            delivery,
            how,
            entry(delivery.name, delivery.destination, how.endpoint.url),
            book,
            opener(delivery, options, data),
            signals.datasets(delivery, everything, book, data),
            Patience(attempts=_CALL_ATTEMPTS, longest_wait=settings.longest_wait()),
            rehearse=options.dry_run,
        )


def opener(
    delivery: Delivery, options: Options, data: DataFolder
) -> Callable[[], AbstractContextManager[Built]]:
    """What opens the engine, if what it holds of this delivery may go out."""
    return lambda: _built(delivery, options, data)


@contextmanager
def _built(delivery: Delivery, options: Options, data: DataFolder) -> Iterator[Built]:
    """The engine, if what it holds of this delivery may go out."""
    of_messages = delivery.sink in destinations.HTTP_SINKS
    with open_reader(data, options.wait_seconds, talk.say, of_messages=of_messages) as reader:
        # read only now: a build may have ended while this waited for the engine
        project = read_project(options.project_dir)
        now = next((d for d in project.deliveries if d.name == delivery.name), None)
        if now is None or (now.settings, now.relation) != (delivery.settings, delivery.relation):
            raise FlagmartError(
                f"the exposure {delivery.name} changed in the meantime; run the export again"
            )
        build = reader.build()
        if reason := now.refusal(build):
            raise FlagmartError(reason)
        built = Built(
            reader,
            now.fingerprint(build),
            {other.name: other.fingerprint(build) for other in project.deliveries},
            build,
        )
        yield built
        built.refuse_another()


def delivery_lock(
    delivery: Delivery, options: Options, data: DataFolder
) -> AbstractContextManager[None]:
    """One process at a time at a delivery; who finds it held is told by whom."""
    if options.dry_run:
        return nullcontext()
    path = data.ensure(data.locks) / f"delivery-{delivery.name}.lock"
    return locks.held(path, f"the delivery {delivery.name}")


def _ledger(options: Options, data: DataFolder) -> AbstractContextManager[ledger.Ledger]:
    return ledger.opened(data.ledger, read_only=options.dry_run)
