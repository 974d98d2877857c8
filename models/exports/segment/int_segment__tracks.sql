{%- set texts = [
    "message_id", "event_id", "env_id", "user_key", "user_name", "flag_key", "flag_id", "variation_id", "distinct_id", "event",
    "event_name", "application_type", "route", "account_id", "project_id", "tag_0", "tag_1", "tag_2", "tag_3",
] -%}

with named as (
    select
        *,
        'featbit:' || env_id || ':' || event_id || ':track' as message_id
    from {{ ref("int_exports__events") }}
),

measured as (
    select
        *,
        {{ flagmart.json_bytes_at_most(texts, 2000) }} as payload_bytes_at_most
    from named
),

with_payload as (
    select
        *,
        -- `properties` have no column of their own: DuckDB would make them for who asks for no payload
        {{ flagmart.json_object({
            "type": "'\"track\"'",
            "messageId": flagmart.json_string("message_id"),
            "userId": flagmart.json_string("user_key"),
            "event": "case when is_evaluation then '\"Feature Flag Evaluation Event\"' else '\"FeatBit Custom Event\"' end",
            "timestamp": flagmart.json_string(flagmart.iso_timestamp("occurred_at")),
            "properties": flagmart.featbit_properties("FeatBitTimestamp"),
        }) }} as payload
    from measured
)

select
    event_id,
    message_id,
    user_key,
    occurred_at,
    ingested_at,
    payload,
    coalesce(unchosen_message, {{ flagmart.segment_objection() }}) as exclusion_reason
from with_payload
