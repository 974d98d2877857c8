"""A server that answers every request at once and counts the events it was sent.

`python benchmarks/sink.py` prints its port. Every POST is answered 200; a GET answers how many
events came since the one before. An event is known by its `"messageId"`.
"""

from __future__ import annotations

import asyncio

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
TAKEN = b'{"success":true}'
EVENT = b'"messageId"'


class Sink(asyncio.Protocol):
    """One connection; as little HTTP as its clients need, so that it is never what is measured."""

    events = 0

    def __init__(self) -> None:
        self._received = bytearray()
        self._head = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            if not self._head:
                head, found, rest = self._received.partition(b"\r\n\r\n")
                if not found:
                    return
                self._head, self._received = bytes(head), rest
                self._missing = _length(self._head)
            if len(self._received) < self._missing:
                return
            self._answer(self._received[: self._missing])
            del self._received[: self._missing]
            self._head = b""

    def _answer(self, body: bytearray) -> None:
        said = TAKEN
        if self._head.startswith(b"GET "):
            said, Sink.events = str(Sink.events).encode(), 0
        else:
            Sink.events += body.count(EVENT)
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(ANSWER % (len(said), said))


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
