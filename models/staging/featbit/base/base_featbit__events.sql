{{
    config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="ingested_at",
        on_schema_change="fail",
        order_by="(ingested_at, event_id)",
    )
}}

{%- set named = {
    "route": "named_route",
    "flagId": "named_flag_id",
    "envId": "named_env_id",
    "accountId": "named_account_id",
    "projectId": "named_project_id",
    "featureFlagKey": "named_flag_key",
    "sendToExperiment": "named_send_to_experiment",
    "userKeyId": "named_user_key",
    "userName": "named_user_name",
    "variationId": "named_variation_id",
    "eventName": "named_event_name",
    "numericValue": "named_numeric_value",
    "applicationType": "named_application_type",
    "user": "named_user",
    "tag_0": "tag_0",
    "tag_1": "tag_1",
    "tag_2": "tag_2",
    "tag_3": "tag_3",
} %}

with landed as (
    select
        event_id,
        env_id as landed_env_id,
        event,
        distinct_id,
        properties as received_properties,
        occurred_at,
        ingested_at,
        source,
        source_ingested_at,
        event = 'FlagValue' as is_evaluation,
        event in ('CustomEvent', 'PageView', 'Click') as is_metric,
        {{ flagmart.is_json_object("properties") }} as is_object
    from {{ source("featbit", "featbit_events") }}
    {% if is_incremental() %}
        where {{ flagmart.since_last_run("ingested_at") }}
    {% endif %}
),

parsed as (
    select
        *,
        {{ flagmart.json_fields("received_properties", named.keys(), is_object="is_object") }} as fields
    from landed
),

named as (
    select
        *,
        {{ flagmart.json_columns("fields", named) }}
    from parsed
),

with_user as (
    select
        *,
        {{ flagmart.json_fields("named_user", ["keyId", "name"]) }} as user_fields
    from named
),

-- before 2.3.1 the user's fields were written in PascalCase; opened only where today's spelling is missing
with_older_user as (
    select
        *,
        {{ flagmart.json_field("user_fields", "keyId") }} as metric_user_key,
        {{ flagmart.json_field("user_fields", "name") }} as metric_user_name,
        case
            when {{ flagmart.json_field("user_fields", "keyId") }} is null
                then {{ flagmart.json_fields("named_user", ["KeyId", "Name"]) }}
        end as older_user_fields
    from with_user
),

-- the named field first, then the older name, then the tag
extracted as (
    select
        *,
        {{ flagmart.first_filled(["landed_env_id", "named_env_id"]) }} as found_env_id,
        {{ flagmart.first_filled([
            "named_user_key", "metric_user_key", flagmart.json_field("older_user_fields", "KeyId"), "tag_0",
        ]) }} as found_user_key,
        case
            when is_evaluation
                then {{ flagmart.first_filled(["named_user_name", "tag_3"]) }}
            when is_metric then {{ flagmart.first_filled([
                    "metric_user_name", flagmart.json_field("older_user_fields", "Name"), "tag_2",
                ]) }}
        end as found_user_name,
        case
            when is_evaluation
                then {{ flagmart.first_filled(["named_variation_id", "tag_1"]) }}
        end as found_variation_id,
        case
            when is_evaluation
                then lower(coalesce(named_send_to_experiment, tag_2, 'false')) = 'true'
            else false
        end as found_send_to_experiment,
        case
            when is_metric
                then {{ flagmart.first_filled(["named_event_name", "distinct_id"]) }}
        end as found_event_name,
        case
            when is_metric
                then {{ flagmart.json_scalar_to_float64("coalesce(named_numeric_value, tag_1)") }}
        end as found_numeric_value
    from with_older_user
),

with_flag as (
    select
        *,
        case
            when is_evaluation
                then {{ flagmart.first_filled([
                    "named_flag_key",
                    flagmart.without_prefix("named_flag_id", "found_env_id || '-'"),
                    flagmart.without_prefix("distinct_id", "found_env_id || '-'"),
                ]) }}
        end as found_flag_key
    from extracted
),

judged as (
    select
        *,
        case
            when not is_object then 'invalid_properties_json'
            when found_env_id is null then 'missing_env_id'
            when not is_evaluation and not is_metric then 'unknown_event'
            when is_evaluation and found_flag_key is null then 'missing_flag_key'
            when found_user_key is null then 'missing_user_key'
            when is_evaluation and found_variation_id is null then 'missing_variation_id'
            when is_metric and found_event_name is null then 'missing_event_name'
            when occurred_at is null then 'missing_timestamp'
            when
                occurred_at < {{ flagmart.timestamp_literal(var("flagmart_earliest_plausible_date")) }}
                or occurred_at > {{ flagmart.add_hours("ingested_at", var("flagmart_max_clock_lead_hours")) }}
                then 'implausible_timestamp'
        end as found_reject_reason,
        case
            when is_evaluation and named_user_key <> tag_0 then 'user_key_tag_named_mismatch'
            when is_metric and metric_user_key <> tag_0 then 'user_key_tag_named_mismatch'
            when is_evaluation and named_variation_id <> tag_1 then 'variation_id_tag_named_mismatch'
            when
                is_metric
                and {{ flagmart.json_scalar_to_float64("named_numeric_value") }}
                <> {{ flagmart.json_scalar_to_float64("tag_1") }}
                then 'numeric_value_tag_named_mismatch'
        end as found_warning
    from with_flag
)

select
    event_id,
    coalesce(found_env_id, '') as env_id,
    event,
    distinct_id,
    case when found_reject_reason is not null then received_properties else '' end as properties,
    coalesce(found_flag_key, '') as flag_key,
    coalesce(named_flag_id, '') as flag_id,
    coalesce(found_variation_id, '') as variation_id,
    {{ flagmart.null_text() }} as variation_value,
    found_send_to_experiment as send_to_experiment,
    coalesce(found_event_name, '') as event_name,
    found_numeric_value as numeric_value,
    case when is_metric then named_application_type end as application_type,
    coalesce(found_user_key, '') as user_key,
    found_user_name as user_name,
    coalesce(named_route, '') as route,
    coalesce(named_account_id, '') as account_id,
    coalesce(named_project_id, '') as project_id,
    tag_0,
    tag_1,
    tag_2,
    tag_3,
    occurred_at,
    cast(occurred_at as date) as occurred_on,
    ingested_at,
    source,
    source_ingested_at,
    case
        when found_reject_reason is not null then 'rejected'
        when is_evaluation then 'evaluation'
        else 'metric'
    end as outcome,
    found_reject_reason as reject_reason,
    case when found_reject_reason is null then found_warning end as warning
from judged
