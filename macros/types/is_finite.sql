{% macro is_finite(number) -%}
    {#- Whether a float is neither infinite nor NaN; null for null. -#}
    {{ adapter.dispatch("is_finite", "flagmart")(number) }}
{%- endmacro %}

{% macro default__is_finite(number) -%}
    {{ flagmart.no_variant("is_finite") }}
{%- endmacro %}

{% macro duckdb__is_finite(number) -%}
    isfinite({{ number }})
{%- endmacro %}

{% macro clickhouse__is_finite(number) -%}
    isFinite({{ number }})
{%- endmacro %}
