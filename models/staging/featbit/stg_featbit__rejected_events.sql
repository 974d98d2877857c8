select
    event_id,
    env_id,
    event,
    distinct_id,
    properties,
    occurred_at,
    ingested_at,
    reject_reason
from {{ ref("stg_featbit__events") }}
where outcome = 'rejected'
