{{
    config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="ingested_at",
        on_schema_change="fail",
        order_by="(ingested_at, summary_id)",
        partition_by=flagmart.by_month("ingested_at"),
        post_hook="{{ flagmart.record_finished_runs(source('prefab', 'prefab_counters')) }}",
    )
}}

{%- set named = {
    "instance": "named_instance",
    "end": "named_end",
    "key": "named_key",
    "type": "named_type",
    "configId": "named_config_id",
    "selectedIndex": "named_selected_index",
    "selectedValue": "named_selected_value",
    "count": "named_count",
} %}

{%- set latest = flagmart.add_hours("ingested_at", var("flagmart_max_clock_lead_hours")) %}

with landed as (
    select
        event_id as summary_id,
        env_id,
        event,
        properties,
        occurred_at,
        ingested_at,
        source,
        {{ flagmart.json_fields("properties", named.keys()) }} as fields
    from {{ source("prefab", "prefab_counters") }}
    {% if is_incremental() %}
        where {{ flagmart.since_last_run("ingested_at") }}
    {% endif %}
),

named as (
    select
        *,
        {{ flagmart.json_columns("fields", named) }}
    from landed
),

extracted as (
    select
        *,
        coalesce(named_key, '') as flag_key,
        {{ flagmart.first_filled([
            "case when named_selected_value = '' then '\"\"' else named_selected_value end",
            "'index:' || named_selected_index",
        ]) }} as variation_id,
        {{ flagmart.int64_or_null("named_end") }} as ended_ms,
        {{ flagmart.int64_or_null("named_count") }} as counted
    from named
),

judged as (
    select
        *,
        case
            when flag_key = '' then 'missing_flag_key'
            when variation_id = '' then 'missing_variation_id'
            when
                ended_ms is null
                or occurred_at < {{ flagmart.timestamp_literal(var("flagmart_earliest_plausible_date")) }}
                or occurred_at > {{ latest }}
                or ended_ms > {{ flagmart.epoch_ms(latest) }}
                then 'implausible_timestamp'
            when ended_ms < {{ flagmart.epoch_ms(flagmart.never_null("occurred_at")) }} then 'end_before_start'
            -- a million million in one window is no count, and a million of those still add up to a 64-bit number
            when counted is null or counted < 1 or counted > 1000000000000 then 'implausible_count'
        end as found_reject_reason,
        case
            when ended_ms - {{ flagmart.epoch_ms(flagmart.never_null("occurred_at")) }} > 15 * 60 * 1000
                then 'summary_longer_than_bucket'
        end as found_warning
    from extracted
)

select
    summary_id,
    env_id,
    event,
    case when found_reject_reason is not null then properties else '' end as properties,
    flag_key,
    variation_id,
    coalesce(named_config_id, '') as config_id,
    coalesce(named_type, '') as config_type,
    coalesce(named_instance, '') as instance_id,
    {{ flagmart.never_null("occurred_at") }} as started_at,
    case when found_reject_reason is null then {{ flagmart.timestamp_from_ms("ended_ms") }} end as ended_at,
    case when found_reject_reason is null then counted end as evaluations,
    ingested_at,
    source,
    case when found_reject_reason is not null then 'rejected' else 'evaluation' end as outcome,
    found_reject_reason as reject_reason,
    case when found_reject_reason is null then found_warning end as warning
from judged
