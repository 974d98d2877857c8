{{ config(materialized="view") }}

with asked as (
    select
        'chart' as chart_name,
        {{ flagmart.asked_text("env_id") }} as env_id,
        {{ flagmart.asked_text("flag_key") }} as flag_key,
        {{ flagmart.asked_text("starts_at") }} as starts_at,
        {{ flagmart.asked_text("ends_at") }} as ends_at,
        {{ flagmart.asked_text("timezone") }} as timezone,
        {{ flagmart.asked_text("chart_interval") }} as chart_interval,
        {{ flagmart.asked_text("alignment") }} as alignment
),

resolved as (
    {{ flagmart.resolved_charts("asked") }}
)

select * from resolved
