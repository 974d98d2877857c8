"""A server that speaks Segment's /v1/batch on a real socket, with faults on demand."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
from contextlib import contextmanager

# What Segment's documentation of the HTTP API and of common fields says of a batch of tracks.
BATCH_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["batch"],
    "properties": {
        "batch": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2500,
            "items": {
                "type": "object",
                "required": ["type", "event", "messageId", "timestamp", "properties"],
                "anyOf": [{"required": ["userId"]}, {"required": ["anonymousId"]}],
                "properties": {
                    "type": {"const": "track"},
                    "event": {"type": "string", "minLength": 1},
                    "userId": {"type": "string", "minLength": 1},
                    "messageId": {"type": "string", "minLength": 1, "maxLength": 100},
                    "timestamp": {
                        "type": "string",
                        "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$",
                    },
                    "properties": {"type": "object"},
                },
            },
        },
        "sentAt": False,
    },
    "additionalProperties": False,
}


@dataclass
class Answer:
    """What to answer to one request, in place of taking it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    take_it: bool = False
    """Keep the messages although the answer says otherwise: an answer that was lost."""
    hang_up: bool = False
    """Close the connection without an answer."""


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes
    at: float


class SegmentServer:
    """Everything that arrived, and what to answer next."""

    def __init__(self, key: str) -> None:
        self.key_header = ("Authorization", "Basic " + b64encode(f"{key}:".encode()).decode())
        self.requests: list[Request] = []
        self.taken: list[bytes] = []
        """Bodies that were answered with 200 or kept."""
        self.answers: list[Answer] = []
        """Used up by the next requests, first come first served."""
        self.always: Answer | None = None
        self.judge: Callable[[Request], Answer] | None = None
        """What makes the answer to every request, where it hangs on what was asked."""
        self.delay = 0.0
        self.lock = threading.Lock()
        self.url = ""

    def messages(self) -> list[tuple[str, bytes]]:
        """Message id and exact bytes of each message taken, in order of arrival."""
        return [message for body in self.taken for message in split(body)]

    def ids(self) -> Counter[str]:
        return Counter(message_id for message_id, _ in self.messages())

    def answer(self, request: Request) -> Answer:
        with self.lock:
            self.requests.append(request)
            name, value = self.key_header
            if request.headers.get(name) != value:
                return Answer(401, body="invalid write key")
            if self.judge is not None:
                return self.judge(request)
            answer = self.answers.pop(0) if self.answers else self.always or Answer(200)
            if answer.status == 200 or answer.take_it:
                self.taken.append(request.body)
            return answer


def split(body: bytes) -> list[tuple[str, bytes]]:
    """The messages of a batch with their bytes as sent."""
    text = body.decode("utf-8")
    assert text.startswith('{"batch":[')
    assert text.endswith("]}")
    decoder = json.JSONDecoder()
    position, messages = len('{"batch":['), []
    while True:
        message, end = decoder.raw_decode(text, position)
        messages.append((str(message["messageId"]), text[position:end].encode()))
        if text[end] != ",":
            assert text[end:] == "]}"
            return messages
        position = end + 1


@contextmanager
def running(key: str) -> Iterator[SegmentServer]:
    """A server on a free port of 127.0.0.1, until the block ends."""
    state = SegmentServer(key)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:  # who sent it was killed on the way
                self.close_connection = True
                return
            answer = state.answer(
                Request(self.path, dict(self.headers.items()), body, time.monotonic())
            )
            if state.delay:
                time.sleep(state.delay)
            if answer.hang_up:
                self.close_connection = True
                self.connection.close()
                return
            content = answer.body.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            # nothing is ever asked for; a redirect that is followed would come here
            with state.lock:
                state.requests.append(
                    Request(self.path, dict(self.headers.items()), b"", time.monotonic())
                )
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, ValueError):
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
