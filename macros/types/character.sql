{% macro character(code) -%}
    {#- The character with Unicode code point `code`, for those that cannot stand in SQL text. -#}
    {{ adapter.dispatch("character", "flagmart")(code) }}
{%- endmacro %}

{% macro default__character(code) -%}
    {{ flagmart.no_variant("character") }}
{%- endmacro %}

{% macro duckdb__character(code) -%}
    chr({{ code }})
{%- endmacro %}

{% macro clickhouse__character(code) -%}
    char({{ code }})
{%- endmacro %}
