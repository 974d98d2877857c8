{% macro timestamp_from_ms(milliseconds) -%}
    {#- The UTC timestamp `milliseconds` after 1970-01-01. -#}
    {{ adapter.dispatch("timestamp_from_ms", "flagmart")(milliseconds) }}
{%- endmacro %}

{% macro default__timestamp_from_ms(milliseconds) -%}
    {{ flagmart.no_variant("timestamp_from_ms") }}
{%- endmacro %}

{% macro duckdb__timestamp_from_ms(milliseconds) -%}
    make_timestamp(({{ milliseconds }}) * 1000)
{%- endmacro %}

{% macro clickhouse__timestamp_from_ms(milliseconds) -%}
    fromUnixTimestamp64Micro(toInt64({{ milliseconds }}) * 1000, 'UTC')
{%- endmacro %}
