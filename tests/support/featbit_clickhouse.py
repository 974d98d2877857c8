"""FeatBit's tables on ClickHouse, as its releases make them, and events put into them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa

from support.featbit_postgres import evaluations

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from clickhouse_connect.driver.client import Client

_TAGS = ", ".join(
    f"tag_{number} VARCHAR MATERIALIZED JSONExtractString(properties, 'tag_{number}')"
    for number in range(20)
)
COLUMNS = f"""
    uuid UUID, distinct_id VARCHAR, env_id VARCHAR, event VARCHAR, properties VARCHAR,
    timestamp DateTime64(6, 'UTC'), {_TAGS}, _timestamp DateTime, _offset UInt64
"""
EVENTS = f"""
    create table {{database}}.events ({COLUMNS}) engine = MergeTree
    partition by (env_id, toYYYYMM(timestamp))
    order by (env_id, toDate(timestamp), event, cityHash64(distinct_id))
    sample by cityHash64(distinct_id)
"""
EXPOSURES = """
    create table {database}.{name} (
        id UUID, env_id UUID, flag_key LowCardinality(String), user_key String,
        {more} variation_id LowCardinality(String), variation_value String,
        exposed_at DateTime64({digits}, 'UTC'), created_at DateTime64(3, 'UTC') default now64()
    ) engine = MergeTree partition by (env_id, toYYYYMM(exposed_at))
    order by (env_id, flag_key, exposed_at, cityHash64(user_key))
"""
METRICS = """
    create table {database}.{name} (
        id UUID, env_id UUID, user_key String, {more} event_name LowCardinality(String),
        event_type LowCardinality(String), numeric_value Float64,
        occurred_at DateTime64({digits}, 'UTC'), created_at DateTime64(3, 'UTC') default now64()
    ) engine = MergeTree partition by (env_id, toYYYYMM(occurred_at))
    order by (env_id, event_name, occurred_at, cityHash64(user_key))
"""


def make_events(client: Client, database: str) -> None:
    """The table of events of 1.0 to 5.4, without a cluster."""
    client.command(EVENTS.format(database=database))


def make_v6(client: Client, database: str, *, draft: str = "C") -> None:
    """v6's two tables, of draft A, B or C."""
    begin = "release_decision" if draft == "A" else "experiment"
    digits = 3 if draft == "C" else 6
    for table, more, own in (
        (EXPOSURES, "", f"{begin}_exposure_events"),
        (METRICS, "application_type String,", f"{begin}_metric_events"),
    ):
        if draft != "C":
            more = "user_name String, properties String,"
        client.command(table.format(database=database, name=own, more=more, digits=digits))


def load(client: Client, database: str, envelopes: Iterable[str], arrived: int = 0) -> None:
    """Put Kafka's envelopes, JSON lines, into `events`; as from Kafka, each as often as it comes.

    `arrived` is Kafka's own time of them, in seconds since 1970.
    """
    events = [json.loads(line) for line in envelopes]
    texts = ("uuid", "distinct_id", "env_id", "event", "properties")
    moments = pa.array([event["timestamp"] for event in events], pa.timestamp("us", "UTC"))
    columns = {
        **{text: pa.array([event[text] or "" for event in events], pa.string()) for text in texts},
        "timestamp": moments,
        "_timestamp": pa.array([arrived] * len(events), pa.uint32()),
        "_offset": pa.array(range(len(events)), pa.uint64()),
    }
    client.insert_arrow("events", pa.table(columns), database=database)


def insert(client: Client, database: str, rows: Iterable[tuple[str, datetime]], env: str) -> None:
    """Put evaluations into `events`: id and client's clock of each."""
    load(client, database, evaluations(rows, env))
