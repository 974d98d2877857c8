{{ config(enabled=flagmart.is_delivered("posthog_events")) }}

select
    event_id,
    user_key,
    {{ flagmart.json_object({
        "event": flagmart.json_string("event_name"),
        "distinct_id": flagmart.json_string("user_key"),
        "timestamp": flagmart.json_string(flagmart.iso_timestamp("occurred_at")),
        "uuid": flagmart.json_string("event_id"),
        "properties": flagmart.analytics_properties(),
    }) }} as payload,
    occurred_at,
    ingested_at,
    case
        when unchosen_message is not null then unchosen_message
        when {{ flagmart.is_blank("user_key") }} then 'distinct_id_is_blank'
        when {{ flagmart.is_blank("event_name") }} then 'event_name_is_blank'
        -- PostHog's capture service cuts it there, so that two users may become one
        when {{ flagmart.characters("user_key") }} > 200 then 'distinct_id_too_long'
        when not {{ flagmart.matches("event_id", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$") }}
            then 'event_id_is_no_uuid'
    end as exclusion_reason
from {{ ref("int_exports__events") }}
