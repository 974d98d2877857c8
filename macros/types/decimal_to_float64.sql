{% macro decimal_to_float64(number) -%}
    {#- The 64-bit float nearest to a decimal; null for null. By way of its text, since ClickHouse's own cast misses the nearest
        one where the decimal has more than 15 digits. -#}
    {{ adapter.dispatch("decimal_to_float64", "flagmart")(number) }}
{%- endmacro %}

{% macro default__decimal_to_float64(number) -%}
    {{ flagmart.no_variant("decimal_to_float64") }}
{%- endmacro %}

{% macro duckdb__decimal_to_float64(number) -%}
    cast(cast({{ number }} as varchar) as double)
{%- endmacro %}

{% macro clickhouse__decimal_to_float64(number) -%}
    toFloat64(toString({{ number }}))
{%- endmacro %}
