{% macro fill_gaps(drawn, edges, measures=["evaluations"]) -%}
    {#- Zeros where a series has none of what is counted: a row for each series of `drawn` and each interval of its chart. `drawn`
        names a relation or CTE of chart_name, env_id, flag_key, variation_id, interval_index, intervals (how many the chart has)
        and the `measures`; `edges` one with the columns of `chart_edges`, which the rows get, too. -#}
    {{ adapter.dispatch("fill_gaps", "flagmart")(drawn, edges, measures) }}
{%- endmacro %}

{% macro default__fill_gaps(drawn, edges, measures) -%}
    {{ flagmart.no_variant("fill_gaps") }}
{%- endmacro %}

{% macro duckdb__fill_gaps(drawn, edges, measures) -%}
    select
        series.chart_name,
        series.env_id,
        series.flag_key,
        series.variation_id,
        edges.interval_index,
        edges.interval_start_ms,
        edges.interval_end_ms,
        edges.interval_start_local,
        edges.is_partial
        {%- for measure in measures %},
        coalesce(drawn.{{ measure }}, 0) as {{ measure }}
        {%- endfor %}
    from (select distinct chart_name, env_id, flag_key, variation_id from {{ drawn }}) as series
    inner join {{ edges }} as edges on series.chart_name = edges.chart_name
    left join {{ drawn }} as drawn
        on
            series.chart_name = drawn.chart_name
            and series.env_id = drawn.env_id
            and series.flag_key = drawn.flag_key
            and series.variation_id = drawn.variation_id
            and edges.interval_index = drawn.interval_index
{%- endmacro %}

{% macro clickhouse__fill_gaps(drawn, edges, measures) -%}
    {#- Works out anew each mention of `drawn`, so that there is one: from each interval with evaluations on to the next one, and
        from the first back to the chart's start. On DuckDB this takes three times as long as the join. -#}
    with spans as (
        select
            *,
            if(
                lag(interval_index, 1, -1)
                    over (partition by chart_name, env_id, flag_key, variation_id order by interval_index) < 0,
                0,
                interval_index
            ) as first_index,
            lead(interval_index, 1, intervals)
                over (partition by chart_name, env_id, flag_key, variation_id order by interval_index) as next_index
        from {{ drawn }}
    ),

    filled as (
        select
            chart_name,
            env_id,
            flag_key,
            variation_id,
            interval_index as drawn_index,
            {% for measure in measures -%}
            {{ measure }},
            {% endfor -%}
            first_index,
            {{ flagmart.integers_below("next_index - first_index") }} as step
        from spans
    )

    select
        filled.chart_name as chart_name,
        filled.env_id as env_id,
        filled.flag_key as flag_key,
        filled.variation_id as variation_id,
        edges.interval_index as interval_index,
        edges.interval_start_ms as interval_start_ms,
        edges.interval_end_ms as interval_end_ms,
        edges.interval_start_local as interval_start_local,
        edges.is_partial as is_partial
        {%- for measure in measures %},
        if(edges.interval_index = filled.drawn_index, filled.{{ measure }}, 0) as {{ measure }}
        {%- endfor %}
    from filled
    inner join {{ edges }} as edges
        on
            filled.chart_name = edges.chart_name
            and filled.first_index + filled.step = edges.interval_index
{%- endmacro %}
