"""What the base model is measured against, in each engine's SQL.

`per_field`: a parse for every field, as the two queries of FeatBit's page on data export do it.
`barest`: one pass over the text into the columns of base_featbit__events, with no guard, no older
shape, no rule: what the table costs at the least.
"""

from __future__ import annotations

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


def duckdb_barest(landed: str) -> str:
    """One `from_json`, one column for each of base's."""
    names = ", ".join(f'"{name}": "VARCHAR"' for name in FIELDS)
    columns = [f"fields.{field} as {column}" for column, field in COLUMNS.items()]
    return _barest(
        columns,
        f"select *, from_json(properties, '{{{names}}}') as fields from {landed}",
        "cast(fields.numericValue as double)",
        "fields.sendToExperiment = 'true'",
        "cast(null as varchar)",
    )


def clickhouse_barest(landed: str) -> str:
    """One `JSONExtract` into a tuple, one column for each of base's."""
    names = ", ".join(f"{name} Nullable(String)" for name in FIELDS)
    columns = [f"tupleElement(fields, '{field}') as {column}" for column, field in COLUMNS.items()]
    return _barest(
        columns,
        f"select *, JSONExtract(properties, 'Tuple({names})') as fields from {landed}",
        "toFloat64OrNull(tupleElement(fields, 'numericValue'))",
        "tupleElement(fields, 'sendToExperiment') = 'true'",
        "cast(null as Nullable(String))",
    )


def _barest(columns: list[str], parsed: str, number: str, boolean: str, null_text: str) -> str:
    return (
        "select event_id, env_id, event, distinct_id, '' as kept_properties, "
        f"{', '.join(columns)}, "
        f"{boolean} as send_to_experiment, {number} as numeric_value, occurred_at, "
        "cast(occurred_at as date) as occurred_on, ingested_at, source, source_ingested_at, "
        f"event as outcome, {null_text} as reject_reason, {null_text} as warning from ({parsed})"
    )
