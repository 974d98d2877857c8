"""What the base model is measured against, in each engine's SQL.

`per_field`: a parse for every field, as the two queries of FeatBit's page on data export do it.
`barest`: one pass over the text into the columns of base_featbit__events as today's clean events
fill them, with no guard, no older shape, no rule: what the table costs at the least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EVALUATION = (
    *("route", "flagId", "accountId", "projectId", "featureFlagKey", "sendToExperiment"),
    *("userKeyId", "userName", "variationId", "tag_0", "tag_1", "tag_2", "tag_3"),
)
METRIC = (
    *("route", "eventName", "numericValue", "applicationType", "projectId", "accountId"),
    *("tag_0", "tag_1", "tag_2", "tag_3"),
)
ENVELOPE = "event_id, env_id, distinct_id, event, occurred_at, ingested_at, source_ingested_at"
FIELDS = (
    *("route", "flagId", "envId", "accountId", "projectId", "featureFlagKey"),
    *("sendToExperiment", "userKeyId", "userName", "variationId", "variationValue", "eventName"),
    *("numericValue", "applicationType", "user", "tag_0", "tag_1", "tag_2", "tag_3"),
)
COLUMNS = {
    "flag_key": "featureFlagKey",
    "flag_id": "flagId",
    "variation_id": "variationId",
    "variation_value": "variationValue",
    "event_name": "eventName",
    "application_type": "applicationType",
    "user_key": "userKeyId",
    "user_name": "userName",
    "route": "route",
    "account_id": "accountId",
    "project_id": "projectId",
    "tag_0": "tag_0",
    "tag_1": "tag_1",
    "tag_2": "tag_2",
    "tag_3": "tag_3",
}


def _all_fields(evaluations: list[str], metrics: list[str], landed: str) -> str:
    return (
        f"select {ENVELOPE}, {', '.join(evaluations)} from {landed} where event = 'FlagValue' "
        f"union all by name "
        f"select {ENVELOPE}, {', '.join(metrics)} from {landed} where event = 'CustomEvent'"
    )


def duckdb_per_field(landed: str) -> str:
    """FeatBit's two queries, with DuckDB's function in place of ClickHouse's."""

    def one(name: str, text: str = "properties") -> str:
        return f"json_extract_string({text}, '$.{name}')"

    user = one("user")
    evaluations = [f"{one(name)} as {name}" for name in EVALUATION]
    metrics = [f"{one(name)} as {name}" for name in METRIC if name != "numericValue"]
    metrics += [
        f"cast({one('numericValue')} as float) as numericValue",
        f"{one('keyId', user)} as userKeyId",
        f"{one('name', user)} as userName",
    ]
    return _all_fields(evaluations, metrics, landed)


def clickhouse_per_field(landed: str) -> tuple[str, str]:
    """FeatBit's two queries as its page has them, with our names for the columns of the table."""

    def one(name: str, kind: str = "String", text: str = "properties") -> str:
        return f"JSONExtract({text}, '{name}', '{kind}')"

    user = one("user")
    kinds = {"sendToExperiment": "Bool", "numericValue": "Float32"}
    evaluations = [f"{one(name, kinds.get(name, 'String'))} as {name}" for name in EVALUATION]
    metrics = [f"{one(name, kinds.get(name, 'String'))} as {name}" for name in METRIC]
    metrics += [
        f"{one('keyId', text=user)} as userKeyId",
        f"{one('name', text=user)} as userName",
    ]
    return (
        f"select {ENVELOPE}, {', '.join(evaluations)} from {landed} where event = 'FlagValue'",
        f"select {ENVELOPE}, {', '.join(metrics)} from {landed} where event = 'CustomEvent'",
    )


NULLABLE = ("variation_value", "application_type", "user_name", "tag_0", "tag_1", "tag_2", "tag_3")
"""Columns that hold null where the text says nothing; the others are never null."""
FEW = (
    *("env_id", "event", "distinct_id", "flag_key", "flag_id", "variation_id", "variation_value"),
    *("event_name", "application_type", "route", "account_id", "project_id", "source", "outcome"),
    *("reject_reason", "warning", "tag_1"),
)
"""Columns that ClickHouse keeps as dictionaries."""
FROM_USER = {"user_key": "keyId", "user_name": "name"}
"""Columns of metric events that stand in their `user`."""


def duckdb_barest(landed: str) -> str:
    """One `from_json`, and one of the `user` that metric events have."""

    def parsed(text: str, names: tuple[str, ...]) -> str:
        wanted = ", ".join(f'"{name}": "VARCHAR"' for name in names)
        return f"from_json({text}, '{{{wanted}}}')"

    fields = f"select *, {parsed('properties', FIELDS)} as fields from {landed}"
    members = parsed("fields.user", tuple(FROM_USER.values()))
    return _barest(
        "fields.{}".format,
        "members.{}".format,
        f"select *, {members} as members from ({fields})",
        "cast(fields.numericValue as double)",
        "cast(null as varchar)",
    )


def clickhouse_barest(landed: str) -> str:
    """One `JSONExtract` into a tuple, and one of the `user` that metric events have."""

    def parsed(text: str, names: tuple[str, ...]) -> str:
        wanted = ", ".join(f"{name} Nullable(String)" for name in names)
        return f"JSONExtract({text}, 'Tuple({wanted})')"

    fields = f"select *, {parsed('properties', FIELDS)} as fields from {landed}"
    user = "ifNull(tupleElement(fields, 'user'), '')"
    members = parsed(user, tuple(FROM_USER.values()))
    kept = ", ".join(f"toLowCardinality({name}) as {name}" for name in FEW)
    return (
        f"select * replace ({kept}) from ("
        + _barest(
            "tupleElement(fields, '{}')".format,
            "tupleElement(members, '{}')".format,
            f"select *, {members} as members from ({fields})",
            "toFloat64OrNull(tupleElement(fields, 'numericValue'))",
            "cast(null as Nullable(String))",
        )
        + ")"
    )


def _barest(
    field: Callable[[str], str],
    member: Callable[[str], str],
    parsed: str,
    number: str,
    null_text: str,
) -> str:
    columns = []
    for column, name in COLUMNS.items():
        values = [field(name)]
        if column in FROM_USER:
            values.append(member(FROM_USER[column]))
        if column not in NULLABLE:
            values.append("''")
        value = f"coalesce({', '.join(values)})" if len(values) > 1 else values[0]
        columns.append(f"{value} as {column}")
    return (
        "select event_id, env_id, event, distinct_id, '' as kept_properties, "
        f"{', '.join(columns)}, "
        f"coalesce({field('sendToExperiment')}, '') = 'true' as send_to_experiment, "
        f"{number} as numeric_value, occurred_at, "
        "cast(occurred_at as date) as occurred_on, ingested_at, source, source_ingested_at, "
        f"event as outcome, {null_text} as reject_reason, {null_text} as warning from ({parsed})"
    )
