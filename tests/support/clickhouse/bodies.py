"""Bodies of requests and answers: chunked or counted, compressed or not, never held whole."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE_BYTES = 1 << 20
ARROW_CODECS = {"zstd": "zstd", "lz4": "lz4", "gzip": "gzip", "br": "brotli"}
"""HTTP's name of a coding, and Arrow's; `lz4` is LZ4's frame format in both."""
ENCODINGS = ("zstd", "lz4", "gzip", "deflate")
"""Codings of answers, the first that the client takes; in the server's order of preference."""


class ClientGoneError(ConnectionError):
    """The client closed the connection in the middle of its request."""


class BadBodyError(ValueError):
    """The body is not what its encoding says."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class RequestBody(io.RawIOBase):
    """A request's body as it lies on the wire, without the marks of HTTP's chunks."""

    def __init__(self, wire: io.BufferedIOBase, length: int | None) -> None:
        """Read from `wire`: `length` bytes, or chunks where it is None."""
        self._wire = wire
        self._chunked = length is None
        self._left = length or 0
        self._ended = length == 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._ended:
            return 0
        if self._chunked and not self._left:
            self._left = self._next_chunk()
            if not self._left:
                self._ended = True
                return 0
        piece = self._wire.read1(min(self._left, len(buffer)))
        if not piece:
            raise ClientGoneError("the body ends before its length")
        buffer[: len(piece)] = piece
        self._left -= len(piece)
        if self._chunked:
            if not self._left:
                self._wire.readline()
        else:
            self._ended = not self._left
        return len(piece)

    def _next_chunk(self) -> int:
        line = self._wire.readline()
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise ClientGoneError("the body ends between two chunks") from None
        if not size:
            while self._wire.readline().strip():  # trailers, up to an empty line
                pass
        return size

    def drain(self) -> None:
        """Read what is left, so that the next request on the connection begins where it should."""
        while self.read(PIECE_BYTES):
            pass


class _Inflated(io.RawIOBase):
    """HTTP's `deflate`, which Arrow has no codec for."""

    def __init__(self, body: Readable) -> None:
        self._body = body
        self._zlib = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._zlib.eof:
            source = self._zlib.unconsumed_tail or self._body.read(PIECE_BYTES)
            if not source:
                raise OSError("Truncated compressed stream")
            try:
                piece = self._zlib.decompress(source, len(buffer))
            except zlib.error as error:
                raise OSError(str(error)) from None
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)
        return 0


class Decoded:
    """A body without its `Content-Encoding`."""

    def __init__(self, body: RequestBody, encoding: str) -> None:
        """Read `body`, which is coded as `encoding`; empty for not at all.

        Raises:
            LookupError: An encoding that is not known here.
        """
        self._source: Readable
        if encoding in ("", "identity"):
            self._source = io.BufferedReader(body, PIECE_BYTES)
        elif encoding == "deflate":
            self._source = io.BufferedReader(_Inflated(body), PIECE_BYTES)
        else:
            self._source = pa.CompressedInputStream(
                pa.PythonFile(body, "r"), ARROW_CODECS[encoding]
            )

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, fewer only at the end.

        Raises:
            BadBodyError: What lies there is not in the encoding.
            ClientGoneError: It ends too soon.
        """
        try:
            return self._source.read(size)
        except ConnectionError:
            raise
        except OSError as error:
            raise BadBodyError(str(error)) from None


def pieces(first: bytes, rest: Readable) -> Iterator[bytes]:
    """`first`, then what is left of `rest`."""
    if first:
        yield first
    while piece := rest.read(PIECE_BYTES):
        yield piece


class Chunks(io.RawIOBase):
    """HTTP's chunked coding on the way out; closing it does not end the answer, `end` does."""

    def __init__(self, wire: io.BufferedIOBase) -> None:
        self._wire = wire

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        if len(data):
            self._wire.write(b"%x\r\n" % len(data))
            self._wire.write(data)
            self._wire.write(b"\r\n")
        return len(data)

    def end(self) -> None:
        self._wire.write(b"0\r\n\r\n")
        self._wire.flush()


class Encoder:
    """Writes an answer's bytes to its chunks in one of `ENCODINGS`, or as they are."""

    def __init__(self, chunks: Chunks, encoding: str | None) -> None:
        self._chunks = chunks
        self._zlib = zlib.compressobj(1) if encoding == "deflate" else None
        self._arrow = (
            pa.CompressedOutputStream(pa.PythonFile(chunks, "w"), ARROW_CODECS[encoding])
            if encoding in ARROW_CODECS
            else None
        )

    def write(self, data: bytes) -> None:
        if self._arrow is not None:
            self._arrow.write(data)
        else:
            self._chunks.write(self._zlib.compress(data) if self._zlib else data)

    def end(self) -> None:
        """Write what the encoding held back, and the end of the answer."""
        if self._arrow is not None:
            self._arrow.close()
        elif self._zlib is not None:
            self._chunks.write(self._zlib.flush())
        self._chunks.end()


def chosen_encoding(accepted: str) -> str | None:
    """The coding for a client whose `Accept-Encoding` is `accepted`."""
    offered = {
        name.strip().lower()
        for name, _, weight in (item.partition(";") for item in accepted.split(","))
        if weight.replace(" ", "") not in ("q=0", "q=0.0")
    }
    return next((name for name in ENCODINGS if name in offered), None)
