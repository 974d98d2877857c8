{{ config(enabled=flagmart.is_delivered("amplitude_events"), contract={"enforced": true}) }}

select
    event_id,
    event_id as message_id,
    user_key,
    user_key as partition_key,
    payload,
    occurred_at,
    ingested_at
from {{ ref("int_amplitude__events") }}
where exclusion_reason is null
