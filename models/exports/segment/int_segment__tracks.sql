with named as (
    select
        *,
        'featbit:' || env_id || ':' || event_id || ':track' as message_id
    from {{ ref("int_exports__events") }}
),

with_properties as (
    select
        *,
        -- the names FeatBit's own exporter sends, under `properties`, where Segment reads them
        case
            when is_evaluation then {{ flagmart.json_object({
                "Id": flagmart.json_string("event_id"),
                "EnvId": flagmart.json_string("env_id"),
                "FeatBitTimestamp": flagmart.json_string(flagmart.iso_timestamp("occurred_at")),
                "VariationId": flagmart.json_string("variation_id"),
                "DistinctId": flagmart.json_string("distinct_id"),
                "EventName": flagmart.json_string("event"),
                "CHTimestamp": flagmart.json_string(flagmart.iso_timestamp("source_ingested_at")),
                "Route": flagmart.json_string("route"),
                "FeatureFlagId": flagmart.json_string("flag_id"),
                "AccountId": flagmart.json_string("account_id"),
                "ProjectId": flagmart.json_string("project_id"),
                "FeatureFlagKey": flagmart.json_string("flag_key"),
                "SendToExperiment": flagmart.json_bool("send_to_experiment"),
                "Username": flagmart.json_string("user_name"),
                "Tag0": flagmart.json_string("tag_0"),
                "Tag1": flagmart.json_string("tag_1"),
                "Tag2": flagmart.json_string("tag_2"),
                "Tag3": flagmart.json_string("tag_3"),
            }) }}
            else {{ flagmart.json_object({
                "Id": flagmart.json_string("event_id"),
                "EnvId": flagmart.json_string("env_id"),
                "FeatBitTimestamp": flagmart.json_string(flagmart.iso_timestamp("occurred_at")),
                "DistinctId": flagmart.json_string("distinct_id"),
                "EventName": flagmart.json_string("event"),
                "CustomEventName": flagmart.json_string("event_name"),
                "NumericValue": flagmart.json_number("numeric_value"),
                "ApplicationType": flagmart.json_string("application_type"),
                "CHTimestamp": flagmart.json_string(flagmart.iso_timestamp("source_ingested_at")),
                "Route": flagmart.json_string("route"),
                "AccountId": flagmart.json_string("account_id"),
                "ProjectId": flagmart.json_string("project_id"),
                "Username": flagmart.json_string("user_name"),
                "Tag0": flagmart.json_string("tag_0"),
                "Tag1": flagmart.json_string("tag_1"),
                "Tag2": flagmart.json_string("tag_2"),
                "Tag3": flagmart.json_string("tag_3"),
            }) }}
        end as properties
    from named
),

with_payload as (
    select
        event_id,
        message_id,
        user_key,
        occurred_at,
        ingested_at,
        {{ flagmart.json_object({
            "type": "'\"track\"'",
            "messageId": flagmart.json_string("message_id"),
            "userId": flagmart.json_string("user_key"),
            "event": "case when is_evaluation then '\"Feature Flag Evaluation Event\"' else '\"FeatBit Custom Event\"' end",
            "timestamp": flagmart.json_string(flagmart.iso_timestamp("occurred_at")),
            "properties": "properties",
        }) }} as payload
    from with_properties
)

select
    *,
    case
        when {{ flagmart.characters("message_id") }} > 100 then 'message_id_too_long'
        when {{ flagmart.byte_length("payload") }} > 32 * 1024 then 'message_too_large'
    end as exclusion_reason
from with_payload
