{{ config(materialized="view") }}

with {{ flagmart.asked_chart() }},

points as (
    {{ flagmart.chart_points("resolved", "edges", flagmart.asked_text("flag_key")) }}
)

select * from points
