{% macro decimal_or_null(number, precision, scale) -%}
    {#- `number` as decimal(`precision`, `scale`), rounded half away from zero; null where it does not fit. -#}
    {{ adapter.dispatch("decimal_or_null", "flagmart")(number, precision, scale) }}
{%- endmacro %}

{% macro default__decimal_or_null(number, precision, scale) -%}
    {{ flagmart.no_variant("decimal_or_null") }}
{%- endmacro %}

{% macro duckdb__decimal_or_null(number, precision, scale) -%}
    try_cast({{ number }} as decimal({{ precision }}, {{ scale }}))
{%- endmacro %}

{% macro clickhouse__decimal_or_null(number, precision, scale) -%}
    if(abs({{ number }}) < 1e{{ precision - scale }}, cast(round({{ number }}, {{ scale }}) as Decimal({{ precision }}, {{ scale }})), null)
{%- endmacro %}
