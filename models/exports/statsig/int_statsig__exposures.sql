{{ config(enabled=flagmart.is_delivered("statsig_exposures")) }}

{%- set flags = flagmart.chosen_of("flagmart_statsig_flags") %}

select
    event_id,
    user_key,
    {{ flagmart.json_object({
        "user": flagmart.json_object({"userID": flagmart.json_string("user_key")}),
        "experimentName": flagmart.json_string("flag_key"),
        "group": flagmart.json_string("variation_id"),
        "time": "cast(occurred_ms as " ~ dbt.type_string() ~ ")",
    }) }} as payload,
    occurred_at,
    ingested_at,
    case
        when not is_evaluation then 'no_evaluation'
        when not send_to_experiment then 'not_for_experiments'
        when {{ "not " ~ flagmart.is_one_of("flag_key", flags) if flags else "false" }} then 'flag_not_chosen'
        when {{ flagmart.is_blank("user_key") }} then 'unit_is_blank'
        when {{ flagmart.characters("flag_key") }} >= 128 then 'experiment_name_too_long'
    end as exclusion_reason
from {{ ref("int_exports__events") }}
