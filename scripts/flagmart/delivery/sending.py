"""Requests to an HTTP destination: several in flight, tried again, judged by what is answered."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

from flagmart.delivery.dead import Refused
from flagmart.delivery.ledger import without_userinfo
from flagmart.delivery.retry import Patience, SharedPause, TryAgainError, asked_wait, may_pass
from flagmart.delivery.spool import Batch, largest_message
from flagmart.destinations.endpoint import is_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from aiohttp.abc import AbstractStreamWriter

    from flagmart.delivery.spool import Body
    from flagmart.destinations.endpoint import Endpoint

IN_FLIGHT = 8
UNDER_WAY = 12
"""Batches in flight, or answered and not recorded yet: all that a kill can send twice. With more of
them than requests in flight, none of these waits for the disk."""
_READ_BATCHES = 4
"""At a time; as many lie ready beside those under way."""
EXCERPT_CHARACTERS = 500
_READ_BYTES = 4 * 1024 * 1024
"""Of an answer: room for a word on each of some thousand messages."""
_MASKED_CHARACTERS = 16_384
"""Of an answer, in which an excerpt is looked for."""
_TELLING = 20
"""Characters from which a part of a signed header is taken for a secret."""


@dataclass(frozen=True)
class Answered:
    """A batch that is done with."""

    batch: Batch
    refused: Mapping[int, Refused] = field(default_factory=dict)
    """By place in the batch; all others were taken."""

    @property
    def taken(self) -> int:
        """How many messages were."""
        return len(self.batch.messages) - len(self.refused)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Rows (first, last) that were taken."""
        return [(part.first, part.last) for part in _without(self.batch, self.refused)]


@dataclass
class Sent:
    """What sending came to."""

    messages: int = 0
    refused: int = 0
    requests: int = 0
    """That were taken, if only in part."""
    failure: str | None = None
    """Why it stopped before the end; what was not answered by then is unsent."""


@dataclass(frozen=True)
class Refusal:
    """Why a single request was not taken."""

    reason: str
    counts: bool
    """Whether the server may count it all the same: it was busy, failed, or gave no answer."""


@dataclass(frozen=True)
class _Taken:
    refused: dict[int, Refused]


@dataclass(frozen=True)
class _Splits:
    refused: Refused


@dataclass(frozen=True)
class _Spoilt:
    """None was taken, because of these."""

    culprits: dict[int, Refused]


@dataclass(frozen=True)
class _Fails:
    reason: str


_STOPPED = _Fails("")
"""Another batch stopped it all."""
_Result = _Taken | _Splits | _Spoilt | _Fails


async def send(
    batches: Iterator[Batch],
    endpoint: Endpoint,
    patience: Patience,
    record: Callable[[list[Answered]], None],
    say: Callable[[str], None],
) -> Sent:
    """Post batches, eight or one at a time, until all are answered or one cannot be.

    Args:
        batches: what to send.
        endpoint: where.
        patience: how often and how long to try.
        record: called, in a thread, with what was just answered; a batch is under way until it
            has returned, and no more than twelve are at a time.
        say: told when all have to wait for long.
    """
    sent = Sent()
    pause = SharedPause(patience, say)
    recorder = Recorder(record)
    ahead = _Ahead(batches, endpoint)
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def deliver(session: aiohttp.ClientSession, batch: Batch, body: Body) -> None:
        parts = [batch]
        while parts and not pause.stopped.is_set():
            part = parts.pop()
            if part is not batch:
                body = part.body(endpoint)
            result: _Result | None = _too_large(part, endpoint)
            if result is None:
                async with slots:
                    result = await _posted(session, endpoint, part, body, patience, pause)
            if isinstance(result, _Fails):
                # those in flight may still be answered; no new one starts
                sent.failure = sent.failure or result.reason or None
                pause.stopped.set()
                return
            if isinstance(result, _Splits) and len(part.messages) > 1:
                parts += reversed(part.halves())
                continue
            if isinstance(result, _Spoilt):
                answers = [
                    Answered(part.part(place, place + 1), {0: refused})
                    for place, refused in sorted(result.culprits.items())
                ]
                parts += reversed(_without(part, result.culprits))
            else:
                refused = {0: result.refused} if isinstance(result, _Splits) else result.refused
                answers = [Answered(part, refused)]
            for answered in answers:
                await recorder.record(answered)
                sent.messages += answered.taken
                sent.refused += len(answered.refused)
                sent.requests += answered.taken > 0

    async with _session(endpoint, patience) as session:

        async def work() -> None:
            while not pause.stopped.is_set() and (following := await ahead.next()) is not None:
                await deliver(session, *following)

        try:
            await asyncio.gather(*(work() for _ in range(1 if endpoint.in_order else UNDER_WAY)))
        finally:
            pause.stopped.set()  # where one failed, no other starts a request
            await ahead.end()
    return sent


def post(
    endpoint: Endpoint, body: bytes, patience: Patience, say: Callable[[str], None]
) -> Refusal | None:
    """Send one request that stands by itself; None when the server took it."""

    async def once() -> Refusal | None:
        async with _session(endpoint, patience) as session:
            pause = SharedPause(patience, say)
            try:
                result = await _tried(session, endpoint, (body,), {}, 1, patience, pause)
            except TryAgainError as error:
                return Refusal(str(error), error.arrived)
        if isinstance(result, _Fails):
            return Refusal(result.reason, counts=False)
        refused = _of_one(result)
        if refused is None:
            return None
        return Refusal(f"{refused.reason}: {refused.answer}".removesuffix(": "), counts=False)

    return asyncio.run(once())


class _Parts(aiohttp.Payload):
    """A body sent piece after piece: joined before, or joined with the headers, it is copied."""

    def __init__(self, body: Body) -> None:
        super().__init__(body)
        self._size = sum(len(piece) for piece in body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """See aiohttp."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """See aiohttp."""
        for piece in self._value:
            await writer.write(piece)


class _Ahead:
    """Batches with their bodies, read and joined in a thread while others are on their way."""

    def __init__(self, batches: Iterator[Batch], endpoint: Endpoint) -> None:
        self._joined = ((batch, batch.body(endpoint)) for batch in batches)
        self._turn = asyncio.Lock()
        self._read: deque[tuple[Batch, Body]] = deque()
        self._coming = self._begun()

    async def next(self) -> tuple[Batch, Body] | None:
        """The next one; None when there is no other."""
        async with self._turn:
            if not self._read:
                self._read.extend(await self._coming)
                self._coming = self._begun()
            return self._read.popleft() if self._read else None

    async def end(self) -> None:
        """Return when nobody reads any more."""
        await asyncio.gather(self._coming, return_exceptions=True)

    def _begun(self) -> asyncio.Task[list[tuple[Batch, Body]]]:
        return asyncio.create_task(asyncio.to_thread(list, islice(self._joined, _READ_BATCHES)))


class Recorder:
    """Records answers as they come; those that come while the disk is busy share the next write.

    Measured: a write to the disk for each answer made 135,000 messages/s out of 356,000.
    """

    def __init__(self, record: Callable[[list[Answered]], None]) -> None:
        self._record = record
        self._waiting: list[Answered] = []
        self._busy = asyncio.Lock()
        self._failure: BaseException | None = None

    async def record(self, answered: Answered) -> None:
        """Return when the answer is recorded.

        Raises:
            BaseException: what a write raised; everyone hears of it who was not told otherwise yet.
        """
        self._waiting.append(answered)
        async with self._busy:
            if self._failure is not None:
                raise self._failure
            if not any(waiting is answered for waiting in self._waiting):
                return  # whoever was before us took it along
            all_of_them, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._record, all_of_them)
            except BaseException as failure:
                self._failure = failure
                raise


def headers_of(endpoint: Endpoint) -> dict[str, str]:
    """The headers of every request."""
    coding = {"Content-Encoding": "gzip"} if endpoint.gzip else {}
    return {**endpoint.headers, **coding, "User-Agent": "flagmart"}


def masked_headers(endpoint: Endpoint, key: str = "") -> dict[str, str]:
    """The headers of a request, for people.

    Args:
        endpoint: where it goes.
        key: that of its batch.
    """
    all_of_them = headers_of(endpoint) | endpoint.batch_headers(key)
    headers = {name: endpoint.masked(value) for name, value in all_of_them.items()}
    return headers | dict.fromkeys(endpoint.sign(), "***")


def _of_one(result: _Taken | _Splits | _Spoilt) -> Refused | None:
    """What a request with one message says of it."""
    if isinstance(result, _Splits):
        return result.refused
    return (result.culprits if isinstance(result, _Spoilt) else result.refused).get(0)


def _without(batch: Batch, places: Mapping[int, object]) -> list[Batch]:
    """What is left of a batch on either side of these."""
    edges = [-1, *sorted(places), len(batch.messages)]
    return [
        batch.part(before + 1, after) for before, after in pairwise(edges) if after - before > 1
    ]


def _too_large(batch: Batch, endpoint: Endpoint) -> _Taken | None:
    size, largest = len(batch.messages[0].as_py()), largest_message(endpoint)
    if size <= largest:
        return None
    reason = f"it has {size:,} bytes, over the {largest:,} a message may have"
    return _Taken({0: Refused(None, reason)})


@asynccontextmanager
async def _session(endpoint: Endpoint, patience: Patience) -> AsyncIterator[aiohttp.ClientSession]:
    proxy = _proxy(endpoint.url)
    async with aiohttp.ClientSession(
        headers=headers_of(endpoint),
        timeout=aiohttp.ClientTimeout(total=patience.request_timeout),
        connector=aiohttp.TCPConnector(limit=IN_FLIGHT),
        cookie_jar=aiohttp.DummyCookieJar(),
        # without user and password, which errors would show
        proxy=proxy and without_userinfo(proxy),
        proxy_auth=_proxy_auth(proxy),
    ) as session:
        yield session


def _proxy(url: str) -> str | None:
    """What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say of `url`.

    aiohttp's own way of reading them would take keys from ~/.netrc, too.
    """
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _proxy_auth(proxy: str | None) -> aiohttp.BasicAuth | None:
    parts = urlsplit(proxy or "")
    if parts.username is None:
        return None
    return aiohttp.BasicAuth(unquote(parts.username), unquote(parts.password or ""))


async def _posted(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    batch: Batch,
    body: Body,
    patience: Patience,
    pause: SharedPause,
) -> _Result:
    """What became of a batch with this body."""
    further = endpoint.batch_headers(batch.key)
    if endpoint.gzip:
        # without the time, so that every attempt sends the same bytes
        body = (await asyncio.to_thread(gzip.compress, b"".join(body), 6, mtime=0),)
    try:
        return await _tried(session, endpoint, body, further, len(batch.messages), patience, pause)
    except TryAgainError as error:
        return _Fails(f"{error}, {patience.attempts} times over")


async def _tried(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    body: Body,
    further: Mapping[str, str],
    messages: int,
    patience: Patience,
    pause: SharedPause,
) -> _Result:
    """What became of a body with so many messages, and with these headers beside the usual ones.

    Raises:
        TryAgainError: what may pass did not.
    """

    def again(error: BaseException) -> bool:
        return isinstance(error, TryAgainError) and error.status not in endpoint.final

    async for attempt in AsyncRetrying(
        stop=stop_after_attempt(patience.attempts),
        wait=pause.seconds,
        sleep=pause.sleep,
        retry=retry_if_exception(again),
        reraise=True,
    ):
        with attempt:
            await pause.turn()
            if pause.stopped.is_set():
                return _STOPPED
            return await _attempt(session, endpoint, body, further, messages)
    return _STOPPED


async def _attempt(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    body: Body,
    further: Mapping[str, str],
    messages: int,
) -> _Result:
    signed = endpoint.sign()
    known = endpoint
    if signed:
        known = replace(endpoint, secrets=(*endpoint.secrets, *_telling(signed)))
    try:
        # a redirect would carry the key to another host
        async with session.request(
            endpoint.method,
            endpoint.url,
            data=_Parts(body),
            headers={**further, **signed},
            allow_redirects=False,
        ) as answer:
            said = await _read(answer)
            return _judged(known, answer.status, answer.headers, said, messages)
    except aiohttp.ClientSSLError as error:
        return _Fails(known.masked(f"{endpoint.url}: no trusted connection ({error})"))
    except (aiohttp.ClientError, TimeoutError) as error:
        # aiohttp says this of plain http, too
        reason = (str(error) or type(error).__name__).replace(" ssl:default", "")
        raise TryAgainError(
            known.masked(f"{endpoint.url}: {reason}"),
            arrived=not isinstance(error, aiohttp.ClientConnectorError),
        ) from error


def _telling(signed: Mapping[str, str]) -> list[str]:
    """What of signed headers an answer may echo and nobody may see."""
    parts = {part for value in signed.values() for part in re.split(r"[\s&;,]|\w+=", value)}
    telling = [part for part in parts if len(part) >= _TELLING]
    return [*signed.values(), *telling, *map(unquote, telling)]


async def _read(answer: aiohttp.ClientResponse) -> str:
    said = bytearray()
    async for chunk in answer.content.iter_any():
        said += chunk
        if len(said) >= _READ_BYTES:
            break
    return said.decode("utf-8", "replace")


def _judged(
    endpoint: Endpoint, status: int, headers: Mapping[str, str], said: str, messages: int
) -> _Result:
    """What an answer says.

    Raises:
        TryAgainError: the same request may be taken later.
    """
    told = f"{endpoint.url} answered {status}"
    culprits = endpoint.culprits(status, said, messages)
    if reasons := culprits or endpoint.refused(status, said, messages):
        strange = [place for place in reasons if not 0 <= place < messages]
        if strange:
            return _Fails(
                f"{told} and refused message {strange[0]} of {messages}, counted from 0"
                f"{_excerpt(said, endpoint)}"
            )
        answer = _shown(said, endpoint)
        refused = {
            place: Refused(status, _shown(reason, endpoint), answer)
            for place, reason in reasons.items()
        }
        return _Spoilt(refused) if culprits else _Taken(refused)
    if status in endpoint.splits:
        return _Splits(Refused(status, told, _shown(said, endpoint)))
    if 200 <= status < 300:
        objection = endpoint.objection(said)
        if objection is None:
            return _Taken({})
        told += f", but {objection}{_excerpt(said, endpoint)}"
        if is_page(said) or status in endpoint.final:
            return _Fails(told)
        raise TryAgainError(told, status=status)  # as busy as with a 503
    told += _excerpt(said, endpoint)
    if may_pass(status):
        raise TryAgainError(told, asked_wait(headers), status=status)
    return _Fails(told)


def _excerpt(said: str, endpoint: Endpoint) -> str:
    shown = _shown(said, endpoint)
    return f": {shown}" if shown else ""


def _shown(said: str, endpoint: Endpoint) -> str:
    """The beginning of what a server said, on one line, without secrets."""
    shown = " ".join(endpoint.masked(said[:_MASKED_CHARACTERS]).split())
    return "".join(character for character in shown if character.isprintable())[:EXCERPT_CHARACTERS]
