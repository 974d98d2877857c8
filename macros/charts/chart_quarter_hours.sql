{% macro chart_quarter_hours(charts, edges) -%}
    {#- The CTE `quarter_hours`, those that each interval of charts touches, and the one it is made from: what counts of quarter hours
        and moments are joined with by equality, before the interval's own edges say what is in it. `charts` and `edges` name
        relations or CTEs with the columns of `resolved_charts` and `chart_edges`. -#}
    {%- set quarter_hour_ms = 15 * 60 * 1000 -%}
    touched as (
        select
            edges.chart_name,
            charts.env_id as chart_env_id,
            coalesce(charts.flag_key, '') as chart_flag_key,
            edges.interval_index,
            edges.intervals,
            edges.interval_start_ms,
            edges.interval_end_ms,
            {{ flagmart.bucket_start_ms("edges.interval_start_ms", quarter_hour_ms) }} as first_bucket_ms,
            {{ flagmart.integers_below(
                flagmart.interval_index(
                    "edges.interval_end_ms - 1",
                    flagmart.bucket_start_ms("edges.interval_start_ms", quarter_hour_ms),
                    quarter_hour_ms,
                ) ~ " + 1"
            ) }} as step
        from {{ edges }} as edges
        inner join {{ charts }} as charts on edges.chart_name = charts.chart_name
    ),

    quarter_hours as (
        select
            chart_name,
            chart_env_id,
            chart_flag_key,
            interval_index,
            intervals,
            interval_start_ms,
            interval_end_ms,
            first_bucket_ms + step * {{ quarter_hour_ms }} as bucket_start_ms
        from touched
    )
{%- endmacro %}
