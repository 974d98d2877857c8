{% macro instant_of_wall_clock(wall_ms, stretch) -%}
    {#- The first instant at which a zone's clocks show `wall_ms` or later: one that does not exist moves forward to the first
        that does, one that happens twice is its first. Milliseconds; a wall clock counts them from its own 1970-01-01 00:00.
        `stretch` is the row of int_time_zone_offsets that an ASOF join finds on the zone and wall_ms < wall_until_ms. -#}
    greatest({{ stretch }}.from_ms, {{ wall_ms }} - {{ stretch }}.offset_ms)
{%- endmacro %}
