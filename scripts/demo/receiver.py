"""A stand-in for Segment on 127.0.0.1, so that the demo delivers over HTTP without an account.

Answers `POST /v1/batch` as Segment does and keeps what it received, one message a line. Segment
dedupes by `messageId` on its side; this keeps every copy, so that a repeat would show.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock


class Receiver(ThreadingHTTPServer):
    """Keeps the messages of every batch in `kept`, a JSON-lines file."""

    daemon_threads = True

    def __init__(self, port: int, kept: Path) -> None:
        super().__init__(("127.0.0.1", port), Batch)
        self.kept = kept
        self.writing = Lock()


class Batch(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        """Keep the batch, then acknowledge it."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        key = self.headers.get("Authorization", "")
        if self.path != "/v1/batch" or not key.startswith("Basic "):
            self._answer(400, {"success": False})
            return
        lines = "".join(json.dumps(message) + "\n" for message in json.loads(body)["batch"])
        with self.server.writing, self.server.kept.open("a", encoding="utf-8") as kept:
            kept.write(lines)
        self._answer(200, {"success": True})

    def _answer(self, status: int, document: dict[str, bool]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parameter's name in http.server
        """Stay silent: stderr is the demo's."""


def main() -> None:
    """`receiver.py KEPT PORT_FILE`: serve on the port in PORT_FILE, or on a free one written there.

    The port is kept because the ledger knows a delivery by where it points: a new port would be a
    new destination.
    """
    kept, port_file = Path(sys.argv[1]), Path(sys.argv[2])
    known = int(port_file.read_text(encoding="utf-8")) if port_file.exists() else 0
    with Receiver(known, kept) as server:
        port_file.write_text(str(server.server_address[1]), encoding="utf-8")
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
