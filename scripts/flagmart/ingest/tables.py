r"""CSV and TSV with a header, as PostgreSQL's COPY and ClickHouse write them.

CSV: quotes doubled, an empty cell for null (`\N` from ClickHouse). TSV: backslash escapes, `\N` for
null.
"""

import csv
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from flagmart.ingest import timestamps
from flagmart.ingest.event import NOT_UTF8, Event, NoEventError
from flagmart.ingest.event_tables import ARRIVALS, IDS, table_of
from flagmart.ingest.formats import Format, header
from flagmart.ingest.framing import LARGEST, Fragment
from flagmart.ingest.records import arrival
from flagmart.ingest.timestamps import Timestamp

COLUMNS = "wrong number of columns"
BAD_QUOTES = "broken quotes"
_NULL = r"\N"
csv.field_size_limit(LARGEST)

Row = TypeVar("Row")
Cells = list[str]
CellsOf = Callable[[bytes], Cells]


def events(
    fragments: Iterator[Fragment], fmt: Format
) -> Iterator[tuple[int, Event | NoEventError, bytes]]:
    """The rows of a file whose lines are `fragments`, header first."""
    return rows(fragments, fmt, _reader)


def records(
    fragments: Iterator[Fragment], fmt: Format
) -> Iterator[tuple[int, dict[str, str | None] | NoEventError, bytes]]:
    """The rows of any table as cells by name, None for ClickHouse's null."""
    return rows(
        fragments,
        fmt,
        lambda names: (
            lambda cells: {
                name: None if cell == _NULL else cell
                for name, cell in zip(names, cells, strict=True)
            }
        ),
    )


def rows(
    fragments: Iterator[Fragment],
    fmt: Format,
    reader: Callable[[Sequence[str]], Callable[[Cells], Row]],
) -> Iterator[tuple[int, Row | NoEventError, bytes]]:
    """Lines with what `reader`, given the header's names, makes of their cells."""
    first = next(fragments, None)
    if first is None:
        return
    delimiter = "," if fmt is Format.CSV else "\t"
    names = header(first[1], delimiter)
    read = reader(names)
    cells_of = _tab_cells if fmt is Format.TSV else _csv_cells(delimiter)
    whole = fragments if fmt is Format.TSV else _whole_rows(fragments, cells_of, len(names))
    for line, raw, fault in whole:
        try:
            if fault:
                raise NoEventError(fault)
            cells = cells_of(raw)
            if len(cells) != len(names):
                raise NoEventError(COLUMNS)
            yield line, read(cells), b""
        except NoEventError as reason:
            yield line, reason, raw


def _whole_rows(fragments: Iterator[Fragment], cells_of: CellsOf, width: int) -> Iterator[Fragment]:
    """Lines joined where a quoted cell holds a line's end.

    Quotes are doubled inside a cell, so a row is whole when its quotes are even in number. Where a
    lost quote has joined lines that are no row, only the first is given up and the others are read
    again.
    """
    again: list[Fragment] = []
    pending: list[Fragment] = []
    quotes = size = 0
    while True:
        fragment = again.pop() if again else next(fragments, None)
        if fragment is not None and not fragment[2]:
            odd = fragment[1].count(b'"') & 1
            if not pending and not odd:
                yield fragment
                continue
            pending.append(fragment)
            quotes += odd
            size += len(fragment[1])
            if quotes & 1 and size <= LARGEST:
                continue
        elif not pending:
            if fragment is None:
                return
            yield fragment
            continue
        elif fragment is not None:
            again.append(fragment)
        line, raw, _ = pending[0]
        if not quotes & 1:
            # blank lines inside a cell were not handed on, so the text is put back by line numbers
            joined = _joined(pending)
            if _width(joined, cells_of) == width:
                yield line, joined, None
                pending, quotes, size = [], 0, 0
                continue
        yield line, raw, BAD_QUOTES
        again.extend(reversed(pending[1:]))
        pending, quotes, size = [], 0, 0


def _joined(pieces: Sequence[Fragment]) -> bytes:
    parts = [pieces[0][1]]
    for (before, _, _), (after, raw, _) in itertools.pairwise(pieces):
        parts.append(b"\n" * (after - before) + raw)
    return b"".join(parts)


def _width(raw: bytes, cells_of: CellsOf) -> int:
    try:
        return len(cells_of(raw))
    except NoEventError:
        return -1


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode().removesuffix("\r")
    except UnicodeDecodeError as error:
        raise NoEventError(NOT_UTF8) from error


def _csv_cells(delimiter: str) -> CellsOf:
    def cells(raw: bytes) -> Cells:
        physical = [f"{piece}\n" for piece in _decoded(raw).split("\n")]
        try:
            rows = list(csv.reader(physical, delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise NoEventError(BAD_QUOTES) from error
        return rows[0] if len(rows) == 1 else []

    return cells


_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_UNESCAPED = {
    "t": "\t",
    "n": "\n",
    "r": "\r",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "0": "\0",
    "a": "\a",
}


def _tab_cells(raw: bytes) -> Cells:
    return [
        cell if "\\" not in cell or cell == _NULL else _ESCAPE.sub(_unescaped, cell)
        for cell in _decoded(raw).split("\t")
    ]


def _unescaped(match: re.Match[str]) -> str:
    return _UNESCAPED.get(match[1], match[1])


def _reader(names: Sequence[str]) -> Callable[[Cells], Event]:
    """How to take an event out of the cells of a row, the columns found once."""
    table = table_of(names, "a table")
    places = {name: place for place, name in enumerate(names)}
    ids = [places[name] for name in IDS if name in places]
    arrivals = [places[name] for name in ARRIVALS if name in places]
    texts = [(name, places[name]) for name in table.texts if name in places]
    moment = places[table.moment]

    def text(cells: Cells, place: int) -> str:
        cell = cells[place]
        return "" if cell == _NULL else cell

    def read(cells: Cells) -> Event:
        env_id, event, distinct_id, properties = table.facts(
            {name: text(cells, place) for name, place in texts}
        )
        return Event(
            id=next((text(cells, place) for place in ids if text(cells, place)), None),
            env_id=env_id,
            event=event,
            distinct_id=distinct_id,
            properties=properties,
            timestamp=_timestamp(text(cells, moment)),
            arrived=next(
                (value for place in arrivals if (value := arrival(text(cells, place))) is not None),
                None,
            ),
        )

    return read


def _timestamp(cell: str) -> Timestamp:
    if not cell:
        return None
    try:
        return timestamps.from_text(cell)
    except ValueError as error:
        raise NoEventError(timestamps.UNREADABLE) from error
