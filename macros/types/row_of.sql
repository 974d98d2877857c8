{% macro row_of(values) -%}
    {#- The list `values` (never null) as one value, which compares by the first of them, then by the second, and so on. -#}
    {{ adapter.dispatch("row_of", "flagmart")(values) }}
{%- endmacro %}

{% macro default__row_of(values) -%}
    {{ flagmart.no_variant("row_of") }}
{%- endmacro %}

{% macro duckdb__row_of(values) -%}
    row({{ values | join(", ") }})
{%- endmacro %}

{% macro clickhouse__row_of(values) -%}
    tuple({{ values | join(", ") }})
{%- endmacro %}
