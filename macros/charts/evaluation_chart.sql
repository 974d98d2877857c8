{% macro evaluation_chart(
    flag=none, env=none, start="-30d", end=none, interval="1d", timezone="UTC", alignment="fixed"
) -%}
    {#- The points of one chart, for a model or a query of your own: the columns of fct_evaluation_chart_points but chart_name.
        Arguments are what a row of the seed evaluation_charts says: no `flag` or `env` means all, no `end` the newest data.
        The window is settled when dbt compiles the model, from what is built at that moment; a chart that cannot be drawn stops
        it there. So the statement is a small one, which ClickHouse would take most of a minute to plan otherwise. -#}
    {%- set asked = {
        "chart_name": "chart",
        "env_id": env,
        "flag_key": flag,
        "starts_at": start,
        "ends_at": end,
        "timezone": timezone,
        "chart_interval": interval,
        "alignment": alignment,
    } -%}
    {%- set resolve -%}
        with asked_chart as (
            select
                {%- for name, value in asked.items() %}
                {{ flagmart.text_literal(value) }} as {{ name }}{{ "," if not loop.last }}
                {%- endfor %}
        ),

        resolved_chart as ({{ flagmart.resolved_charts("asked_chart") }})

        select
            coalesce(mend, '') as mend,
            timezone,
            alignment,
            start_ms,
            end_ms,
            start_wall_ms,
            interval_ms,
            interval_months,
            possible_intervals
        from resolved_chart
    {%- endset -%}
    {%- set counts = ref("flagmart", "fct_evaluation_counts") -%}
    {%- set zones = ref("flagmart", "int_time_zone_offsets") -%}
    {%- set chart = {"timezone": "UTC", "alignment": "fixed"} -%}
    {%- if execute and load_relation(counts) and load_relation(zones) -%}
        {%- set found = run_query(resolve) -%}
        {%- do chart.update(dict(zip(found.column_names, found.rows[0].values()))) -%}
        {%- if chart.mend -%}
            {{ exceptions.raise_compiler_error(
                "evaluation_chart: " ~ chart.mend | replace("starts_at", "start") | replace("ends_at", "end")
            ) }}
        {%- endif -%}
    {%- endif -%}
    {#- false while dbt only looks for what is referred to -#}
    {%- set on_quarter_hours = (
        "end_ms" in chart
        and chart.alignment == "fixed"
        and [chart.start_ms, chart.end_ms, chart.interval_ms] | reject("none") | select("divisibleby", 900000) | list | length == 3
    ) -%}
    with resolved_chart as (
        select
            'chart' as chart_name,
            nullif({{ flagmart.text_literal(env) }}, '') as env_id,
            nullif({{ flagmart.text_literal(flag) }}, '') as flag_key,
            {{ flagmart.text_literal(chart.timezone) }} as timezone,
            {{ flagmart.text_literal(chart.alignment) }} as alignment,
            {%- for name in ["start_ms", "end_ms", "start_wall_ms", "interval_ms", "interval_months", "possible_intervals"] %}
            cast({{ chart[name] or 0 }} as {{ dbt.type_bigint() }}) as {{ name }}{{ "," if not loop.last }}
            {%- endfor %}
    ),

    edges_of_chart as ({{ flagmart.chart_edges("resolved_chart", chart.alignment == "fixed" and "end_ms" in chart) }}),

    points_of_chart as (
        {{ flagmart.chart_points("resolved_chart", "edges_of_chart", flagmart.text_literal(flag), on_quarter_hours) }}
    )

    select
        env_id,
        flag_key,
        variation_id,
        variation_label,
        interval_index,
        interval_start_at,
        interval_end_at,
        interval_start_local,
        is_partial,
        evaluations
    from points_of_chart
{%- endmacro %}
