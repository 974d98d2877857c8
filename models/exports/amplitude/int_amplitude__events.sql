{{ config(enabled=flagmart.is_delivered("amplitude_events")) }}

select
    event_id,
    user_key,
    {{ flagmart.json_object({
        "user_id": flagmart.json_string("user_key"),
        "event_type": flagmart.json_string("event_name"),
        "time": "cast(occurred_ms as " ~ dbt.type_string() ~ ")",
        "insert_id": flagmart.json_string("event_id"),
        "event_properties": flagmart.analytics_properties(),
    }) }} as payload,
    occurred_at,
    ingested_at,
    case
        when unchosen_message is not null then unchosen_message
        when {{ flagmart.characters("user_key") }} < 5 then 'user_id_too_short'
        when {{ flagmart.any_longer_than(flagmart.analytics_texts(), 1024) }} then 'text_too_long'
    end as exclusion_reason
from {{ ref("int_exports__events") }}
