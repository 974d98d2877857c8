{% macro floor_div(dividend, divisor) -%}
    {#- Integer division rounded down, also for negative dividends (the engines' own rounds toward zero); `divisor` is positive. -#}
    {{ adapter.dispatch("floor_div", "flagmart")(dividend, divisor) }}
{%- endmacro %}

{% macro default__floor_div(dividend, divisor) -%}
    {{ flagmart.no_variant("floor_div") }}
{%- endmacro %}

{% macro duckdb__floor_div(dividend, divisor) -%}
    ((({{ dividend }}) - ((({{ dividend }}) % ({{ divisor }})) + ({{ divisor }})) % ({{ divisor }})) // ({{ divisor }}))
{%- endmacro %}

{% macro clickhouse__floor_div(dividend, divisor) -%}
    intDiv(toInt64({{ dividend }}) - positiveModulo(toInt64({{ dividend }}), toInt64({{ divisor }})), toInt64({{ divisor }}))
{%- endmacro %}
