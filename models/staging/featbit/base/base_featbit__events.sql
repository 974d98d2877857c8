{#- ClickHouse puts the steps below together into one, and then works out what is asked for in several branches for all
    rows: a sixth of the time. It reads texts by the megabyte, and calls each function for so few rows: a twentieth. -#}
{{
    config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="ingested_at",
        on_schema_change="fail",
        order_by="(ingested_at, event_id)",
        partition_by=flagmart.by_month("ingested_at"),
        query_settings={"query_plan_merge_expressions": 0, "preferred_block_size_bytes": 16000000},
        post_hook="{{ flagmart.record_finished_runs(source('featbit', 'featbit_events')) }}",
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
    "variationValue": "named_variation_value",
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
        {{ flagmart.json_object_text("properties") }} as object_text
    from {{ source("featbit", "featbit_events") }}
    {% if is_incremental() %}
        where {{ flagmart.since_last_run("ingested_at") }}
    {% endif %}
),

parsed as (
    select
        *,
        {{ flagmart.json_fields("object_text", named.keys()) }} as fields
    from landed
),

named as (
    select
        *,
        {{ flagmart.is_json_object("object_text", "fields") }} as is_object,
        {{ flagmart.json_columns("fields", named) }}
    from parsed
),

with_user_text as (
    select
        *,
        {{ flagmart.json_object_text("named_user") }} as user_text
    from named
),

with_older_user_text as (
    select
        *,
        case
            when {{ flagmart.contains_any("user_text", ["'\"KeyId\"'", "'\"Name\"'"]) }} then user_text
        end as older_user_text
    from with_user_text
),

with_user as (
    select
        *,
        {{ flagmart.json_fields("user_text", ["keyId", "name"]) }} as user_fields,
        -- before 2.3.1 the user's fields were written in PascalCase
        {{ flagmart.json_fields("older_user_text", ["KeyId", "Name"]) }} as older_user_fields
    from with_older_user_text
),

with_all_names as (
    select
        *,
        {{ flagmart.json_columns("user_fields", {"keyId": "metric_user_key", "name": "metric_user_name"}) }},
        {{ flagmart.json_columns("older_user_fields", {"KeyId": "older_user_key", "Name": "older_user_name"}) }}
    from with_user
),

with_tags as (
    select
        *,
        case when is_evaluation then tag_3 else tag_2 end as tagged_user_name
    from with_all_names
),

-- the named field first, then the older name, then the tag
extracted as (
    select
        *,
        {{ flagmart.first_filled(["landed_env_id", "named_env_id"]) }} as found_env_id,
        {{ flagmart.first_filled(["named_user_key", "metric_user_key", "older_user_key", "tag_0"]) }} as found_user_key,
        {{ flagmart.first_filled(["named_user_name", "metric_user_name", "older_user_name", "tagged_user_name"]) }}
            as found_user_name,
        {{ flagmart.first_filled(["named_variation_id", "tag_1"], "is_evaluation") }} as found_variation_id,
        is_evaluation and lower(coalesce(
            named_send_to_experiment,
            tag_2,
            -- since v6 there are no tags, and what is stored counts for experiments
            case when coalesce(tag_0, tag_1, tag_3) is null then 'true' else 'false' end
        )) = 'true' as found_send_to_experiment,
        {{ flagmart.first_filled(["named_event_name", "distinct_id"], "is_metric") }} as found_event_name,
        case
            when is_metric
                then {{ flagmart.json_scalar_to_float64("coalesce(named_numeric_value, tag_1)") }}
        end as found_numeric_value
    from with_tags
),

with_flag as (
    select
        *,
        {{ flagmart.first_filled([
            "named_flag_key",
            flagmart.without_prefix("named_flag_id", "found_env_id || '-'"),
            flagmart.without_prefix("distinct_id", "found_env_id || '-'"),
        ], "is_evaluation") }} as found_flag_key
    from extracted
),

judged as (
    select
        *,
        case
            when not is_object then 'invalid_properties_json'
            when found_env_id = '' then 'missing_env_id'
            when not is_evaluation and not is_metric then 'unknown_event'
            when is_evaluation and found_flag_key = '' then 'missing_flag_key'
            when found_user_key = '' then 'missing_user_key'
            when is_evaluation and found_variation_id = '' then 'missing_variation_id'
            when is_metric and found_event_name = '' then 'missing_event_name'
            when occurred_at is null then 'missing_timestamp'
            when
                occurred_at < {{ flagmart.timestamp_literal(var("flagmart_earliest_plausible_date")) }}
                or occurred_at > {{ flagmart.add_hours("ingested_at", var("flagmart_max_clock_lead_hours")) }}
                then 'implausible_timestamp'
        end as first_reject_reason,
        -- the places that say something else than the one that was kept; each comparison comes first, since what
        -- follows an `and` is worked out on copies of the rows that are left
        {{ flagmart.listed({
            "env_id_named_mismatch": "named_env_id <> found_env_id",
            "flag_key_distinct_id_named_mismatch":
                "distinct_id <> found_env_id || '-' || found_flag_key and distinct_id <> '' and is_evaluation",
            "flag_key_flag_id_named_mismatch": "named_flag_id <> found_env_id || '-' || found_flag_key and is_evaluation",
            "user_key_older_named_mismatch": "older_user_key <> found_user_key",
            "user_key_tag_named_mismatch": "tag_0 <> found_user_key",
            "user_name_tag_named_mismatch": "tagged_user_name <> found_user_name",
            "variation_id_tag_named_mismatch": "tag_1 <> found_variation_id and is_evaluation",
            "send_to_experiment_tag_named_mismatch":
                "tag_2 <> named_send_to_experiment and is_evaluation and lower(tag_2) <> lower(named_send_to_experiment)",
            "event_name_distinct_id_named_mismatch": "distinct_id <> found_event_name and distinct_id <> '' and is_metric",
            "numeric_value_tag_named_mismatch": "tag_1 <> named_numeric_value and is_metric and "
                ~ flagmart.json_scalar_to_float64("tag_1") ~ " <> found_numeric_value",
        }) }} as found_warning
    from with_flag
),

{% if var("flagmart_collapse_client_retries") %}
-- an SDK that heard no answer sends the event again, and the server gives it another id
may_be_retries as (
    select
        event_id,
        ingested_at,
        found_env_id as env_id,
        event,
        case when is_evaluation then found_flag_key else found_event_name end as name,
        found_user_key as user_key,
        found_variation_id as variation_id,
        found_numeric_value as numeric_value,
        {{ flagmart.epoch_ms("occurred_at") }} as occurred_ms
    from judged
    where first_reject_reason is null
    {% if is_incremental() %}
        union all
        select
            event_id,
            ingested_at,
            env_id,
            event,
            case when outcome = 'evaluation' then flag_key else event_name end as name,
            user_key,
            variation_id,
            numeric_value,
            {{ flagmart.epoch_ms("occurred_at") }} as occurred_ms
        from {{ this }}
        where
            outcome <> 'rejected'
            and not {{ flagmart.since_last_run("ingested_at") }}
            and occurred_at in (select landed.occurred_at from landed)
    {% endif %}
),

in_order as (
    select
        event_id,
        row_number() over (
            partition by env_id, event, name, user_key, variation_id, numeric_value, occurred_ms
            order by ingested_at, event_id
        ) as place
    from may_be_retries
),

retries as (
    select event_id
    from in_order
    where place > 1
),
{% endif %}

settled as (
    select
        *,
        {% if var("flagmart_collapse_client_retries") %}
            case
                when first_reject_reason is null and event_id in (select retries.event_id from retries)
                    then 'client_retry'
                else first_reject_reason
            end as found_reject_reason
        {% else %}
            first_reject_reason as found_reject_reason
        {% endif %}
    from judged
)

select
    event_id,
    {{ flagmart.few_values("found_env_id") }} as env_id,
    {{ flagmart.few_values("event") }} as event,
    {{ flagmart.few_values("distinct_id") }} as distinct_id,
    case when found_reject_reason is not null then received_properties else '' end as properties,
    {{ flagmart.few_values("found_flag_key") }} as flag_key,
    {{ flagmart.few_values("coalesce(named_flag_id, '')") }} as flag_id,
    {{ flagmart.few_values("found_variation_id") }} as variation_id,
    {{ flagmart.few_values("case when is_evaluation then named_variation_value end") }} as variation_value,
    found_send_to_experiment as send_to_experiment,
    {{ flagmart.few_values("found_event_name") }} as event_name,
    found_numeric_value as numeric_value,
    {{ flagmart.few_values("case when is_metric then named_application_type end") }} as application_type,
    found_user_key as user_key,
    nullif(found_user_name, '') as user_name,
    {{ flagmart.few_values("coalesce(named_route, '')") }} as route,
    {{ flagmart.few_values("coalesce(named_account_id, '')") }} as account_id,
    {{ flagmart.few_values("coalesce(named_project_id, '')") }} as project_id,
    tag_0,
    {{ flagmart.few_values("tag_1") }} as tag_1,
    tag_2,
    tag_3,
    occurred_at,
    {{ flagmart.date_or_null("occurred_at") }} as occurred_on,
    ingested_at,
    {{ flagmart.few_values("source") }} as source,
    source_ingested_at,
    {{ flagmart.few_values("
        case
            when found_reject_reason is not null then 'rejected'
            when is_evaluation then 'evaluation'
            else 'metric'
        end
    ") }} as outcome,
    {{ flagmart.few_values("found_reject_reason") }} as reject_reason,
    {{ flagmart.few_values("case when found_reject_reason is null then found_warning end") }} as warning
from settled
