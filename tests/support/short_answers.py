"""A way to ClickHouse's HTTP interface that loses rows and says nothing about it."""

from __future__ import annotations

import http.client
import io
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOP_BY_HOP = frozenset(("transfer-encoding", "content-length", "connection"))


class ShortAnswers(ThreadingHTTPServer):
    """Passes requests on; of the answers to those that hold `marker`, all rows but the last."""

    daemon_threads = True

    def __init__(self, port: int, marker: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.to = port
        self.marker = marker
        self.shortened = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ShortAnswers

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.to)) as connection:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
        if self.server.marker in body and answer.status == 200 and content:
            content = _without_the_last_row(content)
            self.server.shortened += 1
        self.send_response(answer.status)
        for header, value in answer.getheaders():
            if header.lower() not in _HOP_BY_HOP:
                self.send_header(header, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _without_the_last_row(content: bytes) -> bytes:
    with pa.ipc.open_stream(content) as stream:
        rows = stream.read_all()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows.slice(0, rows.num_rows - 1))
    return sink.getvalue()


@contextmanager
def short_answers(port: int, marker: bytes) -> Iterator[ShortAnswers]:
    """Such a way to the server at `port` of this machine, until the block ends."""
    with ShortAnswers(port, marker) as forwarder:
        Thread(target=forwarder.serve_forever, args=(0.05,), daemon=True).start()
        yield forwarder
        forwarder.shutdown()
