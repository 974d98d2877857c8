"""`flagmart export`: each chosen delivery in turn, one failing without holding up the others."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flagmart import destinations, locks, settings, talk
from flagmart.delivery import files, ledger, places
from flagmart.delivery.deliveries import Built, read_project
from flagmart.delivery.report import Outcome, Report
from flagmart.errors import Exit, FlagmartError, UsageError
from flagmart.warehouse import open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from flagmart.delivery.deliveries import Delivery
    from flagmart.settings import DataFolder


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    project_dir: Path
    dry_run: bool = False
    to: str | None = None
    """Another folder for the one file delivery that is named."""
    allow_shrink: bool = False
    wait_seconds: float = 30.0


def export(names: list[str], options: Options, data: DataFolder) -> list[Report]:
    """Deliver the named deliveries, or all.

    Raises:
        UsageError: an unknown name, or `to` with anything but one file delivery.
        FlagmartError: no manifest, or no delivery at all; what ails a single one is in its report.
    """
    project = read_project(options.project_dir)
    chosen = project.chosen(names)
    if options.to is not None:
        if len(names) != 1 or chosen[0].sink != destinations.FILES:
            raise UsageError("--to needs the name of one file delivery")
        if not options.to.strip():
            raise UsageError("--to is empty, maybe a variable that is not set")
        if "://" in options.to:
            raise UsageError(f"--to {options.to}: only folders of this machine so far")
    return [_one(delivery, project.deliveries, options, data) for delivery in chosen]


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
    try:
        if delivery.sink == destinations.FILES:
            return _files(delivery, everything, options, data)
        if delivery.sink in destinations.HTTP_SINKS:
            return _http(delivery, options, data)
        known = ", ".join([destinations.FILES, *destinations.HTTP_SINKS])
        raise FlagmartError(
            f"exposure {delivery.name}: meta.flagmart.sink {delivery.sink!r} is unknown; "
            f"there are {known}"
        )
    except (FlagmartError, OSError, sqlite3.Error) as error:
        if isinstance(error, UsageError):
            raise
        reason = str(error)
        if isinstance(error, OSError):
            reason = f"{error.filename or data.root}: {error.strerror or error}"
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
    with _locked(delivery, options, data), _ledger(options, data) as book:
        places.refuse_shared(delivery, place, everything, book, data)
        if options.dry_run:
            target = book.find(delivery.name, delivery.destination, points_to)
            return files.rehearse(
                delivery,
                place,
                book.partitions(target) if target else {},
                _opener(delivery, options, data),
                allow_shrink=options.allow_shrink,
            )
        return files.deliver(
            delivery,
            place,
            book.target(delivery.name, delivery.destination, points_to),
            book,
            data.ensure(data.spool) / delivery.name,
            _opener(delivery, options, data),
            allow_shrink=options.allow_shrink,
        )


def _http(delivery: Delivery, options: Options, data: DataFolder) -> Report:
    from flagmart.delivery import http
    from flagmart.delivery.retry import Patience

    endpoint = destinations.HTTP_SINKS[delivery.sink](delivery.settings)
    id_folder = data.acknowledged / delivery.name
    with _locked(delivery, options, data), _ledger(options, data) as book:
        if options.dry_run:
            return http.rehearse(
                delivery,
                endpoint,
                book.find(delivery.name, delivery.destination, endpoint.url),
                book,
                id_folder,
                _opener(delivery, options, data),
            )
        return http.deliver(
            delivery,
            endpoint,
            book.target(delivery.name, delivery.destination, endpoint.url),
            book,
            data.ensure(data.spool) / delivery.name,
            data.ensure(id_folder),
            _opener(delivery, options, data),
            Patience(longest_wait=settings.longest_wait()),
        )


def _opener(
    delivery: Delivery, options: Options, data: DataFolder
) -> Callable[[], AbstractContextManager[Built]]:
    return lambda: _built(delivery, options, data)


@contextmanager
def _built(delivery: Delivery, options: Options, data: DataFolder) -> Iterator[Built]:
    """The engine, if what it holds of this delivery may go out."""
    with open_reader(data, options.wait_seconds, talk.say) as reader:
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
        yield Built(reader, now.fingerprint(build))
        # a build notes its beginning before it changes anything; only ClickHouse lets it in here
        if reader.build() != build:
            raise FlagmartError(
                "dbt ran while this was reading; run the export again when it is done"
            )


def _locked(delivery: Delivery, options: Options, data: DataFolder) -> AbstractContextManager[None]:
    if options.dry_run:
        return nullcontext()
    path = data.ensure(data.locks) / f"delivery-{delivery.name}.lock"
    return locks.held(path, f"the delivery {delivery.name}")


def _ledger(options: Options, data: DataFolder) -> AbstractContextManager[ledger.Ledger]:
    return ledger.opened(data.ledger, read_only=options.dry_run)
