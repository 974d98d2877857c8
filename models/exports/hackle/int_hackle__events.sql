with shaped as (
    select
        event_id,
        occurred_ms,
        ingested_at,
        event_name,
        user_key,
        flag_key,
        variation_id,
        application_type,
        route,
        user_name,
        {{ flagmart.decimal_or_null("coalesce(numeric_value, 0.0)", 24, 6) }} as metric_value,
        {{ flagmart.string_map({"id": "user_key", "device_id": "user_key", "user_id": "user_key"}) }} as identifiers,
        case
            when is_evaluation then {{ flagmart.string_map({
                "env_id": "env_id",
                "flag_key": "flag_key",
                "variation_id": "variation_id",
                "send_to_experiment": "case when send_to_experiment then 'true' else 'false' end",
            }) }}
            else {{ flagmart.string_map({
                "env_id": "env_id",
                "type": "event",
                "application_type": "application_type",
                "route": "nullif(route, '')",
            }) }}
        end as event_properties,
        {{ flagmart.string_map({"name": "user_name"}) }} as user_properties,
        {{ flagmart.string_map({
            "osname": flagmart.hackle_osname("application_type"),
            "version": "'0.0.0'",
            "versionname": "'0.0.0'",
            "appversion": "'0.0.0'",
        }) }} as platform_properties
    from {{ ref("int_exports__events") }}
)

select
    event_id,
    occurred_ms,
    ingested_at,
    event_name,
    user_key,
    metric_value,
    identifiers,
    event_properties,
    user_properties,
    platform_properties,
    {{ flagmart.date_of_ms("occurred_ms") }} as partition_on,
    case
        when {{ flagmart.characters("event_name") }} > 128 then 'event_key_too_long'
        when {{ flagmart.characters("user_key") }} > 512 then 'identifier_too_long'
        when {{ flagmart.any_longer_than([
            "flag_key", "variation_id", "application_type", "route", "user_name",
        ], 1024) }} then 'property_too_long'
        when metric_value is null then 'metric_value_out_of_range'
    end as exclusion_reason
from shaped
