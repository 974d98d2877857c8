"""Statements that would delete events by id in FeatBit's own stores; nobody here runs them."""
# ruff: noqa: S608 - names are quoted, and ids are UUIDs as DuckDB prints them.

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from flagmart.errors import UsageError
from flagmart.ingest.event_tables import EVENTS, EXPOSURES, METRICS, Table

_DISTRIBUTED = "distributed_"


def on_postgres(table: str, ids: Sequence[str]) -> str:
    """By the primary key; the server tells the type of the ids from it."""
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
    return f"delete from {quoted} where id = any('{{{','.join(ids)}}}');"


def on_mongodb(collection: str, ids: Sequence[str], field: str = "_id") -> str:
    """For mongosh; what is asked for is JSON."""
    asked = json.dumps({field: {"$in": list(ids)}}, separators=(",", ":"))
    return f"db.getCollection({json.dumps(collection)}).deleteMany({asked});"


def on_clickhouse(
    table: str, ids: Sequence[str], days: tuple[int, int] | None, cluster: str | None = None
) -> str:
    """A lightweight delete, which marks rows; with days, it need not look at other partitions.

    Args:
        table: local, or the one that is distributed over `cluster`: rows lie in the local ones.
        ids: of the events.
        days: first and last of the client's clock, since 1970; None where it shows none.
        cluster: whose every shard deletes.

    Raises:
        UsageError: the table is distributed and no cluster is named.
    """
    if table.startswith(_DISTRIBUTED):
        if cluster is None:
            raise UsageError(
                f"{table} holds no rows itself; name its cluster with --cluster, for example "
                "featbit_ch_cluster, or a local table with --table"
            )
        table = table.removeprefix(_DISTRIBUTED)
    shape = _shape(table)
    conditions = [f"{'uuid' if shape is EVENTS else 'id'} in ({', '.join(map(_literal, ids))})"]
    if days is not None and 0 <= days[0] <= days[1] < _LAST_DAY:
        # first: it is the cheaper condition
        conditions[:0] = [
            f"{shape.moment} >= {_midnight(days[0])}",
            f"{shape.moment} < {_midnight(days[1] + 1)}",
        ]
    everywhere = f" on cluster {_name(cluster)}" if cluster else ""
    quoted = ".".join(map(_name, table.split(".")))
    return f"delete from {quoted}{everywhere} where {' and '.join(conditions)};"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_DAY = (datetime(2106, 1, 1, tzinfo=UTC) - _EPOCH).days
"""ClickHouse's DateTime ends in February of that year."""


def _shape(table: str) -> Table:
    for ending, shape in (("exposure_events", EXPOSURES), ("metric_events", METRICS)):
        if table.endswith(ending):
            return shape
    return EVENTS


def _midnight(day: int) -> str:
    # an instant, whatever zone the column is shown in
    return f"toDateTime('{_EPOCH + timedelta(days=day):%Y-%m-%d %H:%M:%S}', 'UTC')"


def _literal(event_id: str) -> str:
    return f"'{event_id}'"


def _name(identifier: str) -> str:
    return "`" + identifier.replace("\\", "\\\\").replace("`", "\\`") + "`"
