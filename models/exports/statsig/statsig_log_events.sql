{{ config(enabled=flagmart.is_delivered("statsig_log_events"), contract={"enforced": true}) }}

select
    event_id,
    event_id as message_id,
    user_key,
    user_key as partition_key,
    {{ flagmart.json_object({
        "eventName": flagmart.json_string("event_name"),
        "value": "case when is_evaluation then " ~ flagmart.json_string("event_value")
            ~ " when event_value = '' then 'null' else event_value end",
        "time": "cast(occurred_ms as " ~ dbt.type_string() ~ ")",
        "user": "statsig_user",
        "metadata": "event_metadata",
    }) }} as payload,
    occurred_at,
    ingested_at
from {{ ref("int_statsig__events") }}
where exclusion_reason is null
