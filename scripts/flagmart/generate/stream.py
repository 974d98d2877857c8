"""The stream as bytes, chunk by chunk, and as a file."""

import gzip
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow.compute as pc

from flagmart.errors import FlagmartError
from flagmart.generate import columns as c
from flagmart.generate.faults import Dirt, Fault
from flagmart.generate.lines import Writer
from flagmart.generate.options import Options
from flagmart.generate.plan import Plan
from flagmart.generate.world import World

CHUNK = 20_000
"""Lines made at a time, 14 MB of text; measured from 2,500 to 50,000: both ends are slower."""

GZIP_LEVEL = 3

STDOUT = "-"


@dataclass(frozen=True)
class Chunk:
    """Some lines of the stream and how many of them carry which fault."""

    text: Any  # supports the buffer protocol
    lines: int
    faults: Mapping[Fault, int]


@dataclass(frozen=True)
class Written:
    """What a run wrote.

    Attributes:
        lines: lines written.
        bytes: length of the file (compressed, where it is).
        sha256: of the file; empty where it was not asked for.
        faults: lines by fault, all kinds named, when `dirty` is over 0.
    """

    lines: int
    bytes: int
    sha256: str
    faults: Mapping[str, int]


def chunks(options: Options, size: int = CHUNK) -> Iterator[Chunk]:
    """All lines in order, `size` at a time; the size does not change a byte of them."""
    plan = Plan(World(options))
    writer = Writer(plan)
    dirt = Dirt(plan, writer) if options.dirty else None
    for first in range(0, options.events, size):
        line = c.add(c.counting(min(size, options.events - first)), first)
        if dirt is None:
            yield Chunk(_text(writer.write(line, line)), len(line), {})
            continue
        choice = dirt.choose(line)
        counted = pc.value_counts(choice.own).to_pylist()
        faults = {Fault(each["values"]): each["counts"] for each in counted}
        faults.pop(Fault.NONE, None)
        yield Chunk(_text(dirt.write(choice)), len(line), faults)


def write(
    options: Options,
    out: str,
    *,
    digest: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> Written:
    """Write the stream to `out`: a path, gzipped where its name ends in `.gz`, or `-` for stdout.

    A file is written under a temporary name beside it and renamed when it is whole; a device or
    pipe is written as it is. Compressed bytes carry no time or name; they depend on the zlib in
    use, the lines inside do not.

    Args:
        options: what to write.
        out: where to.
        digest: whether to take the sha256 of what is written.
        advance: told the number of lines done so far.

    Raises:
        FlagmartError: the file cannot be written; names it and why.
    """
    lines, faults = 0, Counter[Fault]()
    with _opened(out) as file:
        sink = _Sink(file, digest)
        packed = gzip.GzipFile("", "wb", GZIP_LEVEL, sink, 0) if out.endswith(".gz") else None
        put = sink.write if packed is None else packed.write
        # one chunk is written (and hashed, and compressed) while the next is made
        with ThreadPoolExecutor(1) as background:
            writing = None
            for chunk in chunks(options):
                if writing is not None:
                    writing.result()
                    advance(lines)
                writing = background.submit(put, chunk.text)
                lines += chunk.lines
                faults.update(chunk.faults)
            if writing is not None:
                writing.result()
        if packed is not None:
            packed.close()
        sink.flush()
    named = {kind.name.lower(): faults[kind] for kind in Fault if kind is not Fault.NONE}
    return Written(lines, sink.bytes, sink.hexdigest(), named if options.dirty else {})


def write_text(text: str, out: Path) -> None:
    """Write a small text file whole or not at all.

    Raises:
        FlagmartError: it cannot be written; names it and why.
    """
    with _opened(str(out)) as file:
        file.write(text.encode())


class _Sink:
    """A file that counts and hashes what goes into it."""

    def __init__(self, file: IO[bytes], digest: bool) -> None:
        self._file = file
        self._digest = hashlib.sha256() if digest else None
        self.bytes = 0

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._file.write(view)
        self.bytes += view.nbytes
        if self._digest is not None:
            self._digest.update(view)
        return view.nbytes

    def flush(self) -> None:
        self._file.flush()

    def hexdigest(self) -> str:
        return self._digest.hexdigest() if self._digest is not None else ""


@contextmanager
def _opened(out: str) -> Iterator[IO[bytes]]:
    if out == STDOUT:
        yield sys.stdout.buffer
        return
    path = Path(os.path.realpath(out))  # through a link, so that the rename leaves it a link
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:  # a folder says so itself
                yield file
            return
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FlagmartError(
            f"cannot write {out}: {error.strerror or error}; "
            "give --out and --truth a folder that exists and that you may write in"
        ) from error


def _text(lines: Any) -> Any:
    """The lines' bytes, one after the other, without a copy."""
    _, offsets, values = lines.buffers()
    ends = memoryview(offsets).cast("i")
    first, last = ends[lines.offset], ends[lines.offset + len(lines)]
    return memoryview(values)[first:last] if values is not None else b""
