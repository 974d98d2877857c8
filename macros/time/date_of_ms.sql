{% macro date_of_ms(milliseconds) -%}
    {#- The UTC date in which `milliseconds` after 1970-01-01 lies. -#}
    {{ adapter.dispatch("date_of_ms", "flagmart")(milliseconds) }}
{%- endmacro %}

{% macro default__date_of_ms(milliseconds) -%}
    {{ flagmart.no_variant("date_of_ms") }}
{%- endmacro %}

{% macro duckdb__date_of_ms(milliseconds) -%}
    cast(make_timestamp(({{ milliseconds }}) * 1000) as date)
{%- endmacro %}

{% macro clickhouse__date_of_ms(milliseconds) -%}
    toDate(fromUnixTimestamp64Micro(toInt64({{ milliseconds }}) * 1000, 'UTC'))
{%- endmacro %}
