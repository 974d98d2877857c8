{{ config(enabled=flagmart.is_delivered("cloudevents")) }}

select
    event_id,
    user_key,
    {{ flagmart.json_object({
        "specversion": "'\"1.0\"'",
        "id": flagmart.json_string("event_id"),
        "source": flagmart.json_string("'featbit/environments/' || env_id"),
        "type": "case when is_evaluation then '\"io.featbit.flag_evaluation\"' else '\"io.featbit.metric_event\"' end",
        "subject": flagmart.json_string("user_key"),
        "time": flagmart.json_string(flagmart.iso_timestamp("occurred_at")),
        "datacontenttype": "'\"application/json\"'",
        "data": flagmart.featbit_properties("Timestamp", user_id="UserId"),
    }) }} as payload,
    occurred_at,
    ingested_at,
    case
        when unchosen_message is not null then unchosen_message
        when user_key = '' then 'subject_is_empty'
        when {{ flagmart.matches("user_key", "[[:cntrl:]]") }} then 'subject_has_control_character'
        when not {{ flagmart.matches("env_id", "^[A-Za-z0-9._~-]+$") }} then 'source_is_no_uri'
    end as exclusion_reason
from {{ ref("int_exports__events") }}
