{{ config(materialized="view") }}

with {{ flagmart.asked_chart() }},

users as (
    {{ flagmart.chart_users("resolved", "edges", flagmart.asked_text("flag_key")) }}
)

select * from users
