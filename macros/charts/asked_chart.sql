{% macro asked_chart() -%}
    {#- The CTEs `resolved` and `edges` of the chart that whoever reads a view asks for, by columns of int_asked_evaluation_chart. -#}
    resolved as (
        select
            'chart' as chart_name,
            nullif({{ flagmart.asked_text("env_id") }}, '') as env_id,
            nullif({{ flagmart.asked_text("flag_key") }}, '') as flag_key,
            {{ flagmart.asked_text("timezone") }} as timezone,
            {{ flagmart.asked_text("alignment") }} as alignment,
            {{ flagmart.asked_integer("start_ms") }} as start_ms,
            {{ flagmart.asked_integer("end_ms") }} as end_ms,
            {{ flagmart.asked_integer("start_wall_ms") }} as start_wall_ms,
            {{ flagmart.asked_integer("interval_ms") }} as interval_ms,
            {{ flagmart.asked_integer("interval_months") }} as interval_months,
            coalesce({{ flagmart.asked_integer("possible_intervals") }}, 0) as possible_intervals
    ),

    edges as (
        {{ flagmart.chart_edges("resolved") }}
    )
{%- endmacro %}
