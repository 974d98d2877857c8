{% macro float64_or_null(text) -%}
    {#- `text` as a 64-bit float; null where it is none. -#}
    {{ adapter.dispatch("float64_or_null", "flagmart")(text) }}
{%- endmacro %}

{% macro default__float64_or_null(text) -%}
    {{ flagmart.no_variant("float64_or_null") }}
{%- endmacro %}

{% macro duckdb__float64_or_null(text) -%}
    try_cast({{ text }} as double)
{%- endmacro %}
