"""HTTP delivery: spool what is unsent, close the engine, send, record each answer."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flagmart import settings, talk
from flagmart.delivery import outbox
from flagmart.delivery import spool as spooling
from flagmart.delivery.dead import DeadLetter
from flagmart.delivery.report import Outcome, Report
from flagmart.delivery.sending import masked_headers, send
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from flagmart.delivery.deliveries import Built, Delivery
    from flagmart.delivery.ledger import Ledger, Spool, Target
    from flagmart.delivery.outbox import Bounds, Outbox
    from flagmart.delivery.retry import Patience
    from flagmart.delivery.sending import Answered, Sent
    from flagmart.destinations.endpoint import Endpoint

LETTERS_IN_REPORT = 1_000
_NAMED = 3
_BODY_SHOWN = 2_000


@dataclass(frozen=True)
class Route:
    """One delivery to one place, and what it takes to get there."""

    delivery: Delivery
    endpoint: Endpoint
    target: Target
    ledger: Ledger
    spool_folder: Path
    """Its own; emptied at both ends."""
    id_folder: Path
    open_built: Callable[[], AbstractContextManager[Built]]
    patience: Patience

    @property
    def payloads(self) -> Path:
        """Where messages wait while they are sent."""
        return self.spool_folder / "payloads.arrow"

    def report(self, outcome: Outcome, already: int, sent: Sent | None = None) -> Report:
        """What there is to say before any remark."""
        return Report(
            delivery=self.delivery.name,
            destination=self.delivery.destination,
            outcome=outcome,
            unit="requests",
            parts=sent.requests if sent else 0,
            rows=sent.messages if sent else 0,
            already=already,
            where=self.endpoint.url,
        )


@dataclass
class _Taking:
    """A new spool while messages are taken out into it."""

    spool: Spool
    ids: Path
    kept: bool = False


def deliver(route: Route, bounds: Bounds) -> Report:
    """Send every message of the relation that is neither acknowledged nor dead, within bounds.

    Raises:
        FlagmartError: the build must not go out, the relation is not as it must be, or ledger and
            id files do not belong together.
    """
    relation, ledger, target = route.delivery.relation, route.ledger, route.target
    key = route.endpoint.batched_by
    with _begun(route):
        spools = ledger.spools(target)
        waiting, box = 0, None
        with route.open_built() as built:
            runs = bounds.within(built.warehouse.runs(relation))
            changed = outbox.changed_runs(runs, ledger.runs(target))
            taken = sum(run.rows for run in runs) - outbox.count_dead(
                built.warehouse, relation, runs, spools, route.id_folder
            )
            if changed:
                moments = [run.ingested_at for run in changed]
                outbox.refuse_repeats(built.warehouse, relation, moments)
                files = outbox.id_files(spools, route.id_folder)
                if bounds.max_rows is not None:
                    waiting = built.warehouse.count_unsent(relation, moments, files)
                with _taking(route) as new:
                    messages = built.warehouse.unsent(relation, moments, files, key)
                    box = outbox.fill(messages, new.ids, route.payloads, relation, bounds.max_rows)
                    new.kept = box is not None
        if box is None:
            ledger.record_runs(target, changed)
            return route.report(Outcome.NOTHING_NEW, taken)
        waiting = max(waiting, box.rows)
        if not spools:
            _say_where_it_went(route)
        with spooling.Ids(box.ids) as ids:
            sent = _send(route, box, _recorder(route, ids, new.spool, replayed=False))
        settled = next(s.settled for s in ledger.spools(target) if s.id == new.spool.id)
        outbox.close(new.spool, target, ledger, route.id_folder)
        unfinished = box.unfinished(settled, bounds.max_rows)
        ledger.record_runs(target, [run for run in changed if not unfinished(run)])
        return _told(route, sent, new.spool, taken - waiting, waiting)


def replay(route: Route) -> Report:
    """Send dead letters again, as the relation has them now.

    One that is taken is dead no more; one whose message the relation no longer holds is forgotten.

    Raises:
        FlagmartError: see `deliver`.
    """
    relation, ledger, target = route.delivery.relation, route.ledger, route.target
    key = route.endpoint.batched_by
    with _begun(route):
        spools = ledger.spools(target)
        dead = sum(spool.refused for spool in spools)
        already = sum(spool.acknowledged for spool in spools)
        if not dead:
            return route.report(Outcome.NOTHING_NEW, already)
        box = None
        with route.open_built() as built, _taking(route) as new:
            moments = [run.ingested_at for run in built.warehouse.runs(relation)]
            if moments:
                outbox.refuse_repeats(built.warehouse, relation, moments)
                files = outbox.id_files(spools, route.id_folder, outbox.dead)
                messages = built.warehouse.among(relation, moments, files, key)
                box = outbox.fill(messages, new.ids, route.payloads, relation)
                new.kept = box is not None
        gone = ledger.drop_dead(target, spooling.all_message_ids(new.ids) if box else ())
        if gone:
            talk.say(
                f"{route.delivery.name}: {talk.plural(gone, 'dead letter')} forgotten: "
                f"{relation} holds no such message any more"
            )
        if box is None:
            return route.report(Outcome.DELIVERED, already)
        with spooling.Ids(box.ids) as ids:
            sent = _send(route, box, _recorder(route, ids, new.spool, replayed=True))
        outbox.close(new.spool, target, ledger, route.id_folder)
        return _told(route, sent, new.spool, already, box.rows, left="dead")


def resend(route: Route, moment: datetime) -> Report:
    """Send the acknowledged messages of one ingest run again; the ledger stays as it is.

    Raises:
        FlagmartError: see `deliver`; or the relation has no row of that run.
    """
    relation, ledger, target = route.delivery.relation, route.ledger, route.target
    with _begun(route):
        box = None
        with route.open_built() as built:
            if moment not in [run.ingested_at for run in built.warehouse.runs(relation)]:
                raise FlagmartError(f"{relation} has no row with ingested_at {moment}")
            outbox.refuse_repeats(built.warehouse, relation, [moment])
            files = outbox.id_files(ledger.spools(target), route.id_folder, outbox.acknowledged)
            if files:
                messages = built.warehouse.among(
                    relation, [moment], files, route.endpoint.batched_by
                )
                path = route.spool_folder / "ids.parquet"
                box = outbox.fill(messages, path, route.payloads, relation)
        if box is None:
            return route.report(Outcome.NOTHING_NEW, 0)
        refused: list[str] = []

        def note(answers: list[Answered]) -> None:
            for letter in _letters(ids, answers):
                if len(refused) < _NAMED:
                    refused.append(f"message {letter.message_id}: {letter.refused.reason}")

        with spooling.Ids(box.ids) as ids:
            sent = _send(route, box, note)
        remarks = [*refused]
        if sent.refused:
            remarks.append(
                f"{talk.plural(sent.refused, 'message')} refused, acknowledged as they were before"
            )
        if sent.failure is not None:
            remarks.append(f"{sent.failure}; {sent.messages:,} of {box.rows:,} were sent again")
        return replace(route.report(_outcome(sent), 0, sent), remarks=tuple(remarks))


def rehearse(
    delivery: Delivery,
    endpoint: Endpoint,
    target: Target | None,
    ledger: Ledger,
    id_folder: Path,
    open_built: Callable[[], AbstractContextManager[Built]],
    bounds: Bounds,
) -> Report:
    """What `deliver` would send: how many messages; the first request with its first message."""
    known = ledger.runs(target) if target else {}
    spools = ledger.spools(target) if target else []
    files = outbox.id_files(spools, id_folder)
    with open_built() as built:
        warehouse = built.warehouse
        runs = bounds.within(warehouse.runs(delivery.relation))
        changed = outbox.changed_runs(runs, known)
        moments = [run.ingested_at for run in changed]
        unsent = warehouse.count_unsent(delivery.relation, moments, files) if changed else 0
        dead = outbox.count_dead(warehouse, delivery.relation, runs, spools, id_folder)
        first, key = "", ""
        if unsent:
            by = endpoint.batched_by
            with closing(warehouse.unsent(delivery.relation, moments, files, by)) as rows:
                batch = next(rows)
                first = batch.column("payload")[0].as_py()
                key = batch.column("batch_key")[0].as_py() if by else ""
    # a key may stand in the envelope
    envelope = endpoint.masked(endpoint.prefix.decode()), endpoint.masked(endpoint.suffix.decode())
    shown = f"{envelope[0]}{first}{envelope[1]}"
    return Report(
        delivery=delivery.name,
        destination=delivery.destination,
        outcome=Outcome.WOULD_DELIVER if unsent else Outcome.NOTHING_NEW,
        unit="requests",
        rows=unsent if bounds.max_rows is None else min(unsent, bounds.max_rows),
        already=sum(run.rows for run in runs) - unsent - dead,
        where=endpoint.url,
        detail=None
        if not unsent
        else {
            "method": endpoint.method,
            "url": endpoint.url,
            "headers": masked_headers(endpoint, key),
            "body_of_first_message": shown
            if len(shown) <= _BODY_SHOWN
            else f"{shown[:_BODY_SHOWN]}… ({len(shown):,} characters)",
        },
    )


@contextmanager
def _begun(route: Route) -> Iterator[None]:
    """An empty spool folder that is gone in the end, and a ledger without loose ends."""
    shutil.rmtree(route.spool_folder, ignore_errors=True)
    route.spool_folder.mkdir(parents=True)
    outbox.tidy(route.target, route.ledger, route.id_folder)
    yield
    shutil.rmtree(route.spool_folder, ignore_errors=True)


@contextmanager
def _taking(route: Route) -> Iterator[_Taking]:
    """A new spool; dropped again where it is not kept."""
    spool = route.ledger.open_spool(route.target)
    new = _Taking(spool, outbox.id_file(route.id_folder, spool))
    try:
        yield new
    except BaseException:
        new.kept = False
        raise
    finally:
        if not new.kept:
            outbox.close(spool, route.target, route.ledger, route.id_folder)


def _say_where_it_went(route: Route) -> None:
    """Of a place that is new: where the same delivery went before."""
    target = route.target
    before = [
        other.points_to
        for other in route.ledger.targets()
        if other.delivery == target.delivery and other.id != target.id and other.delivered_at
    ]
    if before:
        talk.say(
            f"{target.delivery}: {target.points_to} is a new place, so everything is sent there; "
            f"before, it went to {', '.join(before)}"
        )


def _recorder(
    route: Route, ids: spooling.Ids, spool: Spool, *, replayed: bool
) -> Callable[[list[Answered]], None]:
    def record(answers: list[Answered]) -> None:
        route.ledger.acknowledge(
            route.target,
            spool.id,
            [span for answered in answers for span in answered.spans],
            list(_letters(ids, answers)),
            [
                message_id
                for answered in answers
                for message_id in ids.of(answered.batch.first, answered.batch.last)
            ]
            if replayed
            else (),
        )

    return record


def _letters(ids: spooling.Ids, answers: list[Answered]) -> Iterator[DeadLetter]:
    now = settings.now().isoformat(timespec="seconds")
    for answered in answers:
        for place, refused in sorted(answered.refused.items()):
            row = answered.batch.first + place
            (message_id,) = ids.of(row, row)
            payload = answered.batch.messages[place].as_py().decode("utf-8", "replace")
            yield DeadLetter(row, message_id, refused, payload, now)


def _send(route: Route, box: Outbox, record: Callable[[list[Answered]], None]) -> Sent:
    with talk.progress(route.delivery.name, box.rows) as advance:
        done, begun = 0, time.monotonic()

        def recorded(answers: list[Answered]) -> None:
            nonlocal done
            record(answers)
            done += sum(len(answered.batch.messages) for answered in answers)
            rate = done / max(time.monotonic() - begun, 0.001)
            advance(done, f"{done:,} of {box.rows:,} messages answered, {rate:,.0f}/s")

        return asyncio.run(
            send(
                spooling.batches(box.payloads, route.endpoint),
                route.endpoint,
                route.patience,
                recorded,
                lambda line: talk.say(f"{route.delivery.name}: {line}"),
            )
        )


def _told(
    route: Route, sent: Sent, spool: Spool, already: int, waiting: int, left: str = "unsent"
) -> Report:
    """The report on a spool that was sent.

    Args:
        route: what was delivered.
        sent: what sending came to.
        spool: the spool.
        already: messages that were there before.
        waiting: those that were to be sent, in the spool or not.
        left: what those are that were not answered.
    """
    name = route.delivery.name
    letters = list(route.ledger.dead_letters(route.target, spool.id, LETTERS_IN_REPORT))
    remarks = [
        f"message {letter.message_id} was refused: {letter.refused.reason}"
        for letter in letters[:_NAMED]
    ]
    if sent.refused > len(remarks):
        remarks.append(f"{sent.refused - len(remarks):,} more were refused")
    if sent.refused:
        remarks.append(
            f"{talk.plural(sent.refused, 'dead letter')}: `flagmart replay {name} --dry-run` "
            f"prints them all, `flagmart replay {name}` sends them again when they are mended"
        )
    rest = waiting - sent.messages - sent.refused
    if sent.failure is not None:
        goes = "go with the next run" if left == "unsent" else "wait for the next replay"
        remarks.append(
            f"{sent.failure}; {talk.plural(sent.messages, 'message')} acknowledged, "
            f"{rest:,} stay {left} and {goes}"
        )
    elif rest:
        remarks.append(f"{talk.plural(rest, 'message')} more wait for the next run")
    return replace(
        route.report(_outcome(sent), already, sent),
        remarks=tuple(remarks),
        dead=sent.refused,
        dead_letters=tuple(letter.document(route.target) for letter in letters),
    )


def _outcome(sent: Sent) -> Outcome:
    if sent.failure is not None:
        return Outcome.FAILED
    return Outcome.PARTLY if sent.refused else Outcome.DELIVERED
