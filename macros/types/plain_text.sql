{% macro plain_text(column, nullable=false) -%}
    {#- A column that `few_values` made, as text like any other: on ClickHouse even a comparison with a dictionary gives a type
        that tables refuse. -#}
    {{ adapter.dispatch("plain_text", "flagmart")(column, nullable) }}
{%- endmacro %}

{% macro default__plain_text(column, nullable) -%}
    {{ flagmart.no_variant("plain_text") }}
{%- endmacro %}

{% macro duckdb__plain_text(column, nullable) -%}
    {{ column }}
{%- endmacro %}

{% macro clickhouse__plain_text(column, nullable) -%}
    cast({{ column }} as {{ "Nullable(String)" if nullable else "String" }})
{%- endmacro %}
