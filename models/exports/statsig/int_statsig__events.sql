with shaped as (
    select
        event_id,
        occurred_ms,
        ingested_at,
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
        {{ flagmart.json_object({
            "userID": flagmart.json_string("user_key"),
            "custom": "case when user_name is null then '{}' else "
                ~ flagmart.json_object({"name": flagmart.json_string("user_name")}) ~ " end",
            "customIDs": "'{}'",
        }) }} as statsig_user
    from {{ ref("int_exports__events") }}
)

select
    *,
    -- Statsig's day: fixed UTC-8, all year round
    {{ flagmart.date_of_ms("occurred_ms - 8 * 3600 * 1000") }} as partition_on,
    case
        when {{ flagmart.characters("event_name") }} >= 128 then 'event_name_too_long'
        when {{ flagmart.contains_any("event_name", [
            flagmart.character(92), "'['", "']'", "'{'", "'}'", "'<'", "'>'", "'#'", "'='", "';'", "'&'", "'$'", "'%'", "'|'",
            flagmart.character(0), flagmart.character(10), flagmart.character(13),
        ]) }} then 'event_name_has_forbidden_character'
        when {{ flagmart.characters("event_value") }} >= 128 then 'event_value_too_long'
    end as exclusion_reason
from shaped
