"""FeatBit's tables on PostgreSQL, as its releases make them, and events put into them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from support.postgres_server import PostgresServer

EVENTS = """
    create table {name} (
        id uuid primary key,
        distinct_id varchar not null,
        env_id varchar,
        event varchar,
        properties jsonb,
        timestamp timestamp not null
    )
"""
INDEX = "create index idx_events_combined on {name} (distinct_id, event, env_id, timestamp)"
EXPOSURES = """
    create table {name} (
        id uuid primary key,
        env_id uuid not null,
        flag_key varchar(256) not null,
        user_key varchar(512) not null,
        variation_id varchar(256) not null,
        variation_value varchar(512),
        exposed_at timestamptz not null,
        created_at timestamptz not null default now()
    )
"""
METRICS = """
    create table {name} (
        id uuid primary key,
        env_id uuid not null,
        event_name varchar(256) not null,
        event_type varchar(128) not null,
        user_key varchar(512) not null,
        numeric_value double precision not null,
        application_type varchar(128),
        occurred_at timestamptz not null,
        created_at timestamptz not null default now()
    )
"""
FLAGS = """
    create table feature_flags (
        id uuid primary key,
        env_id uuid not null,
        revision uuid not null,
        name varchar(128) not null,
        description text,
        key varchar(128) not null,
        variation_type varchar(64) not null,
        variations jsonb,
        is_enabled boolean not null,
        is_archived boolean not null,
        tags text[],
        created_at timestamptz not null,
        updated_at timestamptz not null
    )
"""
USERS = """
    create table end_users (
        id uuid primary key,
        workspace_id uuid,
        env_id uuid,
        key_id varchar(512) not null,
        name varchar(256) not null,
        customized_properties jsonb,
        created_at timestamptz not null,
        updated_at timestamptz not null
    )
"""
_ROWS_AT_ONCE = 50_000


def make_events(server: PostgresServer, name: str = "events") -> None:
    """The table of events of 5.x, with its one index."""
    server.run(EVENTS.format(name=name), INDEX.format(name=name))


def make_v6(server: PostgresServer) -> None:
    """v6's two tables with their indexes."""
    server.run(
        EXPOSURES.format(name="experiment_exposure_events"),
        METRICS.format(name="experiment_metric_events"),
        "create index on experiment_exposure_events (env_id, flag_key, exposed_at)",
        "create index on experiment_metric_events (env_id, event_name, occurred_at)",
    )


def make_dimensions(server: PostgresServer) -> None:
    """The tables of flags and users, as far as they matter here."""
    server.run(FLAGS, USERS)


def load(server: PostgresServer, envelopes: Iterable[str], name: str = "events") -> None:
    """Put Kafka's envelopes, JSON lines, into a table of events, a repeated id once."""
    for rows in _tables(envelopes):
        with server.connected() as cursor:
            # jsonb and uuid do not come through a binary COPY of text
            cursor.execute(
                "create temporary table arriving (id text, distinct_id text, env_id text,"
                " event text, properties text, micros bigint)"
            )
            cursor.adbc_ingest("arriving", rows, mode="append", temporary=True)
            cursor.execute(
                f"""
                insert into {name}
                select
                    id::uuid, distinct_id, env_id, event, properties::jsonb,
                    timestamp '1970-01-01' + micros * interval '1 microsecond'
                from arriving
                on conflict (id) do nothing
                """
            )


def _tables(envelopes: Iterable[str]) -> Iterator[pa.Table]:
    rows: list[dict[str, Any]] = []
    for line in envelopes:
        event = json.loads(line)
        rows.append(
            {
                "id": event["uuid"],
                "distinct_id": event["distinct_id"],
                "env_id": event["env_id"],
                "event": event["event"],
                "properties": event["properties"],
                "micros": event["timestamp"],
            }
        )
        if len(rows) == _ROWS_AT_ONCE:
            yield pa.Table.from_pylist(rows)
            rows = []
    if rows:
        yield pa.Table.from_pylist(rows)


def insert(server: PostgresServer, rows: Iterable[tuple[str, datetime]], env: str) -> None:
    """Put evaluations into `events`: id and client's clock of each."""
    load(server, evaluations(rows, env))


def evaluations(rows: Iterable[tuple[str, datetime]], env: str) -> list[str]:
    """Kafka's envelopes of evaluations: id and client's clock of each."""
    return [
        json.dumps(
            {
                "uuid": event_id,
                "distinct_id": f"{env}-f",
                "env_id": env,
                "event": "FlagValue",
                "properties": json.dumps({"flagId": f"{env}-f", "userKeyId": "u"}),
                "timestamp": round(moment.replace(tzinfo=UTC).timestamp() * 1_000_000),
            }
        )
        for event_id, moment in rows
    ]
