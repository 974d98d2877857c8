{{ config(enabled=flagmart.is_delivered("segment_identifies"), contract={"enforced": true}) }}

select
    event_id,
    message_id,
    user_key,
    user_key as partition_key,
    payload,
    occurred_at,
    ingested_at
from {{ ref("int_segment__identifies") }}
where exclusion_reason is null
