"""A small built project on ClickHouse for delivery tests: as ExportProject, without dbt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.export_project import BUILD, META, ExportProject

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

DATABASE = "main"
"""What the artifacts of an ExportProject say."""

_VIEWS = {
    "statsig_events": """
        select
            toUnixTimestamp64Micro(occurred_at) div 1000000 as timestamp,
            'flag_evaluation' as event_name,
            variation as event_value,
            '{"flag":"f1"}' as event_metadata,
            concat('{"userID":"', user_key, '","custom":{},"customIDs":{}}') as user,
            event_id as timeuuid,
            user_key as user_id,
            toDate(occurred_at, 'UTC') as partition_on,
            ingested_at
        from events
        """,
    "hackle_events": """
        select
            event_id as insert_id,
            'flag_evaluation' as event_key,
            fromUnixTimestamp64Milli(toUnixTimestamp64Micro(occurred_at) div 1000, 'UTC') as ts,
            cast(cityHash64(event_id) % 1000000 / 1000 as Decimal(24, 6)) as metric_value,
            map('id', user_key, 'device_id', user_key) as identifiers,
            map('variation', variation) as event_properties,
            cast(map() as Map(String, String)) as user_properties,
            map('osname', 'server', 'version', '1') as platform_properties,
            toDate(occurred_at, 'UTC') as partition_on,
            ingested_at
        from events
        """,
    "segment_tracks": "select * from events",
    "mart": """
        select
            event_id,
            cast(if(variation = 'on', null, user_key) as LowCardinality(Nullable(String))) as who,
            cast(null as Nullable(Float64)) as nothing,
            cast(1.25 as Decimal(38, 4)) as amount,
            variation = 'on' as is_on,
            toUInt8(3) as small,
            cast(null as Nullable(Date)) as never,
            map('k', variation) as tags,
            toDate(occurred_at, 'UTC') as day
        from events
        """,
    "whole": "select event_id, user_key from events",
    "timed": "select event_id, occurred_at from events",
}


@dataclass
class ClickHouseProject(ExportProject):
    """Events, the views on them and what dbt notes, in databases of ClickHouse's."""

    def on(self, client: Client, meta: dict[str, dict[str, str]]) -> ClickHouseProject:
        """300 events over three days; whatever another test has left is dropped."""
        self.client = client
        for database in (DATABASE, f"{DATABASE}_builds"):
            self.do(f"drop database if exists {database}", f"create database {database}")
        self.do(
            """
            create table main.events (
                event_id String, user_key String, variation String,
                occurred_at DateTime64(6, 'UTC'), ingested_at DateTime64(6, 'UTC')
            ) engine = MergeTree order by (occurred_at, event_id)
            """,
            *(
                f"create view main.{name} as {view.replace('from events', 'from main.events')}"
                for name, view in _VIEWS.items()
            ),
            "create table main_builds.builds (invocation_id String, state String) "
            "engine = MergeTree order by ()",
            f"insert into main_builds.builds values ('{BUILD}', 'finished')",
            "create table main_builds.node_results (node_id String, status String) "
            "engine = MergeTree order by ()",
            *(
                f"insert into main_builds.node_results values ('model.flagmart.{name}', 'success')"
                for name in _VIEWS
            ),
        )
        self.insert(rows=300, days=3)
        self.data.mkdir(parents=True, exist_ok=True)
        self.write_artifacts(META | meta)
        return self

    def do(self, *statements: str) -> None:
        for statement in statements:
            self.client.command(statement)

    def insert(
        self,
        *,
        rows: int,
        days: int = 1,
        first_day: str = "2026-03-01",
        run: str = "2026-03-05 00:00:00",
        prefix: str = "a",
    ) -> None:
        """One more ingest run; rows that are next to each other lie far apart in time."""
        self.client.command(
            """
            insert into main.events
            select
                concat({prefix:String}, '-', leftPad(toString(number), 8, '0')),
                concat('user-', toString(number % 97)),
                if(number % 3 = 0, 'on', 'Ünïcode ✓'),
                addMicroseconds(
                    toDateTime64({day:String}, 6, 'UTC') + toIntervalDay(number % {days:UInt32}),
                    (number * 1237713) % 86000000000
                ),
                toDateTime64({run:String}, 6, 'UTC')
            from numbers({rows:UInt64})
            """,
            {"prefix": prefix, "day": first_day, "days": days, "rows": rows, "run": run},
        )
