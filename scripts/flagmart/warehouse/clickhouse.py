"""ClickHouse's side of the protocol: read-only, streamed, nothing asked for but SELECT."""
# ruff: noqa: S608 - only identifiers are put into statements, quoted by `name`; values go as parameters.

from __future__ import annotations

from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from flagmart.errors import FlagmartError
from flagmart.warehouse import acknowledged as acknowledged_ids
from flagmart.warehouse.clickhouse_client import Client, Parameters, connected, many, name
from flagmart.warehouse.duckdb import BATCH_ROWS, MEMORY_LIMIT, set_variables
from flagmart.warehouse.protocol import Build, PartitionFigures, Relation, RunFigures

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from flagmart.settings import ClickHouse
    from flagmart.warehouse.protocol import IdFile


_DAYS = ("Date", "Nullable(Date)")
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

    def partitions(self, relation: Relation) -> list[PartitionFigures]:
        """See Warehouse."""
        self._require(relation, ["partition_on", "ingested_at"])
        rows = self._client.rows(
            f"select toDate32(partition_on), count(), max(ingested_at) from {_table(relation)} "
            "group by partition_on order by partition_on"
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
        types = self._require(relation, ["partition_on", *columns])
        listed, parameters = many("days", [day.isoformat() for day in sorted(days)], "Date")
        chosen = (
            f"from {_table(relation)} as source "
            f"where source.partition_on in (select arrayJoin({listed}))"
        )
        return self._stream(
            _list(["partition_on", *columns], types),
            chosen,
            parameters,
            f"order by {_list(['partition_on', *order])}",
        )

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
        self, relation: Relation, runs: Collection[datetime], acknowledged: Sequence[IdFile]
    ) -> Generator[pa.RecordBatch, None, None]:
        """See Warehouse."""
        self._require(relation, ["ingested_at", "event_id", "message_id", "payload"])
        chosen, parameters = _of_runs(relation, runs)
        order = "order by ingested_at, event_id, message_id"
        if not acknowledged:
            return self._stream("ingested_at, message_id, payload", chosen, parameters, order)
        candidates = self._stream(
            "ingested_at, event_id, message_id, payload", chosen, parameters, ""
        )
        return self._rest(candidates, acknowledged, "ingested_at, message_id, payload", order)

    def count_unsent(
        self, relation: Relation, runs: Collection[datetime], acknowledged: Sequence[IdFile]
    ) -> int:
        """See Warehouse."""
        self._require(relation, ["ingested_at", "message_id"])
        chosen, parameters = _of_runs(relation, runs)
        if not acknowledged:
            return self._client.number(f"select count() {chosen}", parameters)
        candidates = self._stream("message_id", chosen, parameters, "")
        with closing(self._rest(candidates, acknowledged, "count(*) as unsent", "")) as found:
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
        order: str,
    ) -> Generator[pa.RecordBatch, None, None]:
        """What `columns` say of those among `candidates` that are not acknowledged."""
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
                config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(self._spill)},
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
                rest = acknowledged_ids.rest_of("messages")
                yield from engine.sql(f"select {columns} {rest} {order}").to_arrow_reader(
                    BATCH_ROWS
                )
            except duckdb.Error as error:
                if failures:
                    raise failures[0] from None
                reason = str(error).partition("\n")[0]
                raise FlagmartError(f"looking for what is unsent failed: {reason}") from error

    def _columns(self, relation: Relation) -> dict[str, str]:
        """Type of each column."""
        rows = self._client.rows(
            "select name, type from system.columns "
            "where database = {database:String} and table = {table:String}",
            {"database": relation.schema, "table": relation.name},
        )
        return dict(rows)

    def _require(self, relation: Relation, columns: Sequence[str]) -> Mapping[str, str]:
        """Type of each column; raises where one of `columns` is missing."""
        present = self._columns(relation)
        if not present:
            raise FlagmartError(
                f"{relation} is not on {self._client.server}, or hidden from "
                f"{self._client.server.user!r}; run `dbt build` first"
            )
        missing = [column for column in columns if column not in present]
        if missing:
            raise FlagmartError(
                f"{relation} on {self._client.server} lacks {', '.join(missing)}; "
                "mend the model and run `dbt build`"
            )
        return present


def _moments(runs: Collection[datetime]) -> tuple[str, Parameters]:
    """A set of moments for IN."""
    micros = [(moment - _EPOCH) // timedelta(microseconds=1) for moment in sorted(runs)]
    listed, parameters = many("runs", micros, "Int64")
    return f"(select fromUnixTimestamp64Micro(arrayJoin({listed}), 'UTC'))", parameters


def _of_runs(relation: Relation, runs: Collection[datetime]) -> tuple[str, Parameters]:
    moments, parameters = _moments(runs)
    return f"from {_table(relation)} where ingested_at in {moments}", parameters
