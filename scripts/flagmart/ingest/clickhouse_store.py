"""FeatBit's own ClickHouse: `events` (`distributed_events` in a cluster) and v6's two tables.

`_timestamp` is the producer's clock in whole seconds, and a row may become visible long after it,
so no cursor is built on it. Two things are noted instead, and neither is a clock:

- of each partition on each replica its rows and its newest block. An insert takes new blocks and a
  merge takes none, so merges do not count, though FeatBit has all partitions merged anew every five
  minutes. Where nothing changed since the last run nothing is read.
- of each day within a partition its rows and a sum of hashes of their ids, which the server works
  out. Only of days where these differ do ids leave the server; and of rows, what has not landed.

All statements see the same replica of each shard, see `clickhouse_client.READING`, so what was
noted is what was read.
"""
# ruff: noqa: S608 - only identifiers are put into statements, quoted by `name`; values go as parameters.

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flagmart import settings, talk
from flagmart.errors import FlagmartError
from flagmart.ingest.event import NOT_UTF8
from flagmart.ingest.event_tables import EVENTS, EXPOSURES, METRIC_EVENTS, METRICS, Table
from flagmart.ingest.store_rows import (
    ARRIVED,
    ID,
    MISDATED,
    MOMENT,
    Refused,
    Rows,
    check_columns,
    landing_rows,
)
from flagmart.ingest.stores import Bounds, Chunk, Plan, Reading
from flagmart.settings import Engine
from flagmart.warehouse.clickhouse_client import (
    REFUSALS,
    Client,
    Parameters,
    ServerError,
    literal,
    many,
    name,
)
from flagmart.warehouse.clickhouse_client import connected as client_of
from flagmart.warehouse.landed import Group
from flagmart.warehouse.landing import Selection

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from flagmart.ingest.version_stores import Records
    from flagmart.ingest.versions import Kind

_TABLES: tuple[tuple[str, Table], ...] = (
    ("events", EVENTS),
    ("experiment_exposure_events", EXPOSURES),
    ("experiment_metric_events", METRICS),
    ("release_decision_exposure_events", EXPOSURES),
    ("release_decision_metric_events", METRICS),
)
"""Names a table of events has had, in FeatBit's releases and v6's drafts."""
_OVER_SHARDS = "distributed_"
"""What the name of the table begins with that reads all shards."""

CHUNK_ROWS = 500_000
"""Events a statement reads, about; they come as a stream, so only their ids lie in memory.

Fewer cost: with half as many reading takes a sixteenth longer.
"""
_COUNTED_ROWS = 5_000_000
"""Events whose ids the server holds at a time to count each once."""

_TEXTS = frozenset(("String", "UUID"))
_TIMES = frozenset(("DateTime", "DateTime64"))
_NUMBERS = frozenset(("Float64", "Float32", "Decimal", "Int32", "Int64", "UInt64"))

_DAY = 86_400_000_000
_MINUTE = 60_000_000
_FIRST_DATED = -62_135_596_800_000_000
_END_DATED = 253_402_300_800_000_000
"""Microseconds from 1970 to the years 1 and 10000."""
_DATES = range(1, 65_000)
"""Days that a Date holds: toDate() of others is not in the order of time, and is in the key."""

READABLE = "readable"


class _Cell(NamedTuple):
    """A day of the client's clock within a partition."""

    partition: str
    day: int
    """Days since 1970."""
    rows: int
    digest: int
    """Changes with the ids: the sum of their hashes, modulo 2^64."""


@dataclass(frozen=True)
class _Source:
    """A table that is there, and how to read it."""

    name: str
    """Without what tells the table over all shards, so that both are one source."""
    table: Table
    quoted: str
    """The table that is read, with its database."""
    columns: Mapping[str, str]
    """Type by name."""
    parts: str
    """The table whose rows are the parts of all replicas."""
    tables: str
    """The table whose rows are the tables of all replicas."""
    stored: tuple[str, str]
    """Database and table that hold the parts."""

    @property
    def key(self) -> str:
        """The column of ids, quoted."""
        return name(_id(self.columns))

    @property
    def id(self) -> str:
        """The id as it lands."""
        if self.columns[_id(self.columns)] == "UUID":
            return f"toString({self.key})"
        return f"lower({_text(_id(self.columns), self.columns)})"

    @property
    def micros(self) -> str:
        """The client's clock in microseconds since 1970."""
        return _micros(self.table.moment, self.columns)

    @property
    def day(self) -> str:
        """The client's clock in days since 1970."""
        return f"intDiv({_floor(self.micros, _DAY)}, {_DAY})"

    @property
    def is_dated(self) -> str:
        """Whether the client's clock shows a day of a calendar."""
        moment = name(self.table.moment)
        if _is_millis(self.columns[self.table.moment]):
            # in microseconds what is far away would not fit
            first, end = _FIRST_DATED // 1_000, _END_DATED // 1_000
            return f"toUnixTimestamp64Milli({moment}) between {first} and {end - 1}"
        return f"{self.micros} between {_FIRST_DATED} and {_END_DATED - 1}"

    @property
    def env_id(self) -> str:
        """The environment as text."""
        return _text("env_id", self.columns)

    @property
    def event(self) -> str:
        """What the landing calls the event."""
        if self.table is EVENTS:
            return _text("event", self.columns)
        if self.table is EXPOSURES:
            return "'FlagValue'"
        if "event_type" not in self.columns:
            return "'CustomEvent'"
        named = _text("event_type", self.columns)
        names = ", ".join(f"'{known}'" for known in sorted(METRIC_EVENTS))
        return f"if({named} in ({names}), {named}, 'CustomEvent')"

    @property
    def texts(self) -> list[str]:
        """The columns that are read as text."""
        return [column for column in self.table.texts if column in self.columns]

    @property
    def arrived(self) -> str | None:
        """The store's own clock, when the row came."""
        return next(
            (column for column in ("_timestamp", "created_at") if column in self.columns), None
        )

    @property
    def is_readable(self) -> str:
        """Whether all texts are UTF-8."""
        return " and ".join(f"isValidUTF8({_text(column, self.columns)})" for column in self.texts)

    @property
    def is_event(self) -> str:
        """Whether a row of `events` lands."""
        return f"{self.is_readable} and {self.is_dated}"

    @property
    def landed(self) -> str:
        """The columns of the landing, of `events`."""
        facts = {
            "event_id": self.id,
            **dict.fromkeys(EVENTS.texts, "''"),
            **{column: _text(column, self.columns) for column in self.texts},
            "occurred_at": _moment(self.micros),
            "source_ref": literal(self.name),
            "source_ingested_at": (
                _moment(_micros(self.arrived, self.columns)) if self.arrived else "null"
            ),
        }
        return ", ".join(f"{expression} as {name(column)}" for column, expression in facts.items())

    @property
    def selected(self) -> str:
        """The columns that `_landing_rows` takes."""
        texts = [f"{_text(column, self.columns)} as {name(column)}" for column in self.texts]
        moment = name(self.table.moment)
        return ", ".join(
            [
                f"{self.id} as {ID}",
                *texts,
                f"{self.is_readable} as {READABLE}",
                f"if({self.is_dated}, {self.micros}, null) as {MOMENT}",
                f"if({self.is_dated}, null, toString({moment})) as {MISDATED}",
                *([f"{_micros(self.arrived, self.columns)} as {ARRIVED}"] if self.arrived else []),
            ]
        )


@dataclass(frozen=True)
class _Part:
    """Some rows of a table: conditions, and the values in them."""

    source: _Source
    where: tuple[str, ...] = ()
    values: Parameters = field(default_factory=dict)
    rows: int | None = None
    """How many there were when it was planned; None where that was not counted."""

    def narrowed(self, condition: str, values: Parameters | None = None) -> _Part:
        return replace(
            self,
            where=(*self.where, condition),
            values={**self.values, **(values or {})},
            rows=None,
        )

    def select(self, what: str) -> str:
        """A statement for `what` of these rows."""
        return f"select {what} from {self.source.quoted} where {' and '.join(self.where) or 'true'}"


class ClickHouseStore:
    """See `Store`."""

    kind = "clickhouse"

    def __init__(self, client: Client, landing: Client | None = None) -> None:
        """Read by `client`; `landing` is the landing's own, where it lies on the same server."""
        self._client = client
        server = client.server
        self._database = server.database
        self.label = f"{server.host}:{server.port}/{server.database}"
        self._sources = self._found()
        self._beside = set[str]() if landing is None else self._readable_by(landing)

    def plan(self, bounds: Bounds, state: Mapping[str, Any]) -> Plan:
        """See `Store`."""
        chunks: list[Chunk] = []
        notes: dict[str, Any] = {}
        for source in self._sources:
            known = state.get(source.name) or {}
            replicas = {} if bounds.timed else self._replicas(source)
            cells = self._cells(_within(source, bounds), _changed(known, replicas))
            noted: dict[str, Any] = known.get("days", {})
            new = [
                cell
                for cell in cells
                if noted.get(cell.partition, {}).get(str(cell.day)) != [cell.rows, cell.digest]
            ]
            known_days = set(cells) - set(new)
            chunks += map(
                self._selected,
                self._chunks(_within(source, bounds), new, CHUNK_ROWS, known_days),
            )
            days = {
                partition: {str(cell.day): [cell.rows, cell.digest] for cell in group}
                for partition, group in groupby(cells, itemgetter(0))
            }
            # a replica that is away now brings no row that it had by then
            notes[source.name] = {
                "replicas": {**known.get("replicas", {}), **replicas},
                "days": {**noted, **days},
            }
        return Plan(chunks, notes)

    def ids(self, chunk: Chunk) -> pa.Table:
        """See `Store`."""
        part: _Part = chunk.key
        batches = self._client.stream(
            part.select(f"{part.source.id} as {ID}"),
            part.values,
            expected=self._count(part),
            or_more=True,
        )
        columns = [batch.column(0).cast(pa.string()) for batch in batches]
        return pa.table({ID: pa.chunked_array(columns, pa.string())})

    @contextmanager
    def read(self, chunk: Chunk, wanted: pa.Table | None) -> Iterator[Reading]:
        """See `Store`."""
        part: _Part = chunk.key
        if wanted is not None:
            ids = wanted.column(ID).to_pylist()
            if part.source.columns[_id(part.source.columns)] == "UUID":
                listed, values = many("ids", ids, "UUID")
                part = part.narrowed(f"{part.source.key} in {listed}", values)
            else:
                listed, values = many("ids", ids, "String")
                part = part.narrowed(f"{part.source.id} in {listed}", values)
        reading = Reading(self._count(part) if part.rows is None else part.rows, iter(()))
        reading.rows = self._rows(part, reading)
        yield reading

    def counts(self, bounds: Bounds) -> Iterator[Group]:
        """See `CountedStore`."""
        for source in self._sources:
            within = _within(source, bounds)
            by = (
                f"toValidUTF8({source.env_id}), if({source.is_dated}, {source.day}, null), "
                f"toValidUTF8({source.event})"
            )
            for chunk in self._chunks(within, self._cells(within, None), _COUNTED_ROWS):
                part: _Part = chunk.key
                for row in self._client.rows(
                    part.select(f"{by}, uniqExact({source.key})") + f" group by {by}",
                    part.values,
                ):
                    yield Group(*row)

    def usage(self) -> Iterator[tuple[str, date, int, int]]:
        """See `CountedStore`; FeatBit keeps its account in PostgreSQL or MongoDB."""
        return iter(())

    def named(self, kind: Kind) -> str:
        """See `KeepingStore`."""
        return kind.table

    @contextmanager
    def records(self, kind: Kind, envs: Sequence[str]) -> Iterator[Records | None]:
        """See `KeepingStore`; FeatBit keeps flags and users in PostgreSQL or MongoDB."""
        del kind, envs
        yield None

    def _count(self, part: _Part) -> int:
        return self._client.number(part.select("count()"), part.values)

    def _rows(self, part: _Part, reading: Reading) -> Iterator[Rows]:
        came = 0
        for batch in self._client.batches(part.select(part.source.selected), part.values):
            came += batch.num_rows
            # what came since the rows were counted is read, too, and its day looked at again
            reading.expected = max(reading.expected, came)
            yield _landing_rows(part.source, batch)
        if came < reading.expected:
            # some may have been deleted since the plan was made
            reading.expected = max(self._count(part), came)

    def _replicas(self, source: _Source) -> dict[str, dict[str, list[int]]]:
        """Newest block and rows of each partition on each replica; empty where we may not look."""
        database, table = source.stored
        values = {"database": database, "table": table}
        replica = "concat(hostName(), ':', toString(tcpPort()))"
        try:
            made = dict(
                self._client.rows(
                    f"select {replica} as replica, toString(any(uuid)) from {source.tables} "
                    "where database = {database:String} and name = {table:String} group by replica",
                    values,
                    self._client.changeable({"skip_unavailable_shards": 1}),
                )
            )
            rows = self._client.rows(
                f"select {replica} as replica, partition_id, max(max_block_number), sum(rows) "
                f"from {source.parts} where active and database = {{database:String}} "
                "and table = {table:String} group by replica, partition_id "
                "order by replica, partition_id",
                values,
                self._client.changeable({"skip_unavailable_shards": 1}),
            )
        except ServerError as error:
            if error.code not in REFUSALS:
                raise
            talk.say(
                f"{self.label}: no right to read {source.parts}, so all of {source.name} is looked "
                "through; see docs/sources.md"
            )
            return {}
        found: dict[str, dict[str, list[int]]] = {}
        for replica_name, partition, block, held in rows:
            # a table that was made anew begins with its first block again
            key = f"{replica_name} {made.get(replica_name, '')}"
            found.setdefault(key, {})[partition] = [block, held]
        return found

    def _cells(self, part: _Part, partitions: Sequence[str] | None) -> list[_Cell]:
        """Rows and ids by partition and day; of all partitions where None."""
        if partitions is not None:
            if not partitions:
                return []
            listed, values = many("partitions", partitions, "String")
            part = part.narrowed(f"_partition_id in {listed}", values)
        source = part.source
        return [
            _Cell(*row)
            for row in self._client.rows(
                part.select(
                    f"_partition_id as in_partition, {source.day} as on_day, count(), "
                    f"sum(cityHash64({source.key}))"
                )
                + " group by in_partition, on_day order by in_partition, on_day",
                part.values,
            )
        ]

    def _chunks(
        self, part: _Part, cells: Iterable[_Cell], most: int, others: Collection[_Cell] = ()
    ) -> Iterator[Chunk]:
        """Days put together, or one cut up, so that no chunk has many more rows than `most`.

        `others` are days of these partitions that are to be left out.
        """
        gathered: list[_Cell] = []
        for cell in cells:
            if gathered and sum(one.rows for one in gathered) + cell.rows > most:
                yield _together(part, gathered, others)
                gathered = []
            if cell.rows > most:
                yield from self._cut(part, cell, most)
            else:
                gathered.append(cell)
        if gathered:
            yield _together(part, gathered, others)

    def _cut(self, part: _Part, cell: _Cell, most: int) -> Iterator[Chunk]:
        """A day cut at minutes, and a minute that is too full by its ids."""
        source = part.source
        whole: _Part = _together(part, [cell], ()).key
        by_minute = whole.select(f"{_floor(source.micros, _MINUTE)} as of_minute, count() as found")
        for first, end, rows in self._client.rows(
            f"""
            select min(of_minute), max(of_minute) + {_MINUTE}, toInt64(sum(found))
            from (
                select
                    of_minute, found,
                    sum(found) over (order by of_minute rows unbounded preceding) as until_here
                from (
                    {by_minute} group by of_minute
                )
            )
            group by intDiv(until_here - 1, {most})
            order by 1
            """,
            whole.values,
        ):
            window = whole.narrowed(
                f"{source.micros} >= {{first:Int64}} and {source.micros} < {{end:Int64}}",
                {"first": first, "end": end},
            )
            slices = -(-rows // most) if rows > 2 * most else 1
            for number in range(slices):
                sliced = replace(window, rows=rows)
                if slices > 1:
                    sliced = window.narrowed(f"cityHash64({source.key}) % {slices} = {number}")
                yield Chunk(source.name, rows // slices, sliced)

    def _readable_by(self, landing: Client) -> set[str]:
        """Sources of which the landing's own server can take rows by itself.

        v6's are not among them: the text of their properties is written here.
        """
        readable = set()
        for source in self._sources:
            if source.table is not EVENTS:
                continue
            try:
                landing.rows(f"{_Part(source).select(source.landed)} limit 0")
            except ServerError as error:
                if error.code not in REFUSALS:
                    raise
                talk.say(
                    f"{self.label}: user {landing.server.user!r} has no right to read "
                    f"{source.name}, so its rows are sent through here; grant select on "
                    f"{source.quoted} to have the server take them by itself"
                )
            else:
                readable.add(source.name)
        return readable

    def _selected(self, chunk: Chunk) -> Chunk:
        """The chunk, with how the landing's own server reads it where it can."""
        part: _Part = chunk.key
        source = part.source
        if source.name not in self._beside:
            return chunk
        odd = part.narrowed(f"not ({source.is_event})")
        ids = f"{source.id} as {ID}"
        selection = Selection(
            f"{self.label} {source.name}",
            part.narrowed(source.is_event).select(source.landed),
            part.select(ids),
            odd.select(ids),
            part.values,
        )
        return replace(chunk, selection=selection, odd=odd)

    def _found(self) -> list[_Source]:
        """The tables of events that are there.

        Raises:
            FlagmartError: there is none, or one is not known.
        """
        names = [one for table, _ in _TABLES for one in (_OVER_SHARDS + table, table)]
        listed, values = many("names", names, "String")
        values["database"] = self._database
        there = {
            table: (engine, full)
            for table, engine, full in self._client.rows(
                "select name, engine, engine_full from system.tables "
                f"where database = {{database:String}} and name in {listed}",
                values,
            )
        }
        sources = []
        for plain, table in _TABLES:
            chosen = next((one for one in (_OVER_SHARDS + plain, plain) if one in there), None)
            if chosen is not None:
                sources.append(self._source(plain, chosen, table, *there[chosen]))
        if not sources:
            raise FlagmartError(
                f"ClickHouse at {self.label} has no table events that user "
                f"{self._client.server.user!r} may read, and none of FeatBit v6; name the database "
                f"FeatBit keeps its events in by FLAGMART_FEATBIT_CLICKHOUSE_DATABASE"
            )
        return sources

    def _source(self, plain: str, chosen: str, table: Table, engine: str, full: str) -> _Source:
        columns = dict(
            self._client.rows(
                "select name, type from system.columns where database = {database:String} "
                "and table = {table:String} order by position",
                {"database": self._database, "table": chosen},
            )
        )
        where = f"ClickHouse at {self.label}"
        found = {column: _kind(kind) for column, kind in columns.items()}
        check_columns(where, chosen, found, _wanted(table, columns))
        parts, tables, stored = "system.parts", "system.tables", (self._database, chosen)
        if engine == "Distributed":
            cluster, *held = _arguments(full)[:3]
            replicas = f"clusterAllReplicas({literal(cluster)}, system"
            parts, tables = f"{replicas}, parts)", f"{replicas}, tables)"
            stored = (held[0], held[1])
        elif not engine.endswith("MergeTree"):
            raise FlagmartError(
                f"{where}: {chosen} is a table of engine {engine}; FeatBit's are MergeTree"
            )
        quoted = f"{name(self._database)}.{name(chosen)}"
        return _Source(plain, table, quoted, columns, parts, tables, stored)


@contextmanager
def connected() -> Iterator[ClickHouseStore]:
    """The ClickHouse that `settings.featbit_clickhouse` names.

    Raises:
        UsageError: the environment names none.
        FlagmartError: it cannot be reached, refuses, or has no tables that can be read.
    """
    server = settings.featbit_clickhouse()
    with ExitStack() as opened:
        client = opened.enter_context(client_of(server, only_reads=True))
        landing = None
        if settings.engine() is Engine.CLICKHOUSE:
            own = settings.clickhouse()
            if (own.host, own.port) == (server.host, server.port):
                landing = opened.enter_context(client_of(own))
        yield ClickHouseStore(client, landing)


def _wanted(table: Table, columns: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """The types each column may have; optional columns only where they are."""
    wanted = {_id(columns): _TEXTS}
    for column in (*table.needed, *(one for one in table.optional if one in columns)):
        wanted[column] = _NUMBERS if column == "numeric_value" else _TEXTS
    wanted[table.moment] = _TIMES
    for column in ("_timestamp", "created_at"):
        if column in columns:
            wanted[column] = _TIMES
    return wanted


def _id(columns: Mapping[str, str]) -> str:
    return "id" if "id" in columns and "uuid" not in columns else "uuid"


def _kind(kind: str) -> str:
    """A type without its arguments and without LowCardinality, which is how a column is kept."""
    if inner := re.fullmatch(r"LowCardinality\((.*)\)", kind):
        return _kind(inner[1])
    if (inner := re.fullmatch(r"Nullable\((.*)\)", kind)) and inner[1] == "String":
        return inner[1]
    return kind if kind.startswith("Nullable") else kind.partition("(")[0]


def _text(column: str, columns: Mapping[str, str]) -> str:
    kind = columns[column]
    text = name(column) if _kind(kind) == "String" else f"toString({name(column)})"
    if "LowCardinality" in kind:
        text = f"toString({name(column)})"  # else it comes as a dictionary
    return f"ifNull({text}, '')" if "Nullable" in kind else text


def _is_millis(kind: str) -> bool:
    digits = re.match(r"DateTime64\((\d)", kind)
    return digits is not None and int(digits[1]) <= 3


def _micros(column: str, columns: Mapping[str, str]) -> str:
    kind = columns[column]
    if not kind.startswith("DateTime64"):
        return f"toInt64(toUnixTimestamp({name(column)})) * 1000000"
    if _is_millis(kind):
        return f"toUnixTimestamp64Milli({name(column)}) * 1000"
    return f"toUnixTimestamp64Micro({name(column)})"


def _floor(number: str, step: int) -> str:
    """The multiple of `step` at or below it, before 1970, too."""
    return f"({number} - positiveModulo({number}, {step}))"


def _moment(micros: str) -> str:
    return f"fromUnixTimestamp64Micro({micros}, 'UTC')"


def _arguments(engine: str) -> list[str]:
    """The names in `Distributed('cluster', 'database', 'table', …)`."""
    return [re.sub(r"\\(.)", r"\1", text) for text in re.findall(r"'((?:[^'\\]|\\.)*)'", engine)]


def _within(source: _Source, bounds: Bounds) -> _Part:
    part = _Part(source)
    if bounds.envs:
        listed, values = many("envs", bounds.envs, "String")
        part = part.narrowed(f"{source.env_id} in {listed}", values)
    for moment, sign, value in ((bounds.since, ">=", "since"), (bounds.until, "<", "until")):
        if moment is not None:
            micros = (moment - _EPOCH) // timedelta(microseconds=1)
            part = part.narrowed(f"{source.micros} {sign} {{{value}:Int64}}", {value: micros})
    return part


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _changed(
    known: Mapping[str, Any], replicas: Mapping[str, Mapping[str, list[int]]]
) -> list[str] | None:
    """Partitions that some replica has otherwise than it was noted; None for all of them."""
    noted = known.get("replicas", {})
    if not noted or not replicas:
        return None
    return sorted(
        {
            partition
            for replica, partitions in replicas.items()
            for partition, state in partitions.items()
            if noted.get(replica, {}).get(partition) != state
        }
    )


def _together(part: _Part, cells: Sequence[_Cell], others: Collection[_Cell]) -> Chunk:
    source = part.source
    partitions = sorted({cell.partition for cell in cells})
    first, last = min(cell.day for cell in cells), max(cell.day for cell in cells)
    listed, values = many("partitions", partitions, "String")
    part = part.narrowed(f"_partition_id in {listed}", values)
    is_dated = first in _DATES and last in _DATES
    if is_dated:
        # finds its place in the order of the table
        moment = name(source.table.moment)
        part = part.narrowed(
            f"{moment} >= toDateTime64({first * 86_400}, 0, 'UTC') "
            f"and {moment} < toDateTime64({(last + 1) * 86_400}, 0, 'UTC')"
        )
    whole = len(partitions) == 1 and not any(
        other.partition == partitions[0] and first < other.day < last for other in others
    )
    if not (is_dated and whole):
        of_cell, values = many("of_cell", [cell.partition for cell in cells], "String")
        on_day, days = many("on_day", [cell.day for cell in cells], "Int64")
        part = part.narrowed(
            f"(_partition_id, {source.day}) in arrayZip({of_cell}, {on_day})", {**values, **days}
        )
    rows = sum(cell.rows for cell in cells)
    return Chunk(source.name, rows, replace(part, rows=rows))


def _landing_rows(source: _Source, rows: pa.RecordBatch) -> Rows:
    readable = rows.column(READABLE).cast(pa.bool_())
    refused: list[Refused] = []
    if pc.all(readable).as_py() is False:
        refused = [
            Refused(row[ID].decode(), NOT_UTF8, _shown(row))
            for row in _as_bytes(rows.filter(pc.invert(readable)), (ID, *source.texts)).to_pylist()
        ]
        rows = rows.filter(readable)
    landed, more = landing_rows(source.table, rows, source.name)
    return landed, refused + more


def _as_bytes(rows: pa.RecordBatch, columns: Sequence[str]) -> pa.Table:
    return pa.table({column: rows.column(column).cast(pa.binary()) for column in columns})


def _shown(row: Mapping[str, bytes]) -> str:
    return str({column: text.decode(errors="backslashreplace") for column, text in row.items()})
