"""A way to a server that can be lost: a TCP forwarder on 127.0.0.1."""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Network:
    """Forwards connections until it has carried `allowance` bytes; then it drops every one."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self.allowance: int | None = None
        """Bytes towards the server that still pass; None for any number."""
        self.answers: int | None = None
        """Bytes from the server that still pass; None for any number."""
        self.carried = bytearray()
        """What went towards the server, of all connections as it came."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._drop()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.allowance == 0:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._to))
            with self._lock:
                self._open |= {near, far}
            Thread(target=self._carry, args=(near, far, True), daemon=True).start()
            Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if not counted and self.answers is not None:
                    data = data[: self.answers]
                    self.answers -= len(data)
                    if not self.answers:
                        target.sendall(data)
                        self._drop()
                        return
                if counted and self.allowance is not None:
                    data = data[: self.allowance]
                    self.allowance -= len(data)
                    if not self.allowance:
                        target.sendall(data)
                        self._drop()
                        return
                if counted:
                    self.carried += data
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        with self._lock:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self._open.clear()


@contextmanager
def to(url: str) -> Iterator[Network]:
    """A way to the server at `url`, until the block ends."""
    network = Network(int(url.rpartition(":")[2]))
    try:
        yield network
    finally:
        network.close()
