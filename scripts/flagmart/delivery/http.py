"""HTTP delivery: spool what is not acknowledged, close the engine, send, record each answer."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from flagmart import talk
from flagmart.delivery import spool as spooling
from flagmart.delivery.report import Outcome, Report
from flagmart.delivery.retry import Patience, SharedPause, TryAgainError, asked_wait, may_pass
from flagmart.errors import FlagmartError
from flagmart.warehouse.protocol import IdFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from flagmart.delivery.deliveries import Built, Delivery
    from flagmart.delivery.ledger import Ledger, Spool, Target
    from flagmart.destinations.endpoint import Endpoint
    from flagmart.warehouse.protocol import RunFigures, Warehouse

IN_FLIGHT = 8
EXCERPT_BYTES = 500
_READ_BYTES = 4_096
_BODY_SHOWN = 2_000


@dataclass
class Sent:
    """What sending came to."""

    messages: int = 0
    requests: int = 0
    too_large: list[spooling.TooLarge] = field(default_factory=list)
    failure: str | None = None
    """Why it stopped before the end; what was not answered by then is unsent."""


@dataclass(frozen=True)
class Unsent:
    """Messages in the spool, and the runs they come from."""

    spool: Spool
    ids: Path
    payloads: Path
    rows: int
    runs: tuple[tuple[RunFigures, int, int], ...]
    """Figures of a run, first row in the spool, and the one after its last."""


def deliver(
    delivery: Delivery,
    endpoint: Endpoint,
    target: Target,
    ledger: Ledger,
    spool_folder: Path,
    id_folder: Path,
    open_built: Callable[[], AbstractContextManager[Built]],
    patience: Patience,
) -> Report:
    """Send every message of the relation that is not acknowledged yet.

    Raises:
        FlagmartError: the build must not go out, the relation is not as it must be, or ledger and
            id files do not belong together.
    """
    shutil.rmtree(spool_folder, ignore_errors=True)
    spool_folder.mkdir(parents=True)
    _tidy(target, ledger, id_folder)
    with open_built() as built:
        warehouse = built.warehouse
        runs = warehouse.runs(delivery.relation)
        changed = changed_runs(runs, ledger.runs(target))
        unsent = _take_out(
            delivery,
            warehouse,
            changed,
            target,
            ledger,
            spool_folder / "payloads.parquet",
            id_folder,
        )
    total = sum(run.rows for run in runs)
    if unsent is None:
        ledger.record_runs(target, changed)
        shutil.rmtree(spool_folder, ignore_errors=True)
        return Report(
            delivery=delivery.name,
            destination=delivery.destination,
            outcome=Outcome.NOTHING_NEW,
            unit="requests",
            already=total,
            where=endpoint.url,
        )

    sent = _send_all(delivery, endpoint, target, ledger, unsent, patience)

    remarks = _remarks(sent, unsent, endpoint)
    _close(unsent.spool, target, ledger, id_folder)
    _record_whole_runs(changed, unsent, target, ledger)
    shutil.rmtree(spool_folder, ignore_errors=True)
    outcome = Outcome.PARTLY if remarks else Outcome.DELIVERED
    return Report(
        delivery=delivery.name,
        destination=delivery.destination,
        outcome=Outcome.FAILED if sent.failure is not None else outcome,
        unit="requests",
        parts=sent.requests,
        rows=sent.messages,
        already=total - unsent.rows,
        where=endpoint.url,
        remarks=remarks,
    )


def _remarks(sent: Sent, unsent: Unsent, endpoint: Endpoint) -> tuple[str, ...]:
    named = sent.too_large[:3]
    remarks = [
        f"message {spooling.message_id(unsent.ids, large.row)} has {large.bytes:,} bytes, over the "
        f"{endpoint.max_message_bytes:,} a message may have; not sent, mend the model"
        for large in named
    ]
    if len(sent.too_large) > len(named):
        remarks.append(f"{len(sent.too_large) - len(named):,} more messages are too large")
    if sent.failure is not None:
        remarks.append(
            f"{sent.failure}; {talk.plural(sent.messages, 'message')} acknowledged, "
            f"{unsent.rows - sent.messages:,} stay unsent and go with the next run"
        )
    return tuple(remarks)


def _record_whole_runs(
    changed: list[RunFigures], unsent: Unsent, target: Target, ledger: Ledger
) -> None:
    """Record the runs of which nothing is unsent: such a run costs nothing from now on."""
    acknowledged = _ranges(ledger, target, unsent.spool)
    missing = {
        run.ingested_at
        for run, first, end in unsent.runs
        if not any(low <= first and end - 1 <= high for low, high in acknowledged)
    }
    ledger.record_runs(target, [run for run in changed if run.ingested_at not in missing])


def rehearse(
    delivery: Delivery,
    endpoint: Endpoint,
    target: Target | None,
    ledger: Ledger,
    id_folder: Path,
    open_built: Callable[[], AbstractContextManager[Built]],
) -> Report:
    """What `deliver` would send: how many messages; the first request with its first message."""
    known = ledger.runs(target) if target else {}
    acknowledged = id_files(ledger.spools(target), id_folder) if target else []
    with open_built() as built:
        warehouse = built.warehouse
        runs = warehouse.runs(delivery.relation)
        changed = changed_runs(runs, known)
        moments = [run.ingested_at for run in changed]
        unsent = warehouse.count_unsent(delivery.relation, moments, acknowledged) if changed else 0
        first = ""
        if unsent:
            with closing(warehouse.unsent(delivery.relation, moments, acknowledged)) as rows:
                first = next(rows).column("payload")[0].as_py()
    shown = f"{endpoint.prefix.decode()}{first}{endpoint.suffix.decode()}"
    return Report(
        delivery=delivery.name,
        destination=delivery.destination,
        outcome=Outcome.WOULD_DELIVER if unsent else Outcome.NOTHING_NEW,
        unit="requests",
        rows=unsent,
        already=sum(run.rows for run in runs) - unsent,
        where=endpoint.url,
        detail=None
        if not unsent
        else {
            "method": "POST",
            "url": endpoint.url,
            "headers": {name: endpoint.masked(value) for name, value in _headers(endpoint).items()},
            "body_of_first_message": shown
            if len(shown) <= _BODY_SHOWN
            else f"{shown[:_BODY_SHOWN]}… ({len(shown):,} characters)",
        },
    )


def changed_runs(runs: list[RunFigures], known: dict[datetime, RunFigures]) -> list[RunFigures]:
    """Runs whose figures are not those the ledger holds as wholly acknowledged."""
    return [run for run in runs if known.get(run.ingested_at) != run]


def id_files(spools: list[Spool], id_folder: Path) -> list[IdFile]:
    """The files that hold acknowledged ids.

    Raises:
        FlagmartError: one that the ledger relies on is missing.
    """
    files = []
    for spool in spools:
        if not spool.ranges:
            continue
        path = _ids(id_folder, spool)
        if not path.exists():
            raise FlagmartError(
                f"{path} is missing: it holds {spool.acknowledged:,} acknowledged message ids; "
                "put it back, or they would all be sent again"
            )
        files.append(IdFile(path, spool.ranges))
    return files


def _ids(id_folder: Path, spool: Spool) -> Path:
    return id_folder / f"{spool.name}.parquet"


def _tidy(target: Target, ledger: Ledger, id_folder: Path) -> None:
    """Close what a killed export left open, and see that ledger and id files belong together."""
    for spool in ledger.spools(target):
        if spool.is_open:
            _close(spool, target, ledger, id_folder)
    known = ledger.spool_names(target.delivery)
    unknown = sorted(path.name for path in id_folder.glob("*.parquet") if path.stem not in known)
    if unknown:
        raise FlagmartError(
            f"{id_folder / unknown[0]} holds ids of messages that were sent, "
            "but the ledger knows nothing of it; "
            "put the ledger back, or remove that folder to send everything again"
        )


def _close(spool: Spool, target: Target, ledger: Ledger, id_folder: Path) -> None:
    if _ranges(ledger, target, spool):
        ledger.close_spool(spool.id)
    else:
        # the file first: a file the ledger does not know would mean a lost ledger
        _ids(id_folder, spool).unlink(missing_ok=True)
        ledger.drop_spool(spool.id)


def _ranges(ledger: Ledger, target: Target, spool: Spool) -> tuple[tuple[int, int], ...]:
    return next((s.ranges for s in ledger.spools(target) if s.id == spool.id), ())


def _take_out(
    delivery: Delivery,
    warehouse: Warehouse,
    changed: list[RunFigures],
    target: Target,
    ledger: Ledger,
    payloads: Path,
    id_folder: Path,
) -> Unsent | None:
    if not changed:
        return None
    moments = [run.ingested_at for run in changed]
    repeated = warehouse.repeated_message_ids(delivery.relation, moments)
    if repeated:
        raise FlagmartError(
            f"{delivery.relation} holds a message_id more than once (first: {repeated[0]}); "
            "each message needs its own, mend the model"
        )
    acknowledged = id_files(ledger.spools(target), id_folder)
    spool = ledger.open_spool(target)
    ids = _ids(id_folder, spool)
    try:
        counts = spooling.write(
            warehouse.unsent(delivery.relation, moments, acknowledged),
            ids,
            payloads,
            str(delivery.relation),
        )
    except BaseException:
        _close(spool, target, ledger, id_folder)
        raise
    if not counts:
        _close(spool, target, ledger, id_folder)
        return None
    by_moment = {run.ingested_at: run for run in changed}
    runs, first = [], 0
    for moment, rows in counts.items():
        runs.append((by_moment[moment], first, first + rows))
        first += rows
    return Unsent(spool, ids, payloads, first, tuple(runs))


def _send_all(
    delivery: Delivery,
    endpoint: Endpoint,
    target: Target,
    ledger: Ledger,
    unsent: Unsent,
    patience: Patience,
) -> Sent:
    with talk.progress(delivery.name, unsent.rows) as advance:
        done = 0

        def acknowledged(batches: list[spooling.Batch]) -> None:
            nonlocal done
            spans = [(batch.first, batch.last) for batch in batches]
            ledger.acknowledge(target, unsent.spool.id, spans)
            done += sum(last - first + 1 for first, last in spans)
            advance(done, f"{done:,} of {unsent.rows:,} messages acknowledged")

        return asyncio.run(
            send(
                spooling.batches(unsent.payloads, endpoint),
                endpoint,
                patience,
                acknowledged,
                lambda line: talk.say(f"{delivery.name}: {line}"),
            )
        )


async def send(
    batches: Iterator[spooling.Batch | spooling.TooLarge],
    endpoint: Endpoint,
    patience: Patience,
    acknowledged: Callable[[list[spooling.Batch]], None],
    say: Callable[[str], None],
) -> Sent:
    """Post batches, eight at a time, until all are answered or one cannot be.

    Args:
        batches: bodies to send; what is too large is only noted.
        endpoint: where.
        patience: how often and how long to try.
        acknowledged: called, in a thread, with batches that were just answered; the next requests
            of those who sent them wait for it.
        say: told when all have to wait for long.
    """
    sent = Sent()
    pause = SharedPause(patience, say)
    recorder = _Recorder(acknowledged)
    async with aiohttp.ClientSession(
        headers=_headers(endpoint),
        timeout=aiohttp.ClientTimeout(total=patience.request_timeout),
        connector=aiohttp.TCPConnector(limit=IN_FLIGHT),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:

        async def work() -> None:
            while not pause.stopped.is_set():
                batch = next(batches, None)
                if batch is None:
                    return
                if isinstance(batch, spooling.TooLarge):
                    sent.too_large.append(batch)
                    continue
                failure = await _post(session, endpoint, batch.body, patience, pause)
                if failure is None:
                    await recorder.record(batch)
                    sent.messages += batch.last - batch.first + 1
                    sent.requests += 1
                elif sent.failure is None and failure:
                    # those in flight may still be answered; no new one starts
                    sent.failure = failure
                    pause.stopped.set()

        try:
            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        finally:
            pause.stopped.set()  # where one failed, no other starts a request
    return sent


class _Recorder:
    """Records answers as they come; those that come while the disk is busy share the next write.

    Measured: a write to the disk for each answer made 135,000 messages/s out of 356,000.
    """

    def __init__(self, record: Callable[[list[spooling.Batch]], None]) -> None:
        self._record = record
        self._waiting: list[spooling.Batch] = []
        self._busy = asyncio.Lock()
        self._failure: BaseException | None = None

    async def record(self, batch: spooling.Batch) -> None:
        """Return when the batch is recorded.

        Raises:
            BaseException: what a write raised; everyone hears of it who was not told otherwise yet.
        """
        self._waiting.append(batch)
        async with self._busy:
            if self._failure is not None:
                raise self._failure
            if not any(waiting is batch for waiting in self._waiting):
                return  # whoever was before us took it along
            batches, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._record, batches)
            except BaseException as failure:
                self._failure = failure
                raise


async def _post(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    body: bytes,
    patience: Patience,
    pause: SharedPause,
) -> str | None:
    """None when the server took the batch, else why not; '' when another batch stopped it all."""
    try:
        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(patience.attempts),
            wait=pause.seconds,
            sleep=pause.sleep,
            retry=retry_if_exception_type(TryAgainError),
            reraise=True,
        ):
            with attempt:
                await pause.over()
                if pause.stopped.is_set():
                    return ""
                return await _attempt(session, endpoint, body)
    except TryAgainError as error:
        return f"{error}, {patience.attempts} times over"
    return ""


async def _attempt(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    body: bytes,
) -> str | None:
    try:
        # a redirect would carry the key to another host
        async with session.post(endpoint.url, data=body, allow_redirects=False) as answer:
            said = (await answer.content.read(_READ_BYTES)).decode("utf-8", "replace")
            excerpt = _excerpt(said, endpoint)
            if 200 <= answer.status < 300:
                objection = endpoint.objection(said)
                if objection is None:
                    return None
                return f"{endpoint.url} answered {answer.status}, but {objection}{excerpt}"
            told = f"{endpoint.url} answered {answer.status}{excerpt}"
            if may_pass(answer.status):
                raise TryAgainError(told, asked_wait(answer.headers))
            return told
    except aiohttp.ClientSSLError as error:
        return endpoint.masked(f"{endpoint.url}: no trusted connection ({error})")
    except (aiohttp.ClientError, TimeoutError) as error:
        # aiohttp says this of plain http, too
        reason = (str(error) or type(error).__name__).replace(" ssl:default", "")
        raise TryAgainError(endpoint.masked(f"{endpoint.url}: {reason}")) from error


def _excerpt(body: str, endpoint: Endpoint) -> str:
    shown = " ".join(endpoint.masked(body).split())
    shown = "".join(character for character in shown if character.isprintable())[:EXCERPT_BYTES]
    return f": {shown}" if shown else ""


def _headers(endpoint: Endpoint) -> dict[str, str]:
    return {**endpoint.headers, "User-Agent": "flagmart"}
