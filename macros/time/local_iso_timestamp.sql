{% macro local_iso_timestamp(milliseconds, offset_ms) -%}
    {#- The instant `milliseconds` after 1970-01-01 UTC as ISO 8601 text, seconds and no finer, as clocks show it that are
        `offset_ms` ahead of UTC: 2023-08-25T01:45:00+05:45. -#}
    left({{ flagmart.iso_timestamp(flagmart.timestamp_from_ms(milliseconds ~ " + " ~ offset_ms)) }}, 19)
    || case when {{ offset_ms }} < 0 then '-' else '+' end
    || right('0' || cast({{ flagmart.floor_div("abs(" ~ offset_ms ~ ")", 3600000) }} as {{ dbt.type_string() }}), 2)
    || ':'
    || right('0' || cast({{ flagmart.floor_div("abs(" ~ offset_ms ~ ") % 3600000", 60000) }} as {{ dbt.type_string() }}), 2)
{%- endmacro %}
