{{ config(enabled=flagmart.is_delivered("mixpanel_events")) }}

{#- what Mixpanel's own importer leaves out for /import refuses it -#}
{%- set placeholders = [
    "00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "<nil>", "none", "null", "n/a", "na", "undefined", "unknown",
    "true", "false", "0", "-1", "[]", "{}", "lmy47d",
] %}

select
    event_id,
    user_key,
    {{ flagmart.json_object({
        "event": flagmart.json_string("event_name"),
        "properties": flagmart.analytics_properties({
            "time": "cast(occurred_ms as " ~ dbt.type_string() ~ ")",
            "distinct_id": flagmart.json_string("user_key"),
            "$insert_id": flagmart.json_string("event_id"),
        }),
    }) }} as payload,
    occurred_at,
    ingested_at,
    case
        when unchosen_message is not null then unchosen_message
        when {{ flagmart.is_blank("user_key") }} then 'user_is_blank'
        when {{ flagmart.is_one_of("lower(user_key)", placeholders) }} then 'user_is_a_placeholder'
        when
            not {{ flagmart.matches("event_id", "^[A-Za-z0-9-]{1,36}$") }}
            or {{ flagmart.is_one_of("event_id", placeholders) }}
            then 'insert_id_has_wrong_form'
        when occurred_ms < {{ 365 * 86400 * 1000 }} then 'occurred_before_1971'
        when occurred_ms > {{ flagmart.epoch_ms("ingested_at") }} + {{ 3600 * 1000 }} then 'occurred_in_the_future'
        when {{ flagmart.any_larger_than(flagmart.analytics_texts(), 255) }} then 'text_too_long'
    end as exclusion_reason
from {{ ref("int_exports__events") }}
