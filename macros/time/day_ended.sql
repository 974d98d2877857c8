{% macro day_ended(relation, day, timezone) -%}
    {#- A select of all columns of `relation` (a CTE) and `ends_ms`: the instant, in milliseconds since 1970 UTC, at which the
        date in its column `day` is over by clocks of `timezone`. The way back from `dated`, by the same rules. -#}
    {%- set wall_ms = "(" ~ dbt.datediff("cast('1970-01-01' as date)", day, "day") ~ " + 1) * 86400000" -%}
    {%- set offset_ms = flagmart.fixed_offset_ms(timezone) -%}
    {%- if offset_ms is not none -%}
        select
            *,
            {{ wall_ms }} - ({{ offset_ms }}) as ends_ms
        from {{ relation }}
    {%- else -%}
        select
            {{ flagmart.columns_but("walled", "zone_of_day, wall_ms") }},
            {{ flagmart.instant_of_wall_clock("walled.wall_ms", "stretches") }} as ends_ms
        from (
            select
                *,
                {{ wall_ms }} as wall_ms,
                {{ dbt.string_literal(dbt.escape_single_quotes(timezone)) }} as zone_of_day
            from {{ relation }}
        ) as walled
        asof inner join {{ ref("flagmart", "int_time_zone_offsets") }} as stretches
            on
                walled.zone_of_day = stretches.timezone
                and walled.wall_ms < stretches.wall_until_ms
    {%- endif -%}
{%- endmacro %}
