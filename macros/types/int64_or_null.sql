{% macro int64_or_null(text) -%}
    {#- `text` as a 64-bit integer; null where it is none. -#}
    {{ adapter.dispatch("int64_or_null", "flagmart")(text) }}
{%- endmacro %}

{% macro default__int64_or_null(text) -%}
    {{ flagmart.no_variant("int64_or_null") }}
{%- endmacro %}

{% macro duckdb__int64_or_null(text) -%}
    try_cast({{ text }} as bigint)
{%- endmacro %}
