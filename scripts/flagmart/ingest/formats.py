"""What a file is, told by its content alone."""

import csv
import json
from collections.abc import Callable, Collection
from enum import StrEnum
from itertools import islice

from flagmart.ingest.event_tables import COLUMNS, table_of
from flagmart.ingest.sources import RefusedError, Stream

HEAD = 256 << 10
"""Bytes looked at to tell a format."""
NOTHING_KNOWN = "neither JSON, nor parquet, nor CSV or TSV with FeatBit's columns in its first line"


class Format(StrEnum):
    """How a file holds its records."""

    JSON_LINES = "JSON lines"
    JSON_ARRAY = "JSON array"
    JSON_DOCUMENTS = "JSON documents"
    CSV = "CSV"
    CSV_BY_TABS = "CSV, by tabs"
    TSV = "TSV"
    PARQUET = "parquet"
    BINARY = "binary"
    """A message of protobuf; of Prefab's telemetry."""
    EMPTY = "empty"


def check_events(names: Collection[str]) -> None:
    """See that columns are those of a table of events.

    Raises:
        RefusedError: they are not.
    """
    if len(COLUMNS.intersection(names)) < 2:
        raise RefusedError(NOTHING_KNOWN)
    table_of(names, "a table")


def tell(stream: Stream, check: Callable[[Collection[str]], None] = check_events) -> Format:
    """The format of a file.

    Args:
        stream: the file.
        check: raises RefusedError where a first line holds no columns that are looked for.

    Raises:
        RefusedError: none of those read.
    """
    if stream.raw.read(4) == b"PAR1":
        return Format.PARQUET
    stream.raw.seek(0)
    head = _head(stream)
    if stream.damage and not head:
        raise RefusedError(stream.damage)
    if found := _json(head):
        return found
    if b"\0" in head:
        raise RefusedError(
            "binary, or text in UTF-16; text must be UTF-8, compressed with gzip or not at all"
        )
    return _separated(head, check)


def tell_json(stream: Stream) -> Format:
    """How a file holds JSON, or that it is empty; binary where it holds something else.

    Raises:
        RefusedError: it cannot be read.
    """
    head = _head(stream)
    if stream.damage and not head:
        raise RefusedError(stream.damage)
    return _json(head) or Format.BINARY


def _json(head: bytes) -> Format | None:
    start = head.lstrip()[:1]
    if not start:
        return Format.EMPTY
    if start != b"[" and _has_json_line(head):
        return Format.JSON_LINES
    if b"\0" in head:
        return None
    return {b"[": Format.JSON_ARRAY, b"{": Format.JSON_DOCUMENTS}.get(start)


def header(line: bytes, delimiter: str) -> list[str]:
    """Column names of a header line, blanks and quotes taken off."""
    text = line.decode("utf-8", "replace").rstrip("\r")
    return [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])]


def _head(stream: Stream) -> bytes:
    head = b""
    for block in stream.blocks():
        head += block
        if len(head) >= HEAD:
            break
    return head


def _has_json_line(head: bytes) -> bool:
    """Whether one of the first lines is a whole JSON object that begins at the line's start.

    One is enough, so that a damaged first line does not make another format of the file.
    """
    candidates = (line for line in head.split(b"\n") if line[:1] == b"{")
    return any(_is_object(line) for line in islice(candidates, 100))


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _separated(head: bytes, check: Callable[[Collection[str]], None]) -> Format:
    first, _, rest = head.partition(b"\n")
    delimiter = max((",", "\t"), key=lambda candidate: first.count(candidate.encode()))
    names = header(first, delimiter) if len(first) < HEAD else []
    check(names)
    if delimiter == ",":
        return Format.CSV
    # Only CSV quotes: the names, or else JSON text, which begins with a brace in ClickHouse's TSV
    # and in PostgreSQL's text format.
    is_quoted = first[:1] == b'"' or b'"{""' in rest[:HEAD]
    return Format.CSV_BY_TABS if is_quoted else Format.TSV
