"""Rows as a store has them, into the columns of the landing; and the check that it has them."""

import json
from collections.abc import Collection, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flagmart.errors import FlagmartError
from flagmart.ingest.event import NoEventError
from flagmart.ingest.event_tables import EVENTS, Table
from flagmart.ingest.timestamps import OUT_OF_RANGE
from flagmart.warehouse.landing import EVENT_COLUMNS, TIME, envelope

ID = "event_id"
MOMENT = "moment"
MISDATED = "misdated"
ARRIVED = "arrived"


class Refused(NamedTuple):
    """A row that is no event."""

    event_id: str
    reason: str
    text: str


Rows = tuple[pa.RecordBatch, list[Refused]]
"""A batch with the columns `EVENT_COLUMNS`, and what could not come into it."""


def landing_rows(table: Table, rows: pa.RecordBatch, source_ref: str) -> Rows:
    """The events in rows of one of FeatBit's tables.

    Args:
        table: which one.
        rows: `event_id`, text; `moment`, the client's clock as a timestamp of microseconds in UTC;
            `table.texts` as text, as far as the store has them; and where it has them `arrived`,
            its own clock, and `misdated`, the text of a client's clock that no calendar has.
        source_ref: where they come from.
    """
    refused: list[Refused] = []
    if MISDATED in rows.schema.names:
        rows = _without_misdated(table, rows, refused)
    count = rows.num_rows
    if table is EVENTS:
        facts = [_texts(rows, name) for name in ("env_id", "event", "distinct_id", "properties")]
    else:
        rows, facts = _facts(table, rows, refused)
        count = rows.num_rows
    arrived = _times(rows, ARRIVED) if ARRIVED in rows.schema.names else pa.nulls(count, TIME)
    columns = [
        _texts(rows, ID),
        *facts,
        _times(rows, MOMENT),
        pa.repeat(pa.scalar(source_ref, pa.string()), count),
        arrived,
    ]
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_COLUMNS), refused


def check_columns(
    where: str, table: str, found: Mapping[str, str], wanted: Mapping[str, Collection[str]]
) -> None:
    """See that a table has the columns it is known by.

    Args:
        where: the store, for the error.
        table: the table's name.
        found: the type of each column it has, as the store spells it.
        wanted: the types that can be read, for each column it must have.

    Raises:
        FlagmartError: a column is missing or has another type; names the table and the column.
    """
    for column, types in wanted.items():
        if column not in found:
            raise FlagmartError(
                f"{where}: table {table} has no column {column}; it has {', '.join(found)}. "
                "flagmart does not know this version of FeatBit: please report it"
            )
        if found[column] not in types:
            raise FlagmartError(
                f"{where}: column {column} of table {table} is {found[column]}, not "
                f"{' or '.join(sorted(types))}; flagmart does not know this version of FeatBit: "
                "please report it"
            )


def _without_misdated(table: Table, rows: pa.RecordBatch, refused: list[Refused]) -> pa.RecordBatch:
    dated = pc.is_null(rows.column(MISDATED))
    if pc.all(dated).as_py():
        return rows
    refused += [
        Refused(row[ID], OUT_OF_RANGE, _text(table, row, row[MISDATED]))
        for row in rows.filter(pc.invert(dated)).to_pylist()
    ]
    return rows.filter(dated)


def _facts(
    table: Table, rows: pa.RecordBatch, refused: list[Refused]
) -> tuple[pa.RecordBatch, list[pa.Array]]:
    names = [name for name in table.texts if name in rows.schema.names]
    columns = [_texts(rows, name).to_pylist() for name in names]
    good: list[tuple[str, ...]] = []
    keep = [True] * rows.num_rows
    for place, values in enumerate(zip(*columns, strict=True)):
        try:
            good.append(table.facts(dict(zip(names, values, strict=True))))
        except NoEventError as reason:
            keep[place] = False
            (row,) = rows.slice(place, 1).to_pylist()
            refused.append(Refused(row[ID], str(reason), _text(table, row, row[MOMENT])))
    facts = list(zip(*good, strict=True)) or [()] * 4
    kept = rows if all(keep) else rows.filter(pa.array(keep))
    return kept, [pa.array(column, pa.string()) for column in facts]


def _texts(rows: pa.RecordBatch, name: str) -> pa.Array:
    """A text column, '' for null and for a column that is not there."""
    if name not in rows.schema.names:
        return pa.repeat(pa.scalar("", pa.string()), rows.num_rows)
    column = rows.column(name)
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if column.type != pa.string():
        column = column.cast(pa.string())
    return pc.fill_null(column, "") if column.null_count else column


def _times(rows: pa.RecordBatch, name: str) -> pa.Array:
    column = rows.column(name)
    return column if column.type == TIME else column.cast(TIME)


def _text(table: Table, row: Mapping[str, object], timestamp: object) -> str:
    """A row for the reject file, as its table has it."""
    if table is EVENTS:
        texts = {name: str(row.get(name) or "") for name in table.texts}
        return envelope(event_id=str(row[ID]), timestamp=timestamp, **texts)
    facts = {ID: row[ID], **{name: row.get(name) for name in table.texts}, MOMENT: timestamp}
    return json.dumps(facts, ensure_ascii=False, default=str)
