{{ config(contract={"enforced": true}) }}

select
    {{ flagmart.floor_div("occurred_ms", 1000) }} as timestamp,
    event_name,
    event_value,
    event_metadata,
    statsig_user as user,
    event_id as timeuuid,
    user_key as user_id,
    occurred_at,
    partition_on,
    ingested_at
from {{ ref("int_statsig__events") }}
where exclusion_reason is null
