"""Ids of messages that were acknowledged, as DuckDB reads them from parquet files.

Whichever engine holds the messages, DuckDB says which of them are not acknowledged yet: it joins
within a memory limit, and the files lie here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from flagmart.warehouse.protocol import IdFile

_IDS = """
    from read_parquet(
        getvariable('id_files'), filename = true, file_row_number = true
    ) as ids
    inner join (
        select
            unnest(getvariable('span_files')) as path,
            unnest(getvariable('span_firsts')) as first_row,
            unnest(getvariable('span_lasts')) as last_row
    ) as spans
        on ids.filename = spans.path
        and ids.file_row_number between spans.first_row and spans.last_row
"""


def variables(acknowledged: Sequence[IdFile]) -> dict[str, list[Any]]:
    """Session variables that the statements of this module read."""
    spans = [(str(file.path), first, last) for file in acknowledged for first, last in file.ranges]
    return {
        "id_files": sorted({path for path, _, _ in spans}),
        "span_files": [path for path, _, _ in spans],
        "span_firsts": [first for _, first, _ in spans],
        "span_lasts": [last for _, _, last in spans],
    }


def rest_of(candidates: str) -> str:
    """The FROM clause of those among `candidates`, with a column `message_id`, that are unsent."""
    return _joined(candidates, "anti")


def those_of(candidates: str) -> str:
    """The FROM clause of those that are among the ids."""
    return _joined(candidates, "semi")


def _joined(candidates: str, kind: str) -> str:
    return f"""
        from {candidates} as candidates
        {kind} join (select ids.message_id {_IDS}) as acknowledged
            on candidates.message_id = acknowledged.message_id
    """


def check(connection: duckdb.DuckDBPyConnection, acknowledged: Sequence[IdFile]) -> None:
    """See that every acknowledged id is there: an id that is not found would be sent again.

    Args:
        connection: one on which `variables` are set.
        acknowledged: the files, at least one.

    Raises:
        FlagmartError: ids are missing.
    """
    found = int(connection.execute(f"select count(*) {_IDS}").fetchall()[0][0])
    expected = sum(last - first + 1 for file in acknowledged for first, last in file.ranges)
    if found != expected:
        raise FlagmartError(
            f"{acknowledged[0].path.parent} holds {found:,} of {expected:,} acknowledged "
            "message ids; put its files back, or the missing ones would be sent again"
        )
