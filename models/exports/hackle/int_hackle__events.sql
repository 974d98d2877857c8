{%- set further = [] -%}
{%- for name, column in flagmart.hackle_properties() -%}
    {%- do further.append([name, "nullif(" ~ column ~ ", '')"]) -%}
{%- endfor -%}
{%- set evaluation_properties = [
    ["env_id", "env_id"],
    ["flag_key", "flag_key"],
    ["variation_id", "variation_id"],
    ["send_to_experiment", "case when send_to_experiment then 'true' else 'false' end"],
] + further -%}
{%- set metric_properties = [
    ["env_id", "env_id"],
    ["type", "event"],
    ["application_type", "application_type"],
    ["route", "nullif(route, '')"],
] + further -%}

with devices as (
    select
        user_key as device_user_key,
        unit_id as known_device_id
    from {{ ref("int_user_units") }}
    where id_type = 'device_id'
),

events as (
    select
        exported.*,
        {{ flagmart.first_filled(["devices.known_device_id", "exported.user_key"]) }} as device_id
    from {{ ref("int_exports__events") }} as exported
    left join devices on exported.user_key = devices.device_user_key
),

-- first of all, so that nothing is shaped for who reads a few days
dated as (
    {{ flagmart.dated("events", "occurred_ms", var("flagmart_hackle_timezone")) }}
),

shaped as (
    select
        event_id,
        occurred_ms,
        occurred_at,
        ingested_at,
        event_name,
        user_key,
        device_id,
        partition_on,
        {{ flagmart.decimal_or_null("coalesce(numeric_value, 0.0)", 24, 6) }} as metric_value,
        {{ flagmart.hackle_identifiers({
            "id": "user_key",
            "device_id": "device_id",
            "user_id": "user_key",
        }) }} as identifiers,
        case
            when is_evaluation then {{ flagmart.string_map(flagmart.lower_case_pairs(evaluation_properties)) }}
            else {{ flagmart.string_map(flagmart.lower_case_pairs(metric_properties)) }}
        end as event_properties,
        {{ flagmart.string_map({"name": "user_name"}) }} as user_properties,
        {{ flagmart.string_map({
            "osname": flagmart.hackle_osname("application_type"),
            "version": "'0.0.0'",
            "versionname": "'0.0.0'",
            "appversion": "'0.0.0'",
        }) }} as platform_properties,
        case
            when is_evaluation then {{ flagmart.lower_case_collisions(evaluation_properties) }}
            else {{ flagmart.lower_case_collisions(metric_properties) }}
        end as key_collisions,
        {{ flagmart.any_longer_than(
            ["flag_key", "variation_id", "application_type", "route", "user_name"] + further | map("last") | list,
            var("flagmart_hackle_property_characters"),
        ) }} as has_long_property
    from dated
)

select
    event_id,
    occurred_ms,
    occurred_at,
    ingested_at,
    event_name,
    user_key,
    metric_value,
    identifiers,
    event_properties,
    user_properties,
    platform_properties,
    key_collisions,
    partition_on,
    case
        when {{ flagmart.characters("event_name") }} > 128 then 'event_key_too_long'
        when {{ flagmart.is_blank("user_key") }} then 'identifier_is_blank'
        when {{ flagmart.any_longer_than(["user_key", "device_id"], 512) }} then 'identifier_too_long'
        when has_long_property then 'property_too_long'
        when metric_value is null then 'metric_value_out_of_range'
    end as exclusion_reason
from shaped
