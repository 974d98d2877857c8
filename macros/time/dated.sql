{% macro dated(relation, milliseconds, timezone) -%}
    {#- A select of all columns of `relation` (a CTE) and `partition_on`: the date that clocks of `timezone` show at its column
        `milliseconds`, since 1970 UTC. A fixed offset (`fixed_offset_ms`) costs an addition; a name of the IANA tz database is
        looked up in int_time_zone_offsets, and one that is not there leaves no row. -#}
    {%- set offset_ms = flagmart.fixed_offset_ms(timezone) -%}
    {%- if offset_ms is not none -%}
        select
            {{ relation }}.*,
            {{ flagmart.date_of_ms(relation ~ "." ~ milliseconds ~ " + " ~ offset_ms) }} as partition_on
        from {{ relation }}
    {%- else -%}
        select
            {{ flagmart.columns_but("zoned", "zone_of_day") }},
            {{ flagmart.date_of_ms("zoned." ~ milliseconds ~ " + stretches.offset_ms") }} as partition_on
        from (
            select
                *,
                {{ dbt.string_literal(dbt.escape_single_quotes(timezone)) }} as zone_of_day
            from {{ relation }}
        ) as zoned
        asof inner join {{ ref("flagmart", "int_time_zone_offsets") }} as stretches
            on
                zoned.zone_of_day = stretches.timezone
                and zoned.{{ milliseconds }} >= stretches.from_ms
    {%- endif -%}
{%- endmacro %}
