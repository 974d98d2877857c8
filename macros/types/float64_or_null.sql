{% macro float64_or_null(text) -%}
    {#- `text` as a 64-bit float where it is a number as JSON writes it; null otherwise. -#}
    {{ adapter.dispatch("float64_or_null", "flagmart")(text) }}
{%- endmacro %}

{% macro default__float64_or_null(text) -%}
    {{ flagmart.no_variant("float64_or_null") }}
{%- endmacro %}

{% macro duckdb__float64_or_null(text) -%}
    case when {{ flagmart.matches(text, '^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?$') }} then try_cast({{ text }} as double) end
{%- endmacro %}

{% macro clickhouse__float64_or_null(text) -%}
    if(match({{ text }}, '^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?$'), toFloat64OrNull({{ text }}), null)
{%- endmacro %}
