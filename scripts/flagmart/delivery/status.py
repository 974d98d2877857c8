"""`flagmart status`: the accounts of ingest, models and deliveries, and whether they add up."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from flagmart import destinations
from flagmart.delivery import ledger
from flagmart.delivery.deliveries import read_project
from flagmart.delivery.export import warehouse
from flagmart.warehouse import manifest

if TYPE_CHECKING:
    from pathlib import Path

    from flagmart.delivery.deliveries import Delivery, Project
    from flagmart.delivery.ledger import Ledger, Target
    from flagmart.settings import DataFolder
    from flagmart.warehouse.manifest import LandedRun
    from flagmart.warehouse.protocol import Relation, Warehouse

LANDING = "featbit_events"
EVENTS = "base_featbit__events"
CHART_POINTS = "fct_evaluation_chart_points"
EXCLUSIONS = "fct_export_exclusions"
ENVIRONMENTS = "int_exports__environments"
_READ = ("landed", "equal_repeats", "conflicting_repeats", "unreadable")


@dataclass(frozen=True)
class Judged:
    """Events of one outcome."""

    outcome: str
    reject_reason: str | None
    events: int


@dataclass(frozen=True)
class Excluded:
    """Events that a delivery leaves out for one reason."""

    delivery: str
    reason: str
    events: int


@dataclass(frozen=True)
class Account:
    """One sum that must hold."""

    name: str
    text: str
    """With its figures."""
    holds: bool


@dataclass(frozen=True)
class Place:
    """A delivery to one place, as the ledger has it."""

    delivery: str
    destination: str
    where: str
    delivered: str
    """In the unit of its kind, for people."""
    rows: int
    unsent: int | None
    """Rows of the relation not there yet; None where that is not known."""
    delivered_at: str | None


@dataclass
class Status:
    """Everything `flagmart status` prints."""

    ingest: dict[str, int]
    events: list[Judged] = field(default_factory=list)
    chart_points: int | None = None
    exports: dict[str, int] = field(default_factory=dict)
    """Rows of each delivery's relation."""
    exclusions: list[Excluded] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What could not be said, and why."""


def status(names: list[str], project_dir: Path, data: DataFolder, wait_seconds: float) -> Status:
    """The accounts as they stand; writes nothing.

    Raises:
        UsageError: an unknown delivery.
        FlagmartError: no manifest of dbt, an unreadable landing, or the DuckDB file is held.
    """
    project = read_project(project_dir)
    chosen = project.chosen(names)
    runs = manifest.read(data.landing / LANDING).runs
    found = Status(
        ingest={name: sum(getattr(run, name) for run in runs) for name in ("read", *_READ)}
    )
    found.accounts.append(
        _account(
            "read = landed + repeats + unreadable",
            found.ingest["read"],
            {name.replace("_", " "): found.ingest[name] for name in _READ},
        )
    )
    with ledger.opened(data.ledger, read_only=True) as book:
        if not data.duckdb.exists():
            found.remarks.append(f"{data.duckdb} does not exist yet; run `dbt build`")
            for target in _targets(book, chosen):
                found.places.append(_place(target, book, data, None, None))
            return found
        with warehouse(data, wait_seconds) as reader:
            accepted = _events(found, runs, project, reader)
            _exports(found, chosen, project, reader, accepted)
            for target in _targets(book, chosen):
                delivery = next(d for d in chosen if d.name == target.delivery)
                known = reader if reader.has(delivery.relation) else None
                found.places.append(_place(target, book, data, delivery, known))
    delivered = {place.delivery for place in found.places}
    found.remarks += [f"{d.name} was never delivered" for d in chosen if d.name not in delivered]
    return found


def _moment(run: LandedRun) -> datetime:
    return datetime.fromisoformat(run.ingested_at).replace(tzinfo=None)


def _account(name: str, whole: int, parts: dict[str, int]) -> Account:
    figures = " + ".join(f"{count:,} {what}" for what, count in parts.items())
    return Account(name, f"{whole:,} = {figures}", whole == sum(parts.values()))


def _relation(found: Status, project: Project, reader: Warehouse, name: str) -> Relation | None:
    relation = project.relations.get(name)
    if relation is not None and reader.has(relation):
        return relation
    found.remarks.append(f"{name} does not exist yet; left out")
    return None


def _events(
    found: Status, runs: tuple[LandedRun, ...], project: Project, reader: Warehouse
) -> int | None:
    """Fill in what base says of events; the accepted ones of exported environments come back."""
    points = _relation(found, project, reader, CHART_POINTS)
    if points is not None:
        found.chart_points = int(str(reader.counts(points, [])[0][0]))
    base = _relation(found, project, reader, EVENTS)
    if base is None:
        return None
    found.events = [
        Judged(str(outcome), None if reason is None else str(reason), int(str(count)))
        for outcome, reason, count in reader.counts(base, ["outcome", "reject_reason"])
    ]
    built = [row[0] for row in reader.counts(base, ["ingested_at"])]
    newest = max((moment for moment in built if isinstance(moment, datetime)), default=None)
    waiting = [run for run in runs if newest is None or _moment(run) > newest]
    if rows := sum(run.landed for run in waiting):
        found.remarks.append(f"{rows:,} landed events are not built yet; run `dbt build`")
    rejected = sum(judged.events for judged in found.events if judged.outcome == "rejected")
    accepted = sum(judged.events for judged in found.events if judged.outcome != "rejected")
    found.accounts.append(
        _account(
            "landed = accepted + rejected",
            found.ingest["landed"] - sum(run.landed for run in waiting),
            {"accepted": accepted, "rejected": rejected},
        )
    )
    environments = project.relations.get(ENVIRONMENTS)
    if environments is None or not reader.has(environments):
        return accepted
    chosen = {
        env
        for env, is_exported, _ in reader.counts(environments, ["env_id", "is_exported"])
        if is_exported
    }
    exported = sum(
        int(str(count))
        for env, outcome, count in reader.counts(base, ["env_id", "outcome"])
        if outcome != "rejected" and env in chosen
    )
    if exported != accepted:
        found.remarks.append(
            f"{accepted - exported:,} accepted events belong to environments that are not exported"
        )
    return exported


def _exports(
    found: Status,
    chosen: list[Delivery],
    project: Project,
    reader: Warehouse,
    accepted: int | None,
) -> None:
    exclusions = _relation(found, project, reader, EXCLUSIONS)
    excluded: dict[object, int] = {}
    if exclusions is not None:
        known = {delivery.name for delivery in chosen}
        found.exclusions = [
            Excluded(str(delivery), str(reason), int(str(count)))
            for delivery, reason, count in reader.counts(exclusions, ["delivery", "reason"])
            if delivery in known
        ]
        excluded = dict(reader.distinct(exclusions, "event_id", "delivery"))
    for delivery in chosen:
        if not reader.has(delivery.relation):
            found.remarks.append(f"{delivery.relation.name} does not exist yet; left out")
            continue
        rows = int(str(reader.counts(delivery.relation, [])[0][0]))
        found.exports[delivery.name] = rows
        if accepted is not None and exclusions is not None:
            found.accounts.append(
                _account(
                    f"accepted = exported + excluded ({delivery.name})",
                    accepted,
                    {"exported": rows, "excluded": excluded.get(delivery.name, 0)},
                )
            )


def _targets(book: Ledger, chosen: list[Delivery]) -> list[Target]:
    names = {delivery.name for delivery in chosen}
    return [target for target in book.targets() if target.delivery in names]


def _place(
    target: Target,
    book: Ledger,
    data: DataFolder,
    delivery: Delivery | None,
    reader: Warehouse | None,
) -> Place:
    partitions = book.partitions(target)
    if "://" in target.points_to:
        return _messages(target, book, data, delivery, reader)
    rows = sum(partition.rows for partition in partitions.values())
    unsent = None
    if delivery is not None and reader is not None and delivery.sink == destinations.FILES:
        unsent = sum(
            figures.rows
            for figures in reader.partitions(delivery.relation)
            if (old := partitions.get(figures.day)) is None
            or old.digest is None
            or (old.rows, old.newest) != (figures.rows, figures.newest)
        )
    files = sum(partition.files for partition in partitions.values())
    return Place(
        delivery=target.delivery,
        destination=target.destination,
        where=str(data.root / target.points_to),
        delivered=f"{len(partitions):,} partitions, {files:,} files",
        rows=rows,
        unsent=unsent,
        delivered_at=target.delivered_at,
    )


def _messages(
    target: Target,
    book: Ledger,
    data: DataFolder,
    delivery: Delivery | None,
    reader: Warehouse | None,
) -> Place:
    spools = book.spools(target)
    unsent = None
    if delivery is not None and reader is not None and delivery.sink in destinations.HTTP_SINKS:
        from flagmart.delivery.http import changed_runs, id_files

        changed = changed_runs(reader.runs(delivery.relation), book.runs(target))
        unsent = (
            reader.count_unsent(
                delivery.relation,
                [run.ingested_at for run in changed],
                id_files(spools, data.acknowledged / delivery.name),
            )
            if changed
            else 0
        )
    acknowledged = sum(spool.acknowledged for spool in spools)
    return Place(
        delivery=target.delivery,
        destination=target.destination,
        where=target.points_to,
        delivered=f"{acknowledged:,} messages",
        rows=acknowledged,
        unsent=unsent,
        delivered_at=target.delivered_at,
    )
