{{ config(materialized="table", order_by="partition_on") }}

with definitions as (
    select {{ flagmart.digest_of(["metric_name", "id_type", "part", "kind", "event_name"]) }} as definitions_digest
    from {{ ref("int_statsig__metric_parts") }}
),

identities as (
    select {{ flagmart.digest_of(["user_key", "id_type", "unit_id"]) }} as identities_digest
    from {{ ref("int_user_units") }}
),

-- all that a metric is measured by; units that are blank are in it, since to leave them out takes half as long again
events as (
    select
        partition_on,
        event_name,
        user_key,
        ingested_at,
        coalesce(numeric_value, 0) as value_or_zero,
        numeric_value is null as has_no_value
    from {{ ref("int_statsig__metric_events") }}
),

days as (
    select
        partition_on,
        {{ flagmart.digest_of(["event_name", "user_key", "ingested_at", "value_or_zero", "has_no_value"]) }}
            as events_digest
    from events
    group by partition_on
)

select
    days.partition_on,
    concat(
        days.events_digest, '|', definitions.definitions_digest, '|', identities.identities_digest
    ) as digest
from days
cross join definitions
cross join identities
