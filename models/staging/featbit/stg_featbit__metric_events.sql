select
    event_id,
    env_id,
    event,
    event_name,
    user_key,
    user_name,
    numeric_value,
    application_type,
    {{ flagmart.never_null("occurred_at") }} as occurred_at,
    {{ flagmart.never_null("occurred_on") }} as occurred_on,
    ingested_at,
    source_ingested_at,
    route,
    account_id,
    project_id,
    distinct_id,
    tag_0,
    tag_1,
    tag_2,
    tag_3
from {{ ref("stg_featbit__events") }}
where outcome = 'metric'
