{{ config(order_by="(chart_name, env_id, flag_key, variation_id, interval_index)") }}

with charts as (
    select
        chart_name,
        env_id as chart_env_id,
        flag_key as chart_flag_key,
        start_ms,
        end_ms,
        interval_ms,
        {{ flagmart.floor_div("end_ms - start_ms + interval_ms - 1", "interval_ms") }} as intervals
    from {{ ref("int_evaluation_charts") }}
),

counted as (
    select
        charts.chart_name,
        counts.env_id,
        counts.flag_key,
        counts.variation_id,
        {{ flagmart.interval_index("counts.bucket_start_ms", "charts.start_ms", "charts.interval_ms") }}
            as interval_index,
        cast(sum(counts.evaluations) as {{ dbt.type_bigint() }}) as counted_evaluations
    from {{ ref("fct_evaluation_counts") }} as counts
    inner join charts
        on
            counts.bucket_start_ms >= charts.start_ms
            and counts.bucket_start_ms < charts.end_ms
            and (charts.chart_env_id is null or counts.env_id = charts.chart_env_id)
            and (charts.chart_flag_key is null or counts.flag_key = charts.chart_flag_key)
    group by
        charts.chart_name,
        counts.env_id,
        counts.flag_key,
        counts.variation_id,
        interval_index
),

series as (
    select distinct
        chart_name,
        env_id,
        flag_key,
        variation_id
    from counted
),

spine as (
    select
        series.chart_name,
        series.env_id,
        series.flag_key,
        series.variation_id,
        charts.start_ms,
        charts.end_ms,
        charts.interval_ms,
        {{ flagmart.integers_below("charts.intervals") }} as interval_index
    from series
    inner join charts on series.chart_name = charts.chart_name
),

edged as (
    select
        *,
        start_ms + interval_index * interval_ms as interval_start_ms,
        least(start_ms + (interval_index + 1) * interval_ms, end_ms) as interval_end_ms,
        start_ms + (interval_index + 1) * interval_ms > end_ms as is_partial
    from spine
)

select
    edged.chart_name,
    edged.env_id,
    edged.flag_key,
    edged.variation_id,
    edged.interval_index,
    {{ flagmart.timestamp_from_ms("edged.interval_start_ms") }} as interval_start_at,
    {{ flagmart.timestamp_from_ms("edged.interval_end_ms") }} as interval_end_at,
    left({{ flagmart.iso_timestamp(flagmart.timestamp_from_ms("edged.interval_start_ms")) }}, 19)
    || '+00:00' as interval_start_local,
    edged.is_partial,
    coalesce(counted.counted_evaluations, 0) as evaluations
from edged
left join counted
    on
        edged.chart_name = counted.chart_name
        and edged.env_id = counted.env_id
        and edged.flag_key = counted.flag_key
        and edged.variation_id = counted.variation_id
        and edged.interval_index = counted.interval_index
