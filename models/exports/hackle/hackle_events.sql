{{ config(contract={"enforced": true}) }}

select
    event_id as insert_id,
    event_name as event_key,
    {{ flagmart.timestamp_from_ms("occurred_ms") }} as ts,
    {{ flagmart.never_null("metric_value") }} as metric_value,
    identifiers,
    event_properties,
    user_properties,
    platform_properties,
    occurred_at,
    partition_on,
    ingested_at
from {{ ref("int_hackle__events") }}
where exclusion_reason is null
