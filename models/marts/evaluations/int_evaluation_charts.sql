{{ config(pre_hook="{{ flagmart.all_text(ref('evaluation_charts')) }}") }}

with seeded as (
    select
        charts.chart_name,
        charts.env_id,
        charts.flag_key,
        charts.starts_at,
        charts.ends_at,
        charts.timezone,
        charts.{{ adapter.quote("interval") }} as chart_interval,
        charts.alignment
    from {{ ref("evaluation_charts") }} as charts
),

resolved as (
    {{ flagmart.resolved_charts("seeded") }}
)

select * from resolved
