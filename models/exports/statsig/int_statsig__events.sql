{%- set kinds = flagmart.chosen_of("flagmart_statsig_kinds", ["evaluations", "metric_events"]) -%}
{%- set metadata_texts = ["env_id", "flag_key", "variation_id", "event", "application_type", "route"] -%}
{%- set most_characters = var("flagmart_statsig_metadata_characters") | int -%}
{%- set flags = flagmart.chosen_of("flagmart_statsig_flags") -%}

with events as (
    select *
    from {{ ref("int_exports__events") }}
),

-- first of all, so that nothing is shaped for who reads a few days
dated as (
    {{ flagmart.dated("events", "occurred_ms", var("flagmart_statsig_timezone")) }}
),

shaped as (
    select
        event_id,
        is_evaluation,
        flag_key,
        occurred_ms,
        occurred_at,
        ingested_at,
        partition_on,
        event_name,
        user_key,
        case
            when is_evaluation then variation_id
            when numeric_value is null then ''
            else {{ flagmart.json_number("numeric_value") }}
        end as event_value,
        case
            when is_evaluation then {{ flagmart.json_object({
                "env_id": flagmart.json_string("env_id"),
                "flag_key": flagmart.json_string("flag_key"),
                "variation_id": flagmart.json_string("variation_id"),
                "send_to_experiment": flagmart.json_string("case when send_to_experiment then 'true' else 'false' end"),
            }) }}
            else {{ flagmart.json_object({
                "env_id": flagmart.json_string("env_id"),
                "type": flagmart.json_string("event"),
                "application_type": flagmart.json_string("coalesce(application_type, '')"),
                "route": flagmart.json_string("route"),
            }) }}
        end as event_metadata,
        -- JSON is made for what may be too long alone, since every count of the rows asks
        {{ flagmart.json_bytes_at_most(metadata_texts, 200) }} >= {{ most_characters }} as may_be_too_long,
        {{ flagmart.json_object({
            "userID": flagmart.json_string("user_key"),
            "custom": "case when user_name is null then '{}' else "
                ~ flagmart.json_object({"name": flagmart.json_string("user_name")}) ~ " end",
            "customIDs": "'{}'",
        }) }} as statsig_user
    from dated
)

select
    event_id,
    is_evaluation,
    occurred_ms,
    occurred_at,
    ingested_at,
    event_name,
    user_key,
    event_value,
    event_metadata,
    statsig_user,
    partition_on,
    case
        when not {{ flagmart.is_one_of("case when is_evaluation then 'evaluations' else 'metric_events' end", kinds) }}
            then 'kind_not_chosen'
        when {{ "is_evaluation and not " ~ flagmart.is_one_of("flag_key", flags) if flags else "false" }}
            then 'flag_not_chosen'
        when {{ flagmart.is_blank("user_key") }} then 'unit_is_blank'
        when {{ flagmart.characters("event_name") }} >= 128 then 'event_name_too_long'
        -- the name of an evaluation has none, and looking for them takes longest
        when not is_evaluation and {{ flagmart.statsig_forbids("event_name") }}
            then 'event_name_has_forbidden_character'
        -- the text of a number never is
        when is_evaluation and {{ flagmart.characters("event_value") }} >= 128 then 'event_value_too_long'
        when may_be_too_long and {{ flagmart.characters("event_metadata") }} >= {{ most_characters }}
            then 'event_metadata_too_long'
    end as exclusion_reason
from shaped
