"""`flagmart replay`: dead letters, sent again or listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flagmart import destinations
from flagmart.delivery import ledger
from flagmart.delivery.deliveries import read_project
from flagmart.delivery.export import Options, guarded, routed
from flagmart.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flagmart.delivery.deliveries import Delivery
    from flagmart.delivery.report import Report
    from flagmart.settings import DataFolder


def replay(names: list[str], options: Options, data: DataFolder) -> list[Report]:
    """Send the dead letters of the named deliveries again, or of all that have some.

    Raises:
        UsageError: an unknown name, or one that is no delivery over HTTP.
        FlagmartError: no manifest; what ails a single delivery is in its report.
    """
    chosen = _chosen(names, options.project_dir)
    if not names:
        with ledger.opened(data.ledger, read_only=True) as book:
            having = {
                target.delivery
                for target in book.targets()
                if any(spool.dead for spool in book.spools(target))
            }
        chosen = [delivery for delivery in chosen if delivery.name in having]
    return [_one(delivery, options, data) for delivery in chosen]


def letters(names: list[str], project_dir: Path, data: DataFolder) -> Iterator[dict[str, object]]:
    """The dead letters of the named deliveries, or of all, wherever they were sent.

    Raises:
        UsageError, FlagmartError: see `replay`.
    """
    known = {delivery.name for delivery in _chosen(names, project_dir)}
    with ledger.opened(data.ledger, read_only=True) as book:
        for target in book.targets():
            if target.delivery in known:
                for letter in book.dead_letters(target):
                    yield letter.document(target)


def _chosen(names: list[str], project_dir: Path) -> list[Delivery]:
    chosen = read_project(project_dir).chosen(names)
    messages = [d for d in chosen if d.settings.values.get("sink") in destinations.HTTP_SINKS]
    for delivery in chosen:
        if names and delivery not in messages:
            raise UsageError(f"{delivery.name} sends no messages, so it has no dead letters")
    return messages


def _one(delivery: Delivery, options: Options, data: DataFolder) -> Report:
    from flagmart.delivery import http

    def work() -> Report:
        with routed(delivery, options, data) as route:
            return http.replay(route)

    return guarded(delivery, data, work)
