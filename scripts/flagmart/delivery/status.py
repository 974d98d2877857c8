"""`flagmart status`: the accounts of ingest, models and deliveries, and whether they add up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from flagmart import destinations, settings, talk
from flagmart.delivery import files, ledger, loads, places, signals
from flagmart.delivery.deliveries import UNFINISHED, Built, read_project
from flagmart.errors import FlagmartError
from flagmart.settings import Engine
from flagmart.warehouse import landed_runs, open_reader

if TYPE_CHECKING:
    from pathlib import Path

    from flagmart.delivery.deliveries import Delivery, Project
    from flagmart.delivery.ledger import Ledger, Target
    from flagmart.settings import DataFolder
    from flagmart.warehouse.manifest import LandedRun
    from flagmart.warehouse.protocol import Build, Relation, Warehouse

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
    dead: int
    """Messages that were refused."""
    unsent: int | None
    """Messages not sent, rows of the days an export would look at, or finished days that were not
    said to be; None where not known."""
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
    changed: list[loads.ChangedDay] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What could not be said, and why."""


def status(names: list[str], project_dir: Path, data: DataFolder, wait_seconds: float) -> Status:
    """The accounts as they stand; writes nothing.

    Raises:
        UsageError: an unknown delivery.
        FlagmartError: no manifest of dbt, an unreadable landing, an engine that is held or away.
    """
    project = read_project(project_dir)
    chosen = project.chosen(names)
    is_local = settings.engine() is Engine.DUCKDB
    if is_local and not any(path.exists() for path in (data.landing, data.duckdb, data.ledger)):
        raise FlagmartError(
            f"{data.root.absolute()} holds no data yet; run `flagmart ingest`, or point "
            "FLAGMART_DATA elsewhere: it counts from the folder a command is started in"
        )
    found = Status(ingest=dict.fromkeys(("read", *_READ), 0))
    landed = []
    for run in landed_runs(data):
        for name in found.ingest:
            found.ingest[name] += getattr(run, name)
        landed.append((_moment(run), run.landed))
    found.accounts.append(
        _account(
            "read = landed + repeats + unreadable",
            found.ingest["read"],
            {name.replace("_", " "): found.ingest[name] for name in _READ},
        )
    )
    with ledger.opened(data.ledger, read_only=True) as book:
        if is_local and not data.duckdb.exists():
            found.remarks.append(
                f"{data.duckdb.absolute()} does not exist yet; run `dbt build` with a profile "
                "that builds into it"
            )
            for target in _targets(book, chosen):
                found.places.append(_place(target, book, data, None))
            return found
        with open_reader(data, wait_seconds, talk.say) as reader:
            # read again: a build may have ended while this waited for the engine
            project = read_project(project_dir)
            chosen = project.chosen(names)
            finished = signals.finished(project.deliveries, book)
            build = _build(found, chosen, reader)
            accepted = _events(found, landed, project, reader)
            _exports(found, chosen, project, reader, accepted)
            for target in _targets(book, chosen):
                delivery = next(d for d in chosen if d.name == target.delivery)
                unsent = None
                if reader.has(delivery.relation):
                    unsent = _unsent(found, target, book, data, delivery, reader, build)
                    place = _where(target.points_to, data)
                    last = finished.get((target.destination, signals.kind(delivery)))
                    if unsent is not None:  # else it was said why not
                        found.changed += loads.changed_days(
                            delivery, target, place, book, reader, data, last
                        )
                found.places.append(_place(target, book, data, unsent))
    found.remarks += [
        f"{delivery.name} was never delivered" + (f" to {where}" if where else "")
        for delivery in chosen
        if (where := _undelivered(delivery, found.places, data)) is not None
    ]
    return found


def _build(found: Status, chosen: list[Delivery], reader: Warehouse) -> Build | None:
    """What dbt noted of its last run; what an export would refuse is remarked upon."""
    try:
        build = reader.build()
    except FlagmartError as error:
        found.remarks.append(str(error))
        return None
    if not build.finished:
        found.remarks.append(UNFINISHED)
        return build
    found.remarks += [
        f"{delivery.name} would not go out: {reason}"
        for delivery in chosen
        if (reason := delivery.refusal(build))
    ]
    return build


def _undelivered(delivery: Delivery, known: list[Place], data: DataFolder) -> str | None:
    """Where it never went, of the place it has now; '' for nowhere at all, None where it did."""
    mine = [place for place in known if place.delivery == delivery.name]
    if not mine:
        return ""
    if delivery.settings.values.get("sink") != destinations.FILES:
        return None
    try:
        now = places.place(delivery, data)
    except FlagmartError:
        return None  # said by an export
    where = _where(now.points_to(data), data)
    destination = delivery.settings.values.get("destination")
    return None if (destination, where) in [(p.destination, p.where) for p in mine] else where


def _where(points_to: str, data: DataFolder) -> str:
    return points_to if "://" in points_to else str(data.root / points_to)


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
    found: Status, landed: list[tuple[datetime, int]], project: Project, reader: Warehouse
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
    waiting = sum(rows for moment, rows in landed if newest is None or moment > newest)
    if waiting:
        found.remarks.append(f"{waiting:,} landed events are not built yet; run `dbt build`")
    rejected = sum(judged.events for judged in found.events if judged.outcome == "rejected")
    accepted = sum(judged.events for judged in found.events if judged.outcome != "rejected")
    found.accounts.append(
        _account(
            "landed = accepted + rejected",
            found.ingest["landed"] - waiting,
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
        known = {name for d in chosen for name in (d.name, d.accounted_as)}
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
        named = delivery.accounted_as
        if named is not None and accepted is not None and exclusions is not None:
            found.accounts.append(
                _account(
                    f"accepted = exported + excluded ({delivery.name})",
                    accepted,
                    {"exported": rows, "excluded": excluded.get(named, 0)},
                )
            )


def _targets(book: Ledger, chosen: list[Delivery]) -> list[Target]:
    names = {delivery.name for delivery in chosen}
    return [target for target in book.targets() if target.delivery in names]


def _unsent(
    found: Status,
    target: Target,
    book: Ledger,
    data: DataFolder,
    delivery: Delivery,
    reader: Warehouse,
    build: Build | None,
) -> int | None:
    """What an export to this place would look at or send, by the export's own rules."""
    sink = delivery.settings.values.get("sink")
    if signals.is_signals(delivery):
        over = [figures.day for figures in reader.partitions(delivery.relation)]
        return len(signals.candidates(over, signals.last_finished(target, book)))
    if places.is_files(target.points_to) and sink == destinations.FILES:
        try:
            place = places.at(delivery, target.points_to, data)
            standing = place.standing(book.partitions(target))
        except FlagmartError as error:
            found.remarks.append(str(error))
            return None
        fingerprint = "" if build is None else delivery.fingerprint(build)
        built = Built(reader, fingerprint)
        _, work = files.compare(delivery, place.layout, standing, built, allow_shrink=False)
        found.remarks += [f"{delivery.name}: {line}" for line in files.shrunk_remarks(work)]
        return sum(figures.rows for figures in work.look)
    if not places.is_files(target.points_to) and sink in destinations.HTTP_SINKS:
        return _messages(found, target, book, data, delivery, reader)
    return None


def _messages(
    found: Status,
    target: Target,
    book: Ledger,
    data: DataFolder,
    delivery: Delivery,
    reader: Warehouse,
) -> int:
    """How many messages are unsent; and the account of them all."""
    from flagmart.delivery import outbox

    spools, folder = book.spools(target), data.acknowledged / delivery.name
    runs = reader.runs(delivery.relation)
    changed = outbox.changed_runs(runs, book.runs(target))
    unsent = 0
    if changed:
        unsent = reader.count_unsent(
            delivery.relation,
            [run.ingested_at for run in changed],
            outbox.id_files(spools, folder),
        )
    rows = sum(run.rows for run in runs)
    dead = sum(spool.refused for spool in spools)
    delivered = sum(spool.acknowledged for spool in spools)
    # what was sent or refused and is in the relation no more
    gone = max(delivered + dead + unsent - rows, 0)
    account = _account(
        f"exported = delivered + dead + unsent ({target.delivery})",
        rows + gone,
        {"delivered": delivered, "dead": dead, "unsent": unsent},
    )
    if gone:
        account = replace(account, text=f"{account.text}, {gone:,} of them no longer exported")
    found.accounts.append(account)
    return unsent


def _place(target: Target, book: Ledger, data: DataFolder, unsent: int | None) -> Place:
    where = _where(target.points_to, data)
    dead = 0
    if calls := book.calls(target):
        said = [f"{name} up to {called.day}" for name, called in calls.items() if called.day]
        rows, delivered = 0, ", ".join(said)
    elif not places.is_files(target.points_to):
        spools = book.spools(target)
        rows = sum(spool.acknowledged for spool in spools)
        dead = sum(spool.refused for spool in spools)
        delivered = f"{rows:,} messages"
    else:
        partitions = book.partitions(target).values()
        rows = sum(partition.rows for partition in partitions)
        count = sum(partition.files for partition in partitions)
        delivered = f"{len(partitions):,} partitions, {count:,} files"
    return Place(
        delivery=target.delivery,
        destination=target.destination,
        where=where,
        delivered=delivered,
        rows=rows,
        dead=dead,
        unsent=unsent,
        delivered_at=target.delivered_at,
    )
