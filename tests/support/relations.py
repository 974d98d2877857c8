"""Every relation that dbt builds, row for row, as either engine has it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from support.clickhouse_target import rows
from support.dbt_project import query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

RELATIONS = (
    "base_featbit__events",
    "stg_featbit__events",
    "stg_featbit__flag_evaluations",
    "stg_featbit__metric_events",
    "stg_featbit__rejected_events",
    "base_prefab__evaluation_counts",
    "stg_prefab__evaluation_counts",
    "base_featbit__versions",
    "stg_featbit__flag_versions",
    "stg_featbit__user_versions",
    "dim_flags",
    "dim_variations",
    "dim_users",
    "fct_event_quality",
    "fct_event_lateness",
    "fct_evaluation_counts",
    "int_time_zone_offsets",
    "int_evaluation_charts",
    "int_evaluation_chart_edges",
    "fct_evaluation_chart_points",
    "fct_evaluation_chart_users",
    "fct_served_variations",
    "fct_exposures",
    "fct_experiment_daily",
    "fct_experiment_results",
    "int_exports__environments",
    "statsig_events",
    "statsig_metrics",
    "statsig_signals",
    "hackle_events",
    "segment_tracks",
    "fct_export_exclusions",
)

Rows = Counter[tuple[Any, ...]]


def plain(value: Any) -> Any:
    """A value as both engines' clients give it."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, dict):
        return tuple(value.items())
    return value


def columns_of(data: Path, relation: str) -> str:
    """Its columns, quoted, in DuckDB's order."""
    return ", ".join(f'"{row[0]}"' for row in query(data, f"describe {relation}"))


def on_duckdb(data: Path, relations: Sequence[str] = RELATIONS) -> dict[str, Rows]:
    """Rows of the relations, with how often each stands there."""
    return {
        relation: Counter(
            tuple(map(plain, row))
            for row in query(data, f"select {columns_of(data, relation)} from {relation}")
        )
        for relation in relations
    }


def on_clickhouse(
    data: Path, client: Client, database: str, relations: Sequence[str] = RELATIONS
) -> dict[str, Rows]:
    """The same of ClickHouse; `data` is where DuckDB's columns are looked up."""
    return {
        relation: Counter(
            tuple(map(plain, row))
            for row in rows(
                client, f"select {columns_of(data, relation)} from `{database}`.{relation}"
            )
        )
        for relation in relations
    }


def different(ours: dict[str, Rows], theirs: dict[str, Rows]) -> dict[str, Any]:
    """Per relation, some rows that only one of the two has."""
    return {
        relation: (
            sorted(ours[relation] - theirs[relation], key=str)[:2],
            sorted(theirs[relation] - ours[relation], key=str)[:2],
        )
        for relation in ours
        if ours[relation] != theirs[relation]
    }
