"""ClickHouse's side of the protocol: read-only, streamed, nothing asked for but SELECT."""
# ruff: noqa: S608 - only identifiers are put into statements, quoted by `name`; values go as parameters.

from __future__ import annotations

import re
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from flagmart.errors import FlagmartError
from flagmart.warehouse import acknowledged as acknowledged_ids
from flagmart.warehouse.clickhouse_client import Client, Parameters, connected, many, name
from flagmart.warehouse.duckdb import MEMORY_LIMIT, MESSAGE_ROWS, set_variables
from flagmart.warehouse.protocol import (
    NO_DAY,
    Build,
    PartitionFigures,
    Relation,
    RunFigures,
    message_order,
    partition_figures,
)
from flagmart.warehouse.sorting import in_order
from flagmart.warehouse.spill import spilling_into

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from flagmart.settings import ClickHouse
    from flagmart.warehouse.protocol import Hints, IdFile


_DAYS = ("Date", "Nullable(Date)")
_MOMENT = "DateTime64(6, 'UTC')"
_WRAPPED = re.compile(r"^(?:Nullable|LowCardinality)\((.*)\)$")
_DECIMAL = re.compile(r"Decimal\((\d+), (\d+)\)")
_TYPES = {
    "String": "string",
    "Bool": "bool",
    "Int8": "int32",
    "UInt8": "int32",
    "Int16": "int32",
    "UInt16": "int32",
    "Int32": "int32",
    "UInt32": "int64",
    "Int64": "int64",
    "UInt64": "uint64",
    "Float32": "float64",
    "Float64": "float64",
    "Date": "date",
    "Date32": "date",
    "DateTime64(6)": "timestamp_us",
    "DateTime64(6, 'UTC')": "timestamp_us",
    "Map(String, String)": "string_map",
}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - moments are UTC without zone, as DuckDB gives them


@contextmanager
def reader(server: ClickHouse, spill: Path) -> Iterator[Reader]:
    """The databases dbt builds in, opened for reading until the block ends.

    Args:
        server: where they are.
        spill: folder for what does not fit into memory here; made when it is needed.

    Raises:
        FlagmartError: the server cannot be reached or refuses.
    """
    with connected(server) as client:
        yield Reader(client, spill)


def _table(relation: Relation) -> str:
    return f"{name(relation.schema)}.{name(relation.name)}"


def _list(columns: Sequence[str], types: Mapping[str, str] | None = None) -> str:
    """Columns in quotes; with their types, days as a type that reaches Arrow as a date.

    Engines before 26.3 give `Date` as a whole number.
    """
    days = {column for column, kind in (types or {}).items() if kind in _DAYS}
    return ", ".join(
        f"toDate32({name(column)}) as {name(column)}" if column in days else name(column)
        for column in columns
    )


def _day(column: str | None) -> str:
    return f"toDate32('{NO_DAY}')" if column is None else f"toDate32(source.{name(column)})"


def _type(relation: Relation, column: str, kind: str) -> str:
    """ClickHouse's name of a type as destinations.layouts has it."""
    bare = _WRAPPED.sub(r"\1", _WRAPPED.sub(r"\1", kind))
    if found := _DECIMAL.fullmatch(bare):
        return f"decimal_{found[1]}_{found[2]}"
    if bare not in _TYPES:
        raise FlagmartError(
            f"{relation} has the column {column} of type {kind}, which no file has; "
            "cast it in the model"
        )
    return _TYPES[bare]


class Reader:
    """ClickHouse open for reading.

    Unlike DuckDB's file it may change meanwhile: whoever reads asks for `build` before and after.
    """

    def __init__(self, client: Client, spill: Path) -> None:
        self._client = client
        self._spill = spill

    def build(self) -> Build:
        """See Warehouse."""
        builds = Relation(self._client.server.builds, "builds")
        node_results = Relation(self._client.server.builds, "node_results")
        self._require(builds, ["invocation_id", "state"])
        self._require(node_results, ["node_id", "status"])
        runs = self._client.rows(f"select invocation_id, state from {_table(builds)}")
        if len(runs) != 1:
            raise FlagmartError(
                f"{builds} on {self._client.server} has {len(runs)} rows in place of one; run "
                "`dbt build`"
            )
        [(invocation_id, state)] = runs
        statuses = self._client.rows(f"select node_id, status from {_table(node_results)}")
        return Build(invocation_id, state == "finished", dict(statuses))

    def has(self, relation: Relation) -> bool:
        """See Warehouse."""
        return bool(self._columns(relation))

    def columns(self, relation: Relation) -> list[tuple[str, str]]:
        """See Warehouse."""
        return [
            (column, _type(relation, column, kind))
            for column, kind in self._require(relation, []).items()
        ]

    def partitions(
        self,
        relation: Relation,
        day: str | None = "partition_on",
        newest: str | None = "ingested_at",
        moment: str | None = None,
        order: str | None = None,
    ) -> list[PartitionFigures]:
        """See Warehouse."""
        types = self._require(relation, [column for column in (day, newest) if column])
        hour, bounds = "null", ["count(), null, null"]
        if newest:
            bounds = [f"count({name(newest)}), max({name(newest)}), min({name(newest)})"]
        if moment and order and order in types and types.get(moment) == _MOMENT:
            hour = f"intDiv(toUnixTimestamp64Micro({name(moment)}), 3600000000)"
            bounds += [
                f"if(count({name(column)}) = count(), minOrNull({name(column)}), null), "
                f"maxOrNull({name(column)})"
                for column in (moment, order)
            ]
        else:
            bounds += ["null, null, null, null"]
        rows = self._client.rows(
            f"select {_day(day)} as day, count(), {', '.join(bounds)} from {_table(relation)} "
            f"as source group by day, {hour} having count() > 0 order by day"
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
        types = self._require(relation, [*([day] if day else []), *columns])
        conditions: list[str] = []
        parameters: Parameters = {}
        if day:
            listed, parameters = many("days", [value.isoformat() for value in sorted(days)], "Date")
            conditions.append(f"source.{name(day)} in (select arrayJoin({listed}))")
        # the server sorts in its own memory, so a day is never read in parts
        for column, ends, (first, last) in (
            (hints and hints.landed_column, hints and hints.landed, ("oldest", "newest")),
            (hints and hints.moment_column, hints and hints.moments, ("first", "last")),
        ):
            if column and ends:
                parameters = {**parameters, first: _micros(ends[0]), last: _micros(ends[1])}
                conditions.append(
                    f"source.{name(column)} "
                    f"between fromUnixTimestamp64Micro({{{first}:Int64}}, 'UTC') "
                    f"and fromUnixTimestamp64Micro({{{last}:Int64}}, 'UTC')"
                )
        where = f" where {' and '.join(conditions)}" if conditions else ""
        return self._stream(
            f"{_day(day)} as `flagmart day`, {_list(columns, types)}",
            f"from {_table(relation)} as source{where}",
            parameters,
            f"order by {', '.join(['`flagmart day`', *(f'source.{name(c)}' for c in order)])}",
        )

    @contextmanager
    def read_by(self, lanes: int) -> Iterator[None]:  # noqa: ARG002 - the server has its own threads
        """See Warehouse."""
        yield

    def runs(self, relation: Relation) -> list[RunFigures]:
        """See Warehouse."""
        self._require(relation, ["ingested_at", "message_id"])
        rows = self._client.rows(
            f"""
            select
                ingested_at,
                count(),
                groupBitXor(reinterpretAsUInt64(reverse(substring(MD5(message_id), 1, 8))))
            from {_table(relation)} group by ingested_at order by ingested_at
            """
        )
        return [RunFigures(moment, count, f"{digest:016x}") for moment, count, digest in rows]

    def repeated_message_ids(self, relation: Relation, runs: Collection[datetime]) -> list[str]:
        """See Warehouse."""
        self._require(relation, ["ingested_at", "message_id"])
        moments, parameters = _moments(runs)
        # as an aggregate, for that goes to disk where it must, and a set of ids does not
        rows = self._client.rows(
            f"""
            select message_id from {_table(relation)}
            group by message_id
            having count() > 1 and countIf(ingested_at in {moments}) > 0
            order by message_id limit 3
            """,
            parameters,
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
        chosen, parameters = _of_runs(relation, runs)
        batch_key = "".join(f", {name(column)} as batch_key" for column in keys)
        columns = f"ingested_at, event_id, message_id, payload{batch_key}"
        order = message_order(key)
        if not ids:
            return self._stream(columns, chosen, parameters, f"order by {', '.join(order)}")
        candidates = self._stream(columns, chosen, parameters, "")
        return in_order(self._rest(candidates, ids, "*", those), order, self._spill)

    def values(
        self, relation: Relation, columns: Sequence[str], among: Sequence[IdFile] | None = None
    ) -> Generator[pa.RecordBatch, None, None]:
        """See Warehouse."""
        table = f"from {_table(relation)}"
        if among is None:
            types = self._require(relation, columns)
            yield from self._stream(_list(columns, types), table, {}, "")
        elif among:
            types = self._require(relation, [*columns, "message_id"])
            wanted = list(dict.fromkeys([*columns, "message_id"]))
            candidates = self._stream(_list(wanted, types), table, {}, "")
            chosen = ", ".join(f'candidates."{column}"' for column in columns)
            yield from self._rest(candidates, among, chosen, acknowledged_ids.those_of)

    def count_unsent(
        self, relation: Relation, runs: Collection[datetime], acknowledged: Sequence[IdFile]
    ) -> int:
        """See Warehouse."""
        self._require(relation, ["ingested_at", "message_id"])
        chosen, parameters = _of_runs(relation, runs)
        if not acknowledged:
            return self._client.number(f"select count() {chosen}", parameters)
        candidates = self._stream("message_id", chosen, parameters, "")
        with closing(self._rest(candidates, acknowledged, "count(*) as unsent")) as found:
            return sum(batch.column("unsent")[0].as_py() for batch in found)

    def counts(self, relation: Relation, by: Sequence[str]) -> list[tuple[object, ...]]:
        """See Warehouse."""
        types = self._require(relation, by)
        if not by:
            return list(self._client.rows(f"select count() from {_table(relation)}"))
        return list(
            self._client.rows(
                f"select {_list(by, types)}, count() from {_table(relation)} "
                f"group by {_list(by)} order by {_list(by)}"
            )
        )

    def distinct(self, relation: Relation, column: str, by: str) -> list[tuple[object, int]]:
        """See Warehouse."""
        self._require(relation, [column, by])
        return [
            (value, count)
            for value, count in self._client.rows(
                f"select {name(by)}, count(distinct {name(column)}) from {_table(relation)} "
                f"group by {name(by)} order by {name(by)}"
            )
        ]

    def asked(
        self,
        view: Relation,
        said: Mapping[str, str],
        columns: Sequence[str],
        order: Sequence[str] = (),
    ) -> list[tuple[Any, ...]]:
        """See Warehouse."""
        # a view with parameters has no columns in system.columns
        found = self._client.number(
            "select count() from system.tables "
            "where database = {database:String} and name = {table:String}",
            {"database": view.schema, "table": view.name},
        )
        if not found:
            raise self._absent(view)
        values = ", ".join(f"{name(key)} = {{{key}:String}}" for key in said)
        sorted_by = f" order by {_list(order)}" if order else ""
        return self._client.rows(
            f"select {_list(columns)} from {_table(view)}({values}){sorted_by}", dict(said)
        )

    def _stream(
        self, columns: str, chosen: str, parameters: Parameters, order: str
    ) -> Generator[pa.RecordBatch, None, None]:
        # counted first, since a server may end a stream well that failed
        expected = self._client.number(f"select count() {chosen}", parameters)
        yield from self._client.stream(
            f"select {columns} {chosen} {order}", parameters, expected=expected
        )

    def _rest(
        self,
        candidates: Generator[pa.RecordBatch, None, None],
        acknowledged: Sequence[IdFile],
        columns: str,
        those: Callable[[str], str] = acknowledged_ids.rest_of,
    ) -> Generator[pa.RecordBatch, None, None]:
        """What `columns` say of those among `candidates` that are not acknowledged, or are."""
        failures: list[FlagmartError] = []

        def passed_on() -> Iterator[pa.RecordBatch]:
            try:
                yield from candidates
            except FlagmartError as failure:
                failures.append(failure)  # DuckDB would make an error of its own of it
                raise

        with (
            closing(candidates),
            duckdb.connect(
                ":memory:",
                config=spilling_into(MEMORY_LIMIT, self._spill),
            ) as engine,
        ):
            set_variables(engine, acknowledged_ids.variables(acknowledged))
            acknowledged_ids.check(engine, acknowledged)
            first = next(candidates, None)
            if first is None:
                return
            engine.register(
                "messages",
                pa.RecordBatchReader.from_batches(first.schema, chain([first], passed_on())),
            )
            try:
                yield from engine.sql(f"select {columns} {those('messages')}").to_arrow_reader(
                    MESSAGE_ROWS
                )
            except duckdb.Error as error:
                if failures:
                    raise failures[0] from None
                reason = str(error).partition("\n")[0]
                raise FlagmartError(f"looking for what is unsent failed: {reason}") from error

    def _absent(self, relation: Relation) -> FlagmartError:
        return FlagmartError(
            f"{relation} is not on {self._client.server}, or hidden from "
            f"{self._client.server.user!r}; run `dbt build` first"
        )

    def _columns(self, relation: Relation) -> dict[str, str]:
        """Type of each column."""
        rows = self._client.rows(
            "select name, type from system.columns "
            "where database = {database:String} and table = {table:String} order by position",
            {"database": relation.schema, "table": relation.name},
        )
        return dict(rows)

    def _require(self, relation: Relation, columns: Sequence[str]) -> Mapping[str, str]:
        """Type of each column; raises where one of `columns` is missing."""
        present = self._columns(relation)
        if not present:
            raise self._absent(relation)
        missing = [column for column in columns if column not in present]
        if missing:
            raise FlagmartError(
                f"{relation} on {self._client.server} lacks {', '.join(missing)}; "
                "mend the model and run `dbt build`"
            )
        return present


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moments(runs: Collection[datetime]) -> tuple[str, Parameters]:
    """A set of moments for IN."""
    micros = [_micros(moment) for moment in sorted(runs)]
    listed, parameters = many("runs", micros, "Int64")
    return f"(select fromUnixTimestamp64Micro(arrayJoin({listed}), 'UTC'))", parameters


def _of_runs(relation: Relation, runs: Collection[datetime]) -> tuple[str, Parameters]:
    moments, parameters = _moments(runs)
    return f"from {_table(relation)} where ingested_at in {moments}", parameters
