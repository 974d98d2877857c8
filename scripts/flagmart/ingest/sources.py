"""The files to read: paths expanded, compression undone, bytes handed out in blocks."""

import gzip
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flagmart import talk
from flagmart.errors import UsageError

BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"


class RefusedError(Exception):
    """The file is nothing that ingest reads; the text says why."""


class Stream:
    """One open file: its bytes, uncompressed, in blocks."""

    def __init__(self, raw: BinaryIO, label: str) -> None:
        self.raw = raw
        self.label = label
        self.damage: str | None = None
        """Why the bytes end before the file does, once `blocks` has run into it."""
        self._gzipped = raw.read(2) == _GZIP
        raw.seek(0)

    def position(self) -> int:
        """How far into the file, as it lies on disk, reading has come."""
        return self.raw.tell()

    def blocks(self) -> Iterator[bytes]:
        """Blocks of about `BLOCK` bytes, without a byte order mark; damaged gzip ends them."""
        reader = gzip.GzipFile(fileobj=self.raw) if self._gzipped else self.raw
        first = True
        while True:
            parts: list[bytes] = []
            size = 0
            while size < BLOCK and not self.damage:
                try:
                    part = (
                        reader.read1(BLOCK)
                        if isinstance(reader, gzip.GzipFile)
                        else reader.read(BLOCK)
                    )
                except (EOFError, gzip.BadGzipFile, zlib.error):
                    self.damage = "its gzip data is damaged or cut off"
                    break
                if not part:
                    break
                parts.append(part)
                size += len(part)
            block = b"".join(parts)
            if not block:
                return
            yield block.removeprefix(_BOM) if first else block
            first = False


@dataclass(frozen=True)
class Source:
    """A file that can be opened more than once."""

    label: str
    """The path as given, or below the folder given; printable and UTF-8 whatever the name is."""
    path: Path
    size: int
    spool: BinaryIO | None = None
    """What came through a pipe, kept in a file that has no name."""

    @contextmanager
    def open(self) -> Iterator[Stream]:
        """The file from its beginning.

        Raises:
            RefusedError: it cannot be opened.
        """
        if self.spool is not None:
            self.spool.seek(0)
            yield Stream(self.spool, self.label)
            return
        try:
            raw = self.path.open("rb")
        except OSError as error:
            raise RefusedError(f"cannot be opened ({error.strerror})") from error
        with raw:
            yield Stream(raw, self.label)


def expand(paths: Sequence[Path], leave_out: Path) -> list[Source]:
    """The files `paths` stand for, in order.

    A folder stands for all files below it, sorted, but hidden ones and those in `leave_out`, our
    own data folder: what was delivered or landed before is no source.

    `-` is standard input; it and other pipes are copied to a nameless temporary file, since the
    first records of a file are read twice.

    Raises:
        UsageError: a path does not exist.
    """
    missing = [path for path in paths if str(path) != "-" and not path.exists()]
    if missing:
        names = ", ".join(_label(path) for path in missing)
        raise UsageError(f"{names}: no such file or folder; nothing was ingested")
    sources: list[Source] = []
    for path in paths:
        if str(path) == "-":
            sources.append(_spooled(sys.stdin.buffer, "stdin", path))
        elif path.is_dir():
            below = _below(path, leave_out.resolve())
            if not below:
                talk.say(f"{_label(path)}: no files in it, nothing to do")
            sources += [_source(file) for file in below]
        elif path.is_file():
            sources.append(_source(path))
        else:
            with path.open("rb") as pipe:
                sources.append(_spooled(pipe, _label(path), path))
    return sources


def _below(folder: Path, leave_out: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and (
            not path.resolve().is_relative_to(leave_out)
            or folder.resolve().is_relative_to(leave_out)
        )
    )


def _source(path: Path) -> Source:
    return Source(_label(path), path, path.stat().st_size)


def _spooled(pipe: BinaryIO, label: str, path: Path) -> Source:
    # lives as long as the Source does, and has no name a killed run could leave behind
    spool = tempfile.TemporaryFile()  # noqa: SIM115
    shutil.copyfileobj(pipe, spool, BLOCK)
    return Source(label, path, spool.tell(), spool)


def _label(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
