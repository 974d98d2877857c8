{{
    config(
        materialized="view",
        pre_hook="{{ flagmart.all_text(ref('evaluation_charts')) }}",
    )
}}

with charts as (
    select
        seeded.chart_name,
        nullif(seeded.env_id, '') as chart_env_id,
        nullif(seeded.flag_key, '') as chart_flag_key,
        seeded.starts_at,
        nullif(seeded.ends_at, '') as chart_ends_at,
        seeded.{{ adapter.quote("interval") }} as chart_interval
    from {{ ref("evaluation_charts") }} as seeded
),

newest as (
    select {{ flagmart.newest_data_ms("bucket_start_ms") }} as as_of_ms
    from {{ ref("fct_evaluation_counts") }}
),

ended as (
    select
        charts.*,
        {{ flagmart.duration_ms("chart_interval") }} as interval_ms,
        case
            when charts.chart_ends_at is null then newest.as_of_ms
            else {{ flagmart.epoch_ms(flagmart.timestamp_or_null("charts.chart_ends_at")) }}
        end as end_ms
    from charts
    cross join newest
)

select
    chart_name,
    chart_env_id as env_id,
    chart_flag_key as flag_key,
    starts_at,
    chart_ends_at as ends_at,
    chart_interval,
    case
        when starts_at like '-%' then end_ms - {{ flagmart.duration_ms("substr(starts_at, 2)") }}
        else {{ flagmart.epoch_ms(flagmart.timestamp_or_null("starts_at")) }}
    end as start_ms,
    end_ms,
    interval_ms
from ended
