"""Requests as a server sees them, one by one."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from flagmart.delivery.retry import Patience
from flagmart.delivery.sending import Answered, Sent, send
from flagmart.delivery.spool import Batch
from flagmart.destinations.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Fussy:
    """A server that takes no request as long as a message of it is odd."""

    url: str = ""
    requests: list[tuple[str, list[int]]] = field(default_factory=list)


@pytest.fixture
def fussy() -> Iterator[Fussy]:
    seen = Fussy()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            messages: list[int] = json.loads(body)
            seen.requests.append((self.command, messages))
            odd = [place for place, message in enumerate(messages) if message % 2]
            answer = json.dumps({"odd": odd}).encode()
            self.send_response(400 if odd else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    seen.url = f"http://127.0.0.1:{server.server_port}/"
    yield seen
    server.shutdown()
    thread.join()
    server.server_close()


def odd_ones(status: int, body: str, _count: int) -> dict[int, str] | None:
    return dict.fromkeys(json.loads(body)["odd"], "odd") if status == 400 else None


def sent_to(fussy: Fussy, messages: list[int]) -> tuple[Sent, list[Answered]]:
    """What came of one batch, and what was recorded."""
    endpoint = Endpoint(
        url=fussy.url,
        headers={},
        secrets=(),
        prefix=b"[",
        separator=b",",
        suffix=b"]",
        max_messages=100,
        max_body_bytes=1_000,
        max_message_bytes=1_000,
        objection=lambda _body: None,
        culprits=odd_ones,
        method="PUT",
    )
    batch = Batch(10, pa.array([str(message).encode() for message in messages]))
    recorded: list[Answered] = []
    sent = asyncio.run(
        send(iter([batch]), endpoint, Patience(), recorded.extend, lambda _line: None)
    )
    return sent, recorded


def test_messages_that_spoilt_a_batch_are_dead_and_the_others_go_again(fussy: Fussy) -> None:
    sent, recorded = sent_to(fussy, [0, 1, 2, 4, 5, 7, 8])
    assert fussy.requests[0] == ("PUT", [0, 1, 2, 4, 5, 7, 8])
    assert [messages for _, messages in fussy.requests[1:]] == [[0], [2, 4], [8]]
    dead = {answered.batch.first + place for answered in recorded for place in answered.refused}
    assert dead == {11, 14, 15}
    taken = sorted(span for answered in recorded for span in answered.spans)
    assert taken == [(10, 10), (12, 13), (16, 16)]
    assert (sent.messages, sent.refused, sent.requests, sent.failure) == (4, 3, 3, None)


def test_a_batch_of_nothing_but_culprits_is_dead(fussy: Fussy) -> None:
    sent, recorded = sent_to(fussy, [1, 3])
    assert [messages for _, messages in fussy.requests] == [[1, 3]]
    assert [answered.spans for answered in recorded] == [[], []]
    assert (sent.messages, sent.refused, sent.requests, sent.failure) == (0, 2, 0, None)
