{% macro epoch_ms(moment) -%}
    {#- Milliseconds from 1970-01-01 UTC to the timestamp `moment`, rounded down (DuckDB's own epoch_ms rounds to the nearest); a 64-bit integer. -#}
    {{ adapter.dispatch("epoch_ms", "flagmart")(moment) }}
{%- endmacro %}

{% macro default__epoch_ms(moment) -%}
    {{ flagmart.no_variant("epoch_ms") }}
{%- endmacro %}

{% macro duckdb__epoch_ms(moment) -%}
    {{ flagmart.floor_div("epoch_us(" ~ moment ~ ")", 1000) }}
{%- endmacro %}

{% macro clickhouse__epoch_ms(moment) -%}
    {{ flagmart.floor_div("toUnixTimestamp64Micro(" ~ moment ~ ")", 1000) }}
{%- endmacro %}
