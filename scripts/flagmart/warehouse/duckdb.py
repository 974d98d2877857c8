"""DuckDB's side of the protocol: one file, opened read-only, for as short a time as can be."""
# ruff: noqa: S608 - only identifiers are put into statements, quoted by `_name`; values go as parameters.

from __future__ import annotations

import re
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb

from flagmart.errors import FlagmartError
from flagmart.warehouse import acknowledged as acknowledged_ids
from flagmart.warehouse.protocol import (
    NO_DAY,
    Build,
    PartitionFigures,
    Relation,
    RunFigures,
    message_order,
    packed,
    partition_figures,
    span,
)
from flagmart.warehouse.sorting import in_order
from flagmart.warehouse.spill import spilling_into

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
    from datetime import date, datetime
    from pathlib import Path

    import pyarrow as pa

    from flagmart.warehouse.protocol import Hints, IdFile

MEMORY_LIMIT = "384MB"
"""By default a large sort would take 80 % of the machine; past this limit it spills to disk."""
MESSAGE_MEMORY = "192MB"
"""The same where messages are read, which are sorted elsewhere: more would only keep what was read.

Measured with 20 million messages, of which 18 million are known: enough for two threads, with the
time that 384 MB take; for sixteen, 256 MB are too little for 6 million.
"""
MESSAGE_THREADS = 2
BATCH_ROWS = 32_768
MESSAGE_ROWS = 2_048
"""Of messages, which may be long, in a batch."""
FORGOTTEN_BATCHES = 16
"""Of messages, after which what was read of their table is let go: some 25 MB of them."""
SORTED_ROWS = 200_000
"""Of files, sorted at once, in each of two lanes: what fits into the memory limit, mostly.

Measured with 20 million rows of 350 bytes, a day of 670,000: half as many take a twentieth longer,
half as many again no less; a day at once, which spills, a fifth longer.
"""
_RETRY_SECONDS = 0.2
_BUILDS = Relation("flagmart_builds", "builds")
_NODE_RESULTS = Relation("flagmart_builds", "node_results")
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_TYPES = {
    "VARCHAR": "string",
    "BOOLEAN": "bool",
    "TINYINT": "int32",
    "UTINYINT": "int32",
    "SMALLINT": "int32",
    "USMALLINT": "int32",
    "INTEGER": "int32",
    "UINTEGER": "int64",
    "BIGINT": "int64",
    "UBIGINT": "uint64",
    "FLOAT": "float64",
    "DOUBLE": "float64",
    "DATE": "date",
    "TIMESTAMP": "timestamp_us",
    "MAP(VARCHAR, VARCHAR)": "string_map",
}
_HOLDER = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")


@contextmanager
def reader(
    path: Path,
    spill: Path,
    wait_seconds: float,
    say: Callable[[str], None],
    *,
    of_messages: bool = False,
) -> Iterator[DuckDB]:
    """The DuckDB file at `path`, opened for reading until the block ends.

    Args:
        path: the file dbt builds into.
        spill: folder for what does not fit into memory; made by DuckDB when it needs it.
        wait_seconds: how long to wait while another process holds the file.
        say: told at once who holds the file.
        of_messages: whether it is for messages, and little else.

    Raises:
        FlagmartError: no such file, no DuckDB file, or still held when the wait is over.
    """
    if not path.exists():
        raise FlagmartError(f"{path} does not exist; run `dbt build` first")
    memory = MESSAGE_MEMORY if of_messages else MEMORY_LIMIT
    config = spilling_into(memory, spill)
    if of_messages:
        config["threads"] = MESSAGE_THREADS
    connection = _connect(path, config, wait_seconds, say)
    try:
        yield DuckDB(connection, path, spill, memory)
    except duckdb.Error as error:
        raise FlagmartError(f"{path}: {_first_line(error)}") from error
    except RuntimeError as error:
        # how DuckDB passes on a Ctrl-C that reached it first
        if "interrupted" in str(error).lower():
            raise KeyboardInterrupt from error
        raise
    finally:
        connection.close()


@contextmanager
def reading_files(
    path: Path,
    spill: Path,
    wait_seconds: float,
    say: Callable[[str], None],
    view: Relation,
    columns: Sequence[str],
    files: Sequence[Path],
) -> Iterator[None]:
    """Make a view of parquet files read these ones, once the block has ended well.

    The DuckDB file is held alone from before the block until after it, so that no query reads
    through the view meanwhile. Where dbt has not made the file or the view yet, nothing is made.

    Args:
        path: as for `reader`.
        spill: as for `reader`.
        wait_seconds: as for `reader`.
        say: as for `reader`.
        view: of a landing, as the macro `open_landing` makes it.
        columns: all it has, in order.
        files: what it shall read.

    Raises:
        FlagmartError: the file is no DuckDB file, or still held when the wait is over.
    """
    if not path.exists():
        yield
        return
    config = spilling_into(MEMORY_LIMIT, spill)
    with closing(_connect(path, config, wait_seconds, say, read_only=False)) as connection:
        try:
            found = connection.execute(
                "select 1 from duckdb_views() where schema_name = ? and view_name = ?",
                [view.schema, view.name],
            ).fetchall()
            connection.execute("begin")
            if found:
                # a view takes no parameters
                listed = ", ".join(_literal(str(file)) for file in files)
                connection.execute(
                    f"create or replace view {_table(view)} as "
                    f"select {_list(columns)} from read_parquet([{listed}])"
                )
            yield
            connection.execute("commit")
        except duckdb.Error as error:
            raise FlagmartError(f"{path}: {_first_line(error)}") from error


def _connect(
    path: Path,
    config: dict[str, Any],
    wait_seconds: float,
    say: Callable[[str], None],
    *,
    read_only: bool = True,
) -> duckdb.DuckDBPyConnection:
    until = time.monotonic() + wait_seconds
    told = False
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only, config=config)
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


def set_variables(connection: duckdb.DuckDBPyConnection, variables: Mapping[str, Any]) -> None:
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


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _table(relation: Relation) -> str:
    return f"{_name(relation.schema)}.{_name(relation.name)}"


def _day(column: str | None) -> str:
    return f"date '{NO_DAY}'" if column is None else f"{_name(column)}::date"


def _type(relation: Relation, column: str, kind: str) -> str:
    """DuckDB's name of a type as destinations.layouts has it."""
    if found := _DECIMAL.fullmatch(kind):
        return f"decimal_{found[1]}_{found[2]}"
    if kind not in _TYPES:
        raise FlagmartError(
            f"{relation} has the column {column} of type {kind}, which no file has; "
            "cast it in the model"
        )
    return _TYPES[kind]


_Ends = tuple["datetime", "datetime"]


def _sorts(
    days: Collection[date], hints: Hints | None
) -> Iterator[tuple[list[date], _Ends | None, _Ends | None]]:
    """What is sorted at once: days, when their rows landed and of when they are, where known."""
    if hints is None:
        yield sorted(days), None, None
        return
    for group in packed(hints.days, SORTED_ROWS):
        some = replace(hints, days=tuple(group))
        wanted = [figures.day for figures in group]
        if len(group) == 1 and group[0].stretches:
            for stretches in packed(group[0].stretches, SORTED_ROWS):
                yield wanted, some.landed, span(stretches)
        else:
            yield wanted, some.landed, some.moments


def _between(column: str, first: str, last: str) -> str:
    """A condition of two variables."""
    return (
        f" and {_name(column)} >= getvariable('{first}')"
        f" and {_name(column)} <= getvariable('{last}')"
    )


def _list(columns: Sequence[str]) -> str:
    return ", ".join(_name(column) for column in columns)


def _select(relation: Relation, columns: Sequence[str], order: Sequence[str]) -> str:
    sorted_by = f" order by {_list(order)}" if order else ""
    return f"select {_list(columns)} from {_table(relation)}{sorted_by}"


class DuckDB:
    """A DuckDB file open for reading."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, spill: Path, memory: str
    ) -> None:
        self._connection = connection
        self._path = path
        self._spill = spill
        self._memory = memory

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

    def columns(self, relation: Relation) -> list[tuple[str, str]]:
        """See Warehouse."""
        found = self._require(relation, []).items()
        return [(column, _type(relation, column, kind)) for column, kind in found]

    def partitions(
        self,
        relation: Relation,
        day: str | None = "partition_on",
        newest: str | None = "ingested_at",
        moment: str | None = None,
        order: str | None = None,
    ) -> list[PartitionFigures]:
        """See Warehouse."""
        present = self._require(relation, [column for column in (day, newest) if column])
        hour, bounds = "null", ["count(*), null, null"]
        if newest:
            bounds = [f"count({_name(newest)}), max({_name(newest)}), min({_name(newest)})"]
        if moment and order and order in present and present.get(moment) == "TIMESTAMP":
            hour = f"date_trunc('hour', {_name(moment)})"
            bounds += [
                f"case when count({_name(column)}) = count(*) then min({_name(column)}) end, "
                f"max({_name(column)})"
                for column in (moment, order)
            ]
        else:
            bounds += ["null, null, null, null"]
        rows = self._rows(
            f"select {_day(day)}, count(*), {', '.join(bounds)} from {_table(relation)} "
            f"group by 1, {hour} order by 1"
        )
        return partition_figures(relation, rows, day, newest)

    def rows_of_days(
        self,
        relation: Relation,
        columns: Sequence[str],
        order: Sequence[str],
        days: Collection[date],
        day: str | None = "partition_on",
        hints: Hints | None = None,
    ) -> Generator[pa.RecordBatch, None, None]:
        """See Warehouse."""
        self._require(relation, [*([day] if day else []), *columns])
        for some, landed, moments in _sorts(days, hints):
            variables: dict[str, Any] = {"days": some}
            # Functions of constants, which DuckDB takes down to the scan of a view's table. A
            # subquery would be joined with the finished rows of all days.
            chosen = f"list_contains(getvariable('days'), {_day(day)})"
            if hints is not None and landed:
                variables |= {"oldest": landed[0], "newest": landed[1]}
                chosen += _between(hints.landed_column, "oldest", "newest")
            if hints is not None and hints.moment_column and moments:
                variables |= {"first": moments[0], "last": moments[1]}
                chosen += _between(hints.moment_column, "first", "last")
            yield from self._stream(
                f"""
                select {_day(day)} as "flagmart day", {_list(columns)} from {_table(relation)}
                where {chosen}
                order by {", ".join(["1", *map(_name, order)])}
                """,
                variables,
            )

    @contextmanager
    def read_by(self, lanes: int) -> Iterator[None]:
        """See Warehouse."""
        # Who reads works on his own query, too: with a thread of DuckDB's beside each of two, two
        # processors took a seventh more of their time for the same rows.
        [(threads,)] = self._rows("select current_setting('threads')")
        self._connection.execute(f"set threads = {max(1, threads - lanes + 1)}")
        try:
            yield
        finally:
            self._connection.execute(f"set threads = {threads}")

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
        # by hashes first: all ids at once would fill the memory, all hashes are a small part of it
        rows = self._rows(
            f"""
            with suspects as (
                select hash(message_id) as suspect from {_table(relation)}
                group by 1 having count(*) > 1 and bool_or(list_contains($runs, ingested_at))
            )
            select message_id from {_table(relation)}
            where hash(message_id) in (select suspect from suspects)
            group by 1 having count(*) > 1 and bool_or(list_contains($runs, ingested_at))
            order by 1 limit 3
            """,
            {"runs": sorted(runs)},
        )
        return [message_id for (message_id,) in rows]

    def unsent(
        self,
        relation: Relation,
        runs: Collection[datetime],
        acknowledged: Sequence[IdFile],
        key: str | None = None,
    ) -> Generator[pa.RecordBatch, None, None]:
        """See Warehouse."""
        return self._messages(relation, runs, acknowledged, key, acknowledged_ids.rest_of)

    def among(
        self,
        relation: Relation,
        runs: Collection[datetime],
        ids: Sequence[IdFile],
        key: str | None = None,
    ) -> Generator[pa.RecordBatch, None, None]:
        """See Warehouse."""
        return self._messages(relation, runs, ids, key, acknowledged_ids.those_of)

    def _messages(
        self,
        relation: Relation,
        runs: Collection[datetime],
        ids: Sequence[IdFile],
        key: str | None,
        those: Callable[[str], str],
    ) -> Generator[pa.RecordBatch, None, None]:
        keys = [key] if key else []
        self._require(relation, ["ingested_at", "event_id", "message_id", "payload", *keys])
        self._check(ids)
        batch_keys = [f"{_name(key)} as batch_key" for key in keys]
        columns = ["ingested_at", "event_id", "message_id", "payload", *batch_keys]
        statement, variables = _of_runs(relation, runs, ids, those)
        rows = self._stream(f"select {', '.join(columns)} {statement}", variables, MESSAGE_ROWS)
        return in_order(self._forgetting(rows, is_scan=not ids), message_order(key), self._spill)

    def _forgetting(
        self, rows: Generator[pa.RecordBatch, None, None], *, is_scan: bool
    ) -> Generator[pa.RecordBatch, None, None]:
        """The same rows; what the engine keeps of the table does not grow with it.

        It is let go before and after them, as they are sorted beside it, and on the way, too,
        where they come of a scan: a join would write down what it works with each time.
        """
        self._forget()
        with closing(rows):
            for number, batch in enumerate(rows, 1):
                yield batch
                if is_scan and number % FORGOTTEN_BATCHES == 0:
                    self._forget()
        self._forget()

    def _forget(self) -> None:
        """Let go of what was read and may be read again: blocks of tables, up to the limit.

        Asked for a limit that cannot be, DuckDB frees all it can and stays at the one it has; asked
        for one that can be, it gives the system what is free.
        """
        with suppress(duckdb.OutOfMemoryException):
            self._connection.execute("set memory_limit = '1kB'")
        self._connection.execute(f"set memory_limit = {_literal(self._memory)}")

    def values(
        self, relation: Relation, columns: Sequence[str], among: Sequence[IdFile] | None = None
    ) -> Generator[pa.RecordBatch, None, None]:
        """See Warehouse."""
        if among is None:
            self._require(relation, columns)
            yield from self._stream(f"select {_list(columns)} from {_table(relation)}", {})
        elif among:
            self._require(relation, [*columns, "message_id"])
            self._check(among)
            yield from self._stream(
                f"select {_list(columns)} {acknowledged_ids.those_of(_table(relation))}",
                acknowledged_ids.variables(among),
            )

    def count_unsent(
        self, relation: Relation, runs: Collection[datetime], acknowledged: Sequence[IdFile]
    ) -> int:
        """See Warehouse."""
        self._require(relation, ["ingested_at", "message_id"])
        self._check(acknowledged)
        statement, variables = _of_runs(relation, runs, acknowledged, acknowledged_ids.rest_of)
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

    def asked(
        self,
        view: Relation,
        said: Mapping[str, str],
        columns: Sequence[str],
        order: Sequence[str] = (),
    ) -> list[tuple[Any, ...]]:
        """See Warehouse."""
        self._require(view, [*columns, *order])
        with closing(self._cursor(said)) as cursor:
            return list(cursor.execute(_select(view, columns, order)).fetchall())

    def _check(self, acknowledged: Sequence[IdFile]) -> None:
        if acknowledged:
            with closing(self._cursor(acknowledged_ids.variables(acknowledged))) as cursor:
                acknowledged_ids.check(cursor, acknowledged)

    def _columns(self, relation: Relation) -> dict[str, str]:
        """Type of each column, in order."""
        rows = self._rows(
            "select column_name, data_type from information_schema.columns "
            "where table_schema = ? and table_name = ? order by ordinal_position",
            [relation.schema, relation.name],
        )
        return dict(rows)

    def _require(self, relation: Relation, columns: Sequence[str]) -> dict[str, str]:
        present = self._columns(relation)
        if not present:
            raise FlagmartError(f"{relation} is not in {self._path}; run `dbt build` first")
        missing = [column for column in columns if column not in present]
        if missing:
            raise FlagmartError(
                f"{relation} in {self._path} lacks {', '.join(missing)}; "
                "mend the model and run `dbt build`"
            )
        return present

    def _rows(self, statement: str, parameters: object = None) -> list[Any]:
        with closing(self._connection.cursor()) as cursor:
            return list(cursor.execute(statement, parameters).fetchall())

    def _cursor(self, variables: Mapping[str, Any]) -> duckdb.DuckDBPyConnection:
        cursor = self._connection.cursor()
        set_variables(cursor, variables)
        return cursor

    def _stream(
        self, statement: str, variables: Mapping[str, Any], batch_rows: int = BATCH_ROWS
    ) -> Generator[pa.RecordBatch, None, None]:
        # A statement with parameters is answered from memory as a whole, one without is streamed:
        # so values travel as session variables.
        with closing(self._cursor(variables)) as cursor:
            yield from cursor.sql(statement).to_arrow_reader(batch_rows)


def _of_runs(
    relation: Relation,
    runs: Collection[datetime],
    ids: Sequence[IdFile],
    those: Callable[[str], str],
) -> tuple[str, dict[str, list[Any]]]:
    chosen = (
        f"from {_table(relation)} as messages "
        "where messages.ingested_at in (select unnest(getvariable('runs')))"
    )
    variables = {"runs": sorted(runs), **acknowledged_ids.variables(ids)}
    if not ids:
        return chosen, variables
    return those(f"(select * {chosen})"), variables
