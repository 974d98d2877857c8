"""A server that speaks Segment's /v1/batch and mistreats whoever calls, by a seed."""

from __future__ import annotations

import asyncio
import gzip
import random
import socket
import struct
import threading
from collections import Counter, defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

from support.segment_server import split

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

FAULTS = (
    "429 for seconds",
    "429 until a date",
    "500",
    "503 after taking it",
    "reset before reading",
    "reset after reading",
    "reset within the answer",
    "no answer",
    "413",
    "success that is none",
)
"""What may happen to a request; "413" only to one with several messages."""


@dataclass
class HostileServer:
    """What it does, and everything that happened."""

    seed: int
    share: float
    """Of requests that meet a fault."""
    faults: tuple[str, ...] = FAULTS
    heavy: Callable[[str], bool] = lambda _: False
    """Ids too much for this server, in whatever batch: 413."""
    unwanted: Callable[[str], bool] = lambda _: False
    """Ids refused one by one, in an answer that takes the rest."""
    silence: float = 0.5
    """Seconds for which an answer that does not come keeps the caller waiting."""
    url: str = ""
    connections: int = 0
    requests: int = 0
    met: Counter[str] = field(default_factory=Counter)
    texts: defaultdict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    """Every form in which a message was seen, by id."""
    acknowledged: Counter[str] = field(default_factory=Counter)
    """Ids in answers of success that were written to their end."""
    kept: Counter[str] = field(default_factory=Counter)
    """Ids that this server took, told or not."""
    tokens: set[str] = field(default_factory=set)
    targets: list[str] = field(default_factory=list)
    """What requests asked for: an address where this is taken for a proxy, a path otherwise."""
    tunnels: list[str] = field(default_factory=list)
    """Heads of requests for a tunnel, which this server refuses."""

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._deck: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(
            line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line
        )
        if head.startswith("CONNECT "):
            self.tunnels.append(head)
            await self._answer(writer, 403)
            return False
        self.requests += 1
        self.targets.append(head.split(" ")[1])
        fault = self._dealt() if self._chance.random() < self.share else ""
        if fault == "reset before reading":
            self.met[fault] += 1
            return self._reset(writer)
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.tokens.add(headers.get("x-token", ""))
        messages = split(body)
        for name, text in messages:
            self.texts[name].add(text)
        ids = [name for name, _ in messages]
        if any(map(self.heavy, ids)) or (fault == "413" and len(ids) > 1):
            self.met["413"] += 1
            return await self._answer(writer, 413, body="too much at once")
        if fault in ("", "413"):
            return await self._take(writer, ids)
        self.met[fault] += 1
        match fault:
            case "429 for seconds":
                return await self._answer(writer, 429, "Retry-After: 1\r\n")
            case "429 until a date":
                soon = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
                return await self._answer(writer, 429, f"Retry-After: {soon}\r\n")
            case "500":
                return await self._answer(writer, 500, body="oops")
            case "503 after taking it":
                self.kept.update(ids)
                return await self._answer(writer, 503)
            case "reset after reading":
                return self._reset(writer)
            case "reset within the answer":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{")
                await writer.drain()
                return self._reset(writer)
            case "no answer":
                await asyncio.sleep(self.silence)
                return False
            case "success that is none":
                return await self._answer(writer, 200, body='{"success": false}')
        raise AssertionError(fault)

    def _dealt(self) -> str:
        """The next fault; all come round before one comes again, so that none stays away."""
        if not self._deck:
            self._deck = self._chance.sample(self.faults, len(self.faults))
        return self._deck.pop()

    async def _take(self, writer: asyncio.StreamWriter, ids: list[str]) -> bool:
        refused = [place for place, name in enumerate(ids) if self.unwanted(name)]
        taken = [name for name in ids if not self.unwanted(name)]
        self.kept.update(taken)
        if refused:
            self.met["partial failure"] += 1
            await self._answer(writer, 400, body="refused: " + " ".join(map(str, refused)))
        else:
            await self._answer(writer, 200, body='{"success": true}')
        self.acknowledged.update(taken)
        return True

    async def _answer(
        self, writer: asyncio.StreamWriter, status: int, headers: str = "", body: str = ""
    ) -> bool:
        writer.write(
            f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        await writer.drain()
        return True

    def _reset(self, writer: asyncio.StreamWriter) -> bool:
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False


def refused(status: int, body: str, messages: int) -> dict[int, str] | None:
    """What this server's 400 says of single messages, as a destination reads it."""
    if status != 400 or not body.startswith("refused: "):
        return None
    return {int(place): "unwanted here" for place in body.removeprefix("refused: ").split()}


@contextmanager
def running(state: HostileServer, tls: ssl.SSLContext | None = None) -> Iterator[HostileServer]:
    """The server on a free port of 127.0.0.1, until the block ends."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, __: None)  # callers that break off are what this is for
    server = loop.run_until_complete(
        asyncio.start_server(state.serve, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    )
    scheme = "http" if tls is None else "https"
    state.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield state
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    ours = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not ours]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
