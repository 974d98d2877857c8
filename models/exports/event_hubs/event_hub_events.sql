{{ config(enabled=flagmart.is_delivered("event_hub_events"), contract={"enforced": true}) }}

select
    event_id,
    event_id as message_id,
    user_key,
    -- a batch has one key: many more than a hub has partitions (2 to 32) would leave batches small
    cast({{ flagmart.hash_bucket("user_key", 32) }} as {{ dbt.type_string() }}) as partition_key,
    payload,
    occurred_at,
    ingested_at
from {{ ref("int_event_hubs__events") }}
where exclusion_reason is null
