{% macro chart_edges(charts, only_fixed=false) -%}
    {#- The intervals of charts, without a hole: the columns of int_evaluation_chart_edges. `charts` names a relation or CTE
        with the columns of `resolved_charts`. Where it is known that all are fixed, `only_fixed` says so, and the engine
        has less to plan. -#}
    with zones as (
        select
            timezone,
            from_ms,
            wall_until_ms,
            offset_ms
        from {{ ref("flagmart", "int_time_zone_offsets") }}
        where timezone in (select charted.timezone from {{ charts }} as charted)
    ),

    steps as (
        select
            chart_name,
            timezone,
            alignment,
            start_ms,
            end_ms,
            coalesce(start_wall_ms, 0) as chart_start_wall_ms,
            coalesce(interval_ms, 0) as chart_interval_ms,
            coalesce(interval_months, 0) as chart_interval_months,
            {{ flagmart.integers_below("possible_intervals + 1") }} as step
        from {{ charts }}
        where possible_intervals > 0
    ),

    {% if not only_fixed %}
    walls as (
        select
            chart_name,
            timezone,
            start_ms,
            end_ms,
            step,
            {{ flagmart.add_months("chart_start_wall_ms", "step * chart_interval_months") }}
            + step * chart_interval_ms as wall_ms
        from steps
        where alignment = 'calendar'
    ),

    {% endif %}
    -- two edges on one instant are one; the first is the start, also where its wall clock is shown again later
    edges as (
        select
            chart_name,
            timezone,
            end_ms,
            start_ms + step * chart_interval_ms as edge_ms
        from steps
        where alignment = 'fixed'
        {% if not only_fixed %}
        union distinct
        select
            walls.chart_name,
            walls.timezone,
            walls.end_ms,
            {{ flagmart.instant_of_wall_clock("walls.wall_ms", "stretches") }} as edge_ms
        from walls
        asof inner join zones as stretches
            on
                walls.timezone = stretches.timezone
                and walls.wall_ms < stretches.wall_until_ms
        {% endif %}
    ),

    following as (
        select
            chart_name,
            timezone,
            end_ms,
            edge_ms,
            row_number() over (partition by chart_name order by edge_ms) - 1 as edge_index,
            sum(case when edge_ms < end_ms then 1 else 0 end) over (partition by chart_name) as edge_count,
            lead(edge_ms) over (partition by chart_name order by edge_ms) as next_edge_ms
        from edges
    )

    select
        following.chart_name,
        cast(following.edge_index as {{ dbt.type_bigint() }}) as interval_index,
        cast(following.edge_count as {{ dbt.type_bigint() }}) as intervals,
        following.edge_ms as interval_start_ms,
        least(following.next_edge_ms, following.end_ms) as interval_end_ms,
        cast({{ flagmart.never_null("following.next_edge_ms > following.end_ms") }} as Bool) as is_partial,
        {{ flagmart.local_iso_timestamp("following.edge_ms", "stretches.offset_ms") }} as interval_start_local
    from following
    asof inner join zones as stretches
        on
            following.timezone = stretches.timezone
            and following.edge_ms >= stretches.from_ms
    where following.edge_ms < following.end_ms
{%- endmacro %}
