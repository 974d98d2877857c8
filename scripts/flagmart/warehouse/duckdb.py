"""DuckDB's side of the protocol: one file, opened read-only, for as short a time as can be."""
# ruff: noqa: S608 - only identifiers are put into statements, quoted by `_name`; values go as parameters.

from __future__ import annotations

import re
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import duckdb

from flagmart.errors import FlagmartError
from flagmart.warehouse import acknowledged as acknowledged_ids
from flagmart.warehouse.protocol import Build, PartitionFigures, Relation, RunFigures

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence
    from datetime import date, datetime
    from pathlib import Path

    import pyarrow as pa

    from flagmart.warehouse.protocol import IdFile

MEMORY_LIMIT = "512MB"
"""By default a large sort would take 80 % of the machine; past this limit it spills to disk."""
BATCH_ROWS = 32_768
_RETRY_SECONDS = 0.2
_BUILDS = Relation("flagmart_builds", "builds")
_NODE_RESULTS = Relation("flagmart_builds", "node_results")
_HOLDER = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")


@contextmanager
def reader(
    path: Path, spill: Path, wait_seconds: float, say: Callable[[str], None]
) -> Iterator[DuckDB]:
    """The DuckDB file at `path`, opened for reading until the block ends.

    Args:
        path: the file dbt builds into.
        spill: folder for what does not fit into memory; made by DuckDB when it needs it.
        wait_seconds: how long to wait while another process holds the file.
        say: told at once who holds the file.

    Raises:
        FlagmartError: no such file, no DuckDB file, or still held when the wait is over.
    """
    if not path.exists():
        raise FlagmartError(f"{path} does not exist; run `dbt build` first")
    connection = _connect(path, spill, wait_seconds, say)
    try:
        yield DuckDB(connection, path)
    except duckdb.Error as error:
        raise FlagmartError(f"{path}: {_first_line(error)}") from error
    except RuntimeError as error:
        # how DuckDB passes on a Ctrl-C that reached it first
        if "interrupted" in str(error).lower():
            raise KeyboardInterrupt from error
        raise
    finally:
        connection.close()


def _connect(
    path: Path, spill: Path, wait_seconds: float, say: Callable[[str], None]
) -> duckdb.DuckDBPyConnection:
    until = time.monotonic() + wait_seconds
    told = False
    while True:
        try:
            return duckdb.connect(
                str(path),
                read_only=True,
                config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)},
            )
        except duckdb.IOException as error:
            if "Could not set lock" not in str(error):
                raise FlagmartError(f"{path}: {_first_line(error)}") from error
            holder = _holder(str(error))
            if wait_seconds and not told:
                say(f"{path} is held by {holder}; waiting up to {wait_seconds:g} s")
                told = True
            if time.monotonic() >= until:
                raise FlagmartError(
                    f"{path} is held by {holder}; try again when it is done, "
                    "or wait longer with --wait SECONDS"
                ) from None
            time.sleep(min(_RETRY_SECONDS, max(0.0, until - time.monotonic())))
        except duckdb.Error as error:
            raise FlagmartError(f"{path}: {_first_line(error)}") from error


def set_variables(connection: duckdb.DuckDBPyConnection, variables: dict[str, list[Any]]) -> None:
    """Set session variables, to be read by `getvariable`."""
    for name, value in variables.items():
        connection.execute(f"set variable {_name(name)} = ?", [value])


def _holder(message: str) -> str:
    found = _HOLDER.search(message)
    return f"process {found['pid']} ({found['program']})" if found else "another process"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _table(relation: Relation) -> str:
    return f"{_name(relation.schema)}.{_name(relation.name)}"


def _list(columns: Sequence[str]) -> str:
    return ", ".join(_name(column) for column in columns)


class DuckDB:
    """A DuckDB file open for reading."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def build(self) -> Build:
        """See Warehouse."""
        self._require(_BUILDS, ["invocation_id", "state"])
        self._require(_NODE_RESULTS, ["node_id", "status"])
        runs = self._rows(f"select invocation_id, state from {_table(_BUILDS)}")
        if len(runs) != 1:
            raise FlagmartError(
                f"{_BUILDS} in {self._path} has {len(runs)} rows in place of one; run `dbt build`"
            )
        [(invocation_id, state)] = runs
        statuses = self._rows(f"select node_id, status from {_table(_NODE_RESULTS)}")
        return Build(invocation_id, state == "finished", dict(statuses))

    def has(self, relation: Relation) -> bool:
        """See Warehouse."""
        return bool(self._columns(relation))

    def partitions(self, relation: Relation) -> list[PartitionFigures]:
        """See Warehouse."""
        self._require(relation, ["partition_on", "ingested_at"])
        rows = self._rows(
            f"select partition_on, count(*), max(ingested_at) from {_table(relation)} "
            "group by 1 order by 1"
        )
        if any(day is None for day, _, _ in rows):
            raise FlagmartError(f"{relation} has rows without partition_on; mend the model")
        return [PartitionFigures(day, count, newest) for day, count, newest in rows]

    def rows_of_days(
        self,
        relation: Relation,
        columns: Sequence[str],
        order: Sequence[str],
        days: Collection[date],
    ) -> Generator[pa.RecordBatch, None, None]:
        """See Warehouse."""
        self._require(relation, ["partition_on", *columns])
        return self._stream(
            f"""
            select partition_on, {_list(columns)} from {_table(relation)}
            where partition_on in (select unnest(getvariable('days')))
            order by partition_on, {_list(order)}
            """,
            {"days": sorted(days)},
        )

    def runs(self, relation: Relation) -> list[RunFigures]:
        """See Warehouse."""
        self._require(relation, ["ingested_at", "message_id"])
        rows = self._rows(
            f"""
            select
                ingested_at,
                count(*),
                printf('%016x', bit_xor(('0x' || md5(message_id)[:16])::ubigint))
            from {_table(relation)} group by 1 order by 1
            """
        )
        return [RunFigures(*row) for row in rows]

    def repeated_message_ids(self, relation: Relation, runs: Collection[datetime]) -> list[str]:
        """See Warehouse."""
        self._require(relation, ["ingested_at", "message_id"])
        rows = self._rows(
            f"""
            select message_id from {_table(relation)}
            where message_id in (
                select message_id from {_table(relation)}
                where ingested_at in (select unnest($runs))
            )
            group by 1 having count(*) > 1 order by 1 limit 3
            """,
            {"runs": sorted(runs)},
        )
        return [message_id for (message_id,) in rows]

    def unsent(
        self, relation: Relation, runs: Collection[datetime], acknowledged: Sequence[IdFile]
    ) -> Generator[pa.RecordBatch, None, None]:
        """See Warehouse."""
        self._require(relation, ["ingested_at", "event_id", "message_id", "payload"])
        self._check(acknowledged)
        statement, variables = _unsent(relation, runs, acknowledged)
        return self._stream(
            f"""
            select ingested_at, message_id, payload {statement}
            order by ingested_at, event_id, message_id
            """,
            variables,
        )

    def count_unsent(
        self, relation: Relation, runs: Collection[datetime], acknowledged: Sequence[IdFile]
    ) -> int:
        """See Warehouse."""
        self._require(relation, ["ingested_at", "message_id"])
        self._check(acknowledged)
        statement, variables = _unsent(relation, runs, acknowledged)
        with closing(self._cursor(variables)) as cursor:
            return int(cursor.execute(f"select count(*) {statement}").fetchall()[0][0])

    def counts(self, relation: Relation, by: Sequence[str]) -> list[tuple[object, ...]]:
        """See Warehouse."""
        self._require(relation, by)
        if not by:
            return self._rows(f"select count(*) from {_table(relation)}")
        return self._rows(
            f"select {_list(by)}, count(*) from {_table(relation)} group by all order by all"
        )

    def distinct(self, relation: Relation, column: str, by: str) -> list[tuple[object, int]]:
        """See Warehouse."""
        self._require(relation, [column, by])
        return self._rows(
            f"select {_name(by)}, count(distinct {_name(column)}) from {_table(relation)} "
            "group by 1 order by 1"
        )

    def _check(self, acknowledged: Sequence[IdFile]) -> None:
        if acknowledged:
            with closing(self._cursor(acknowledged_ids.variables(acknowledged))) as cursor:
                acknowledged_ids.check(cursor, acknowledged)

    def _columns(self, relation: Relation) -> set[str]:
        rows = self._rows(
            "select column_name from information_schema.columns "
            "where table_schema = ? and table_name = ?",
            [relation.schema, relation.name],
        )
        return {name for (name,) in rows}

    def _require(self, relation: Relation, columns: Sequence[str]) -> None:
        present = self._columns(relation)
        if not present:
            raise FlagmartError(f"{relation} is not in {self._path}; run `dbt build` first")
        missing = [column for column in columns if column not in present]
        if missing:
            raise FlagmartError(
                f"{relation} in {self._path} lacks {', '.join(missing)}; "
                "mend the model and run `dbt build`"
            )

    def _rows(self, statement: str, parameters: object = None) -> list[Any]:
        with closing(self._connection.cursor()) as cursor:
            return list(cursor.execute(statement, parameters).fetchall())

    def _cursor(self, variables: dict[str, list[Any]]) -> duckdb.DuckDBPyConnection:
        cursor = self._connection.cursor()
        set_variables(cursor, variables)
        return cursor

    def _stream(
        self, statement: str, variables: dict[str, list[Any]]
    ) -> Generator[pa.RecordBatch, None, None]:
        # A statement with parameters is answered from memory as a whole, one without is streamed:
        # so values travel as session variables.
        with closing(self._cursor(variables)) as cursor:
            yield from cursor.sql(statement).to_arrow_reader(BATCH_ROWS)


def _unsent(
    relation: Relation, runs: Collection[datetime], acknowledged: Sequence[IdFile]
) -> tuple[str, dict[str, list[Any]]]:
    chosen = (
        f"from {_table(relation)} as messages "
        "where messages.ingested_at in (select unnest(getvariable('runs')))"
    )
    variables = {"runs": sorted(runs), **acknowledged_ids.variables(acknowledged)}
    if not acknowledged:
        return chosen, variables
    return acknowledged_ids.rest_of(f"(select * {chosen})"), variables
