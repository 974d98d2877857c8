"""FeatBit's PostgreSQL: `events` (`events_legacy` after v6's migration) and v6's two tables.

`events` keeps no arrival time and has no index on time alone. A table is read whole in the order of
its heap, so many blocks at a time (a TID range scan), which needs no index and no sorting. What is
new is found by the client's clock: `events` has an index (distinct_id, event, env_id, timestamp)
with few different beginnings, so each beginning is looked up and of each only the window is read.
v6's tables have `created_at`, the database's clock when the row was inserted, and no index that
begins with it: what is new is found by one pass over the heap, which sees late rows, too.

Rows come as Arrow through COPY, which takes no parameters. Values travel beside it instead, as
settings of the transaction, set by a statement that takes them as parameters.
"""
# ruff: noqa: S608 - statements are made of our own text and of names quoted by the server.

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from flagmart import settings
from flagmart.errors import FlagmartError, UsageError
from flagmart.ingest.event_tables import EVENTS, EXPOSURES, METRIC_EVENTS, METRICS, Table
from flagmart.ingest.store_rows import (
    ARRIVED,
    ID,
    MISDATED,
    MOMENT,
    Rows,
    check_columns,
    landing_rows,
)
from flagmart.ingest.stores import Bounds, Chunk, Plan, Reading
from flagmart.ingest.timestamps import Moment
from flagmart.ingest.version_stores import Records
from flagmart.ingest.versions import CHANGED
from flagmart.warehouse.landed import Group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from flagmart.ingest.versions import Kind, Record

URL = "FLAGMART_POSTGRES_URL"

_TABLES: tuple[tuple[str, Table], ...] = (
    ("events", EVENTS),
    ("events_legacy", EVENTS),
    ("experiment_exposure_events", EXPOSURES),
    ("experiment_metric_events", METRICS),
    ("release_decision_exposure_events", EXPOSURES),
    ("release_decision_metric_events", METRICS),
)
"""Names a table of events has had, in FeatBit's releases and v6's drafts."""

_TEXTS = frozenset(("text", "character varying", "character", "uuid"))
_JSON = frozenset(("jsonb", "json", "text"))
_TIMES = frozenset(("timestamp without time zone", "timestamp with time zone"))
_NUMBERS = frozenset(("double precision", "real", "numeric", "integer", "bigint"))
_AS_TEXT = frozenset(("text", "character varying", "jsonb", "json"))
"""Types the driver hands over as text."""

_TRUTHS = frozenset(("boolean",))
_DIMENSION_TYPES = {
    "variations": _JSON,
    "customized_properties": _JSON,
    "is_enabled": _TRUTHS,
    "is_archived": _TRUTHS,
    CHANGED: _TIMES,
}
"""What the tables of flags and users hold that is no text."""

_STREAM_ERRORS = (pa.ArrowException, OSError)
"""What Arrow may make of an error of the driver's in mid-stream."""

BLOCKS = 4_096
"""Blocks of 8 kB read at a time: 32 MB of a table, some 50,000 events."""
_WINDOW_ROWS = 50_000
"""Events a window of the client's clock holds, about; it is cut at whole minutes."""
_MOST_BY_INDEX = 0.2
"""The share of a table above which its heap is read in order. By the index an id took 5 µs, since
each row is a step through the heap; in order 1.7 µs for every row of the table."""
_OVERLAP = timedelta(hours=1)
"""How long after its `created_at` a row may still be committed and be found by the next run."""
_OLDEST_RELEASE = 140_000

_SETTINGS = {
    # a row is a name and a position for us; zones and formats of the server's owner are not
    "timezone": "UTC",
    "datestyle": "ISO",
    # no chunk takes minutes; who waits for us, or we for them, is let go
    "statement_timeout": "15min",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "15min",
    # compiling takes longer than a chunk
    "jit": "off",
}


@dataclass(frozen=True)
class _Source:
    """A table that is there, and how to read it."""

    name: str
    table: Table
    quoted: str
    """With its schema."""
    columns: Mapping[str, str]
    """Type by name."""
    blocks: int
    rows: float
    """As the server estimates it."""
    by_key: bool
    """Whether it has the index that begins with distinct_id, event, env_id, timestamp."""

    @property
    def moment(self) -> str:
        """The client's clock as a timestamp without zone, in UTC."""
        return _in_utc(self.table.moment, self.columns)

    @property
    def id(self) -> str:
        """The id as it lands."""
        # a uuid is spelled in lower case
        return f"id::text as {ID}" if self.columns["id"] == "uuid" else f"lower(id::text) as {ID}"

    @property
    def is_dated(self) -> str:
        """Whether the client's clock shows a day of a calendar."""
        return (
            f"{self.moment} >= timestamp '0001-01-01' and {self.moment} < timestamp '10000-01-01'"
        )

    @property
    def event(self) -> str:
        """What the landing calls the event."""
        if self.table is EVENTS:
            return "coalesce(event, '')"
        if self.table is EXPOSURES:
            return "'FlagValue'"
        if "event_type" not in self.columns:
            return "'CustomEvent'"
        names = ", ".join(f"'{name}'" for name in sorted(METRIC_EVENTS))
        return f"case when event_type in ({names}) then event_type::text else 'CustomEvent' end"

    @property
    def selected(self) -> str:
        """The columns that `landing_rows` takes."""
        inside = self.is_dated
        texts = [
            f'"{name}"' + ("" if self.columns[name] in _AS_TEXT else "::text") + f' as "{name}"'
            for name in self.table.texts
            if name in self.columns
        ]
        arrived = (
            [f"{_in_utc('created_at', self.columns)} as {ARRIVED}"]
            if "created_at" in self.columns
            else []
        )
        return ", ".join(
            [
                self.id,
                *texts,
                f"case when {inside} then {self.moment} end as {MOMENT}",
                f"case when not ({inside}) then {self.moment}::text end as {MISDATED}",
                *arrived,
            ]
        )


@dataclass(frozen=True)
class _Relation:
    """A table as the server's catalog has it."""

    quoted: str
    """With its schema."""
    columns: Mapping[str, str]
    """Type by name."""
    estimated: float
    """Rows, as the server last counted."""
    blocks: int


@dataclass(frozen=True)
class _Part:
    """Some rows of a table: conditions, and the settings that hold their values."""

    source: _Source
    where: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    by_key: bool = False

    def narrowed(self, condition: str, **values: str) -> _Part:
        return replace(self, where=(*self.where, condition), values={**self.values, **values})

    def select(self, what: str) -> str:
        """A statement for `what` of these rows."""
        where = " and ".join(self.where) or "true"
        if not self.by_key:
            return f"select {what} from only {self.source.quoted} where {where}"
        # one step through the index for each beginning it has, then only its rows in the window;
        # `offset 0` keeps the planner from joining the other way round, through the whole table
        table = f"only {self.source.quoted}"
        return f"""
            with recursive beginnings as (
                (
                    select distinct_id, event, env_id from {table}
                    order by distinct_id, event, env_id limit 1
                )
                union all
                select following.*
                from beginnings
                cross join lateral (
                    select later.distinct_id, later.event, later.env_id from {table} as later
                    where (later.distinct_id, later.event, later.env_id)
                        > (beginnings.distinct_id, beginnings.event, beginnings.env_id)
                    order by later.distinct_id, later.event, later.env_id limit 1
                ) as following
            )
            select {what}
            from (
                select found.*
                from beginnings
                cross join lateral (
                    select * from {table} as inside
                    where inside.distinct_id = beginnings.distinct_id
                        and inside.event = beginnings.event
                        and inside.env_id = beginnings.env_id
                        and {where}
                    offset 0
                ) as found
            ) as found
        """


class PostgresStore:
    """See `Store`."""

    kind = "postgres"

    def __init__(self, connection: dbapi.Connection, server: str) -> None:
        self._connection = connection
        self.label = server
        with self._snapshot({}) as cursor:
            (database, release) = _one(
                cursor, "select current_database(), current_setting('server_version_num')::int"
            )
            self.label = f"{server}/{database}"
            if release < _OLDEST_RELEASE:
                raise FlagmartError(
                    f"PostgreSQL at {self.label} is release {release // 10_000}; flagmart reads "
                    f"{_OLDEST_RELEASE // 10_000} or newer, which can read a table by ranges"
                )

    @cached_property
    def _sources(self) -> list[_Source]:
        # asked for when they are wanted: FeatBit with ClickHouse keeps no events here
        with self._snapshot({}) as cursor:
            return self._found(cursor)

    def plan(self, bounds: Bounds, state: Mapping[str, Any]) -> Plan:
        """See `Store`."""
        with self._snapshot({}) as cursor:
            (now,) = _one(cursor, "select clock_timestamp() at time zone 'UTC'")
        chunks: list[Chunk] = []
        for source in self._sources:
            since = state.get(source.name)
            read_at = None if since is None else datetime.fromisoformat(since)
            chunks += self._chunks(source, bounds, read_at)
        return Plan(chunks, {source.name: now.isoformat() for source in self._sources})

    def ids(self, chunk: Chunk) -> pa.Table:
        """See `Store`."""
        part: _Part = chunk.key
        with self._snapshot(part.values) as cursor:
            cursor.execute(part.select(part.source.id))
            with self._named(*_STREAM_ERRORS):
                return cursor.fetch_arrow_table()

    @contextmanager
    def read(self, chunk: Chunk, wanted: pa.Table | None) -> Iterator[Reading]:
        """See `Store`."""
        part: _Part = chunk.key
        source = part.source
        if wanted is not None:
            ids = ",".join(wanted.column(ID).to_pylist())
            kind = source.columns["id"]
            part = _Part(source).narrowed(
                f"id = any((select current_setting('flagmart.ids'))::{kind}[])", ids=f"{{{ids}}}"
            )
        with self._snapshot(part.values) as cursor:
            (expected,) = _one(cursor, part.select("count(*)"))
            cursor.execute(part.select(source.selected))
            yield Reading(expected, self._rows(source, cursor.fetch_record_batch()))

    def counts(self, bounds: Bounds) -> Iterator[Group]:
        """See `CountedStore`."""
        for source in self._sources:
            part = _between(_Part(source), _naive(bounds.since), _naive(bounds.until))
            part = _of_envs(part, bounds.envs)
            day = (
                f"case when {source.is_dated} then "
                f"floor(extract(epoch from {source.moment}) / 86400)::bigint end"
            )
            with self._snapshot(part.values) as cursor:
                cursor.execute(
                    part.select(f"coalesce(env_id::text, ''), {day}, {source.event}, count(*)")
                    + " group by 1, 2, 3"
                )
                rows = cursor.fetchall()
            for row in rows:
                yield Group(*row)

    def usage(self) -> Iterator[tuple[str, date, int, int]]:
        """See `CountedStore`: `usage_event_stats`, from FeatBit 5.3.2 on."""
        with self._snapshot({}) as cursor:
            found = _all(cursor, "select to_regclass('usage_event_stats') is not null")
            if found != [(True,)]:
                return
            cursor.execute(
                "select env_id::text, stats_date, flag_evaluations::bigint, "
                "custom_metrics::bigint from usage_event_stats order by 1, 2"
            )
            yield from cursor.fetchall()

    def named(self, kind: Kind) -> str:
        """See `KeepingStore`."""
        return kind.table

    @contextmanager
    def records(self, kind: Kind, envs: Sequence[str]) -> Iterator[Records | None]:
        """See `KeepingStore`."""
        with self._snapshot({"envs": json.dumps(envs)} if envs else {}) as cursor:
            found = self._relation(cursor, kind.table)
            if found is None:
                yield None
                return
            columns = [name for name in kind.columns if name in found.columns]
            wanted = dict.fromkeys(("env_id", *kind.needed, *columns), _TEXTS)
            wanted |= {name: types for name, types in _DIMENSION_TYPES.items() if name in wanted}
            check_columns(self._place, kind.table, found.columns, wanted)
            rows = f"from only {found.quoted}" + (f" where {_OF_ENVS}" if envs else "")
            (expected,) = _one(cursor, f"select count(*) {rows}")
            selected = ", ".join(
                f'floor(extract(epoch from case when isfinite("{name}") then "{name}" end) * 1e6)'
                f'::bigint as "{name}"'
                if name == CHANGED
                else f'"{name}"::text as "{name}"'
                for name in columns
            )
            cursor.execute(f"select {selected} {rows}")
            yield Records(expected, self._records(cursor.fetch_record_batch()))

    def _records(self, batches: pa.RecordBatchReader) -> Iterator[list[tuple[Record, str]]]:
        while True:
            with self._named(*_STREAM_ERRORS):
                batch = next(batches, None)
            if batch is None:
                return
            records = batch.to_pylist()
            for record in records:
                if record.get(CHANGED) is not None:
                    record[CHANGED] = Moment(record[CHANGED])
            yield [(record, "") for record in records]

    def _rows(self, source: _Source, batches: pa.RecordBatchReader) -> Iterator[Rows]:
        while True:
            # what the landing does with a batch is outside, its errors are not the store's
            with self._named(*_STREAM_ERRORS):
                batch = next(batches, None)
            if batch is None:
                return
            yield landing_rows(source.table, batch, source.name)

    def _chunks(self, source: _Source, bounds: Bounds, read_at: datetime | None) -> Iterator[Chunk]:
        part = _Part(source)
        part = _of_envs(part, bounds.envs)
        since = _naive(bounds.since)
        if read_at is not None and source.table is EVENTS:
            since = read_at - timedelta(hours=settings.look_back_hours())
        elif read_at is not None:
            part = part.narrowed(
                f"{_in_utc('created_at', source.columns)} >= {_setting('arrived')}",
                arrived=(read_at - _OVERLAP).isoformat(),
            )
        part = _between(part, since, _naive(bounds.until))
        if since is not None and source.by_key:
            windows = self._windows(part, since, _naive(bounds.until))
            if sum(chunk.rows for chunk in windows) <= _MOST_BY_INDEX * source.rows:
                yield from windows
                return
        # the last range has no end, since the table may grow meanwhile
        for first in range(0, max(source.blocks, 1), BLOCKS):
            end = first + BLOCKS
            blocks = min(end, source.blocks) - first
            ranged = part.narrowed(f"ctid >= {_setting('first', 'tid')}", first=f"({first},0)")
            if end < source.blocks:
                ranged = ranged.narrowed(f"ctid < {_setting('end', 'tid')}", end=f"({end},0)")
            rows = round(source.rows * blocks / max(source.blocks, 1))
            yield Chunk(source.name, rows, ranged)

    def _windows(self, part: _Part, since: datetime, until: datetime | None) -> list[Chunk]:
        """The window cut at minutes, so that no part holds many more rows than another."""
        part = replace(part, by_key=True)
        source = part.source
        minute = f"least({source.moment}, timestamp '9999-12-31')"
        with self._snapshot(part.values) as cursor:
            cursor.execute(
                part.select(
                    f"floor(extract(epoch from {minute}) / 60)::bigint as minute, count(*) as found"
                )
                + " group by 1 order by 1"
            )
            counts = cursor.fetch_arrow_table()
        parts: list[tuple[datetime, int]] = []
        for minute, found in zip(*(column.to_pylist() for column in counts.columns), strict=True):
            if not parts or parts[-1][1] + found > _WINDOW_ROWS:
                parts.append((_EPOCH + timedelta(minutes=minute), 0))
            first, rows = parts[-1]
            parts[-1] = first, rows + found
        edges = [since, *(first for first, _ in parts[1:]), until]
        sizes = [rows for _, rows in parts] or [0]
        return [
            Chunk(source.name, rows, _between(part, first, end))
            for (first, end), rows in zip(pairwise(edges), sizes, strict=True)
        ]

    def _found(self, cursor: dbapi.Cursor) -> list[_Source]:
        """The tables of events that are there.

        Raises:
            FlagmartError: there is none, one is not known, or may not be read.
        """
        sources = []
        for name, table in _TABLES:
            found = self._relation(cursor, name)
            if found is None:
                continue
            check_columns(self._place, name, found.columns, _wanted(table, found.columns))
            # an estimate of -1 means that the table has never been looked at
            known = found.estimated if found.estimated > 0 else found.blocks * 10
            by_key = _by_key(cursor, found.quoted)
            sources.append(
                _Source(name, table, found.quoted, found.columns, found.blocks, known, by_key)
            )
        if not sources:
            raise FlagmartError(
                f"PostgreSQL at {self.label} has no table events, and none of FeatBit v6; name "
                "the database FeatBit keeps its events in, and the schema by PGOPTIONS="
                "-csearch_path=… where it is not public"
            )
        return sources

    def _relation(self, cursor: dbapi.Cursor, name: str) -> _Relation | None:
        """A table as the server knows it; None where there is none.

        Raises:
            FlagmartError: it is no plain table, or may not be read.
        """
        rows = _all(
            cursor,
            """
            select
                relation.oid::regclass::text, relation.relkind::text, relation.reltuples,
                pg_relation_size(relation.oid)
                    / current_setting('block_size')::bigint as blocks,
                has_table_privilege(relation.oid, 'select'),
                attribute.attname::text, format_type(attribute.atttypid, null)
            from pg_class as relation
            inner join pg_attribute as attribute on attribute.attrelid = relation.oid
            where relation.oid = to_regclass($1) and attribute.attnum > 0
                and not attribute.attisdropped
            order by attribute.attnum
            """,
            name,
        )
        if not rows:
            return None
        quoted, kind, estimated, blocks, readable, *_ = rows[0]
        if kind != "r":
            raise FlagmartError(f"{self._place}: {name} is no plain table, which FeatBit's is")
        if not readable:
            raise FlagmartError(
                f"{self._place}: no right to read table {name}; "
                f"grant select on {quoted} to this user"
            )
        return _Relation(quoted, {row[5]: row[6] for row in rows}, estimated, blocks)

    @property
    def _place(self) -> str:
        return f"PostgreSQL at {self.label}"

    @contextmanager
    def _snapshot(self, values: Mapping[str, str]) -> Iterator[dbapi.Cursor]:
        """A transaction that only reads and sees the store as it is at its beginning."""
        with self._named(), self._connection.cursor() as cursor:
            cursor.execute("begin transaction isolation level repeatable read read only")
            try:
                named = {f"flagmart.{name}": value for name, value in values.items()}
                cursor.execute(
                    "select set_config(key, value, true) from json_each_text($1::text::json)",
                    (json.dumps({**_SETTINGS, **named}),),
                )
                cursor.fetchall()
                yield cursor
            finally:
                with suppress(dbapi.Error):
                    cursor.execute("rollback")

    @contextmanager
    def _named(self, *more: type[Exception]) -> Iterator[None]:
        try:
            yield
        except (dbapi.Error, *more) as error:
            raise FlagmartError(f"{self._place}: {_told(error)}") from error


@contextmanager
def connected() -> Iterator[PostgresStore]:
    """The PostgreSQL named by `FLAGMART_POSTGRES_URL`, or as libpq does by its own variables.

    Raises:
        UsageError: the environment names none.
        FlagmartError: it cannot be reached, refuses, or has no tables that can be read.
    """
    url = os.environ.get(URL) or "postgresql://"
    server = _server(url)
    try:
        connection = dbapi.connect(url, autocommit=True)
    except dbapi.Error as error:
        raise FlagmartError(f"PostgreSQL at {server}: {_told(error)}") from None
    with connection:
        yield PostgresStore(connection, server)


def _server(url: str) -> str:
    """Host and port as they are asked for, without credentials."""
    if url == "postgresql://":
        if not any(os.environ.get(name) for name in _NAMES_A_SERVER):
            raise UsageError(
                f"no PostgreSQL is named; set {URL} (postgresql://user@host:5432/database) or "
                "libpq's own variables, PGHOST and so on; the password goes best into ~/.pgpass"
            )
        if os.environ.get("PGSERVICE"):
            return f"service {os.environ['PGSERVICE']}"
        host = os.environ.get("PGHOST") or os.environ.get("PGHOSTADDR") or "localhost"
        return f"{host}:{os.environ.get('PGPORT') or '5432'}"
    try:
        parts = urlsplit(url)
        host, port = unquote(parts.hostname or ""), parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.scheme not in ("postgresql", "postgres") or not host:
        # what is wrong with it is not repeated, since it may be the password
        raise UsageError(
            f"{URL} is no address of PostgreSQL; write it like "
            "postgresql://user:password@host:5432/database, with signs other than letters and "
            "digits in the password as % and two digits"
        )
    return f"{host}:{port or os.environ.get('PGPORT') or '5432'}"


_NAMES_A_SERVER = ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE", "PGPORT", "PGUSER")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC, as PostgreSQL's timestamps without zone


def _told(error: Exception) -> str:
    """What a failure was, in one line and without the statement."""
    text = str(error).partition("Query was:")[0]
    for begin, meaning in _MEANINGS:
        if begin in text:
            return meaning
    _, found, after = text.partition("ERROR:")
    if not found:
        after = text.rpartition("[libpq]")[2]
    line = " ".join(re.sub(r"^.*FATAL:", "", after).split())
    return line.partition(" LINE 1:")[0]


_MEANINGS = (
    ("password authentication failed", "wrong user or password"),
    ("no password supplied", "a password is wanted; set PGPASSWORD or put it into ~/.pgpass"),
    ("server closed the connection", "the connection was lost; nothing of this run landed, "
     "run it again"),
    ("no connection to the server", "the connection was lost; nothing of this run landed, "
     "run it again"),
    ("SSL SYSCALL error", "the connection was lost; nothing of this run landed, run it again"),
    ("Connection refused", "nobody answers there (connection refused); see that it runs"),
)  # fmt: skip


def _wanted(table: Table, columns: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """The types each column may have; optional columns only where they are."""
    wanted = {"id": _TEXTS}
    for name in (*table.needed, *(name for name in table.optional if name in columns)):
        wanted[name] = {"properties": _JSON, "numeric_value": _NUMBERS}.get(name, _TEXTS)
    wanted[table.moment] = _TIMES
    if table is not EVENTS:
        wanted["created_at"] = _TIMES
    return wanted


def _by_key(cursor: dbapi.Cursor, quoted: str) -> bool:
    """Whether a table has the index of `events`; FeatBit's name for it may have changed."""
    indexes = _all(
        cursor,
        """
        select array_to_string(array(
            select attribute.attname
            from unnest(indkey::int2[]) with ordinality as key (number, place)
            inner join pg_attribute as attribute
                on attribute.attrelid = indrelid and attribute.attnum = key.number
            order by key.place
        ), ',')
        from pg_index
        where indrelid = to_regclass($1) and indisvalid and indpred is null
        """,
        quoted,
    )
    return any(
        f"{names},".startswith("distinct_id,event,env_id,timestamp,") for (names,) in indexes
    )


def _in_utc(column: str, columns: Mapping[str, str]) -> str:
    name = f'"{column}"'
    return f"({name} at time zone 'UTC')" if "with time zone" in columns[column] else name


def _setting(name: str, kind: str = "timestamp") -> str:
    # asked for once a statement, not once a row
    return f"(select current_setting('flagmart.{name}')::{kind})"


def _between(part: _Part, since: datetime | None, until: datetime | None) -> _Part:
    if since is not None:
        part = part.narrowed(
            f"{part.source.moment} >= {_setting('since')}", since=since.isoformat()
        )
    if until is not None:
        part = part.narrowed(f"{part.source.moment} < {_setting('until')}", until=until.isoformat())
    return part


def _of_envs(part: _Part, envs: tuple[str, ...]) -> _Part:
    if not envs:
        return part
    return part.narrowed(_OF_ENVS, envs=json.dumps(envs))


_OF_ENVS = (
    "env_id::text = any(array(select json_array_elements_text("
    "current_setting('flagmart.envs')::json)))"
)


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def _all(cursor: dbapi.Cursor, statement: str, *values: str) -> Sequence[Any]:
    cursor.execute(statement, values or None)
    return list(cursor.fetchall())


def _one(cursor: dbapi.Cursor, statement: str, *values: str) -> Any:
    (row,) = _all(cursor, statement, *values)
    return row
