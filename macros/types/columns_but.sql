{% macro columns_but(relation, column) -%}
    {#- All columns of `relation`, in a select list, but one. -#}
    {{ adapter.dispatch("columns_but", "flagmart")(relation, column) }}
{%- endmacro %}

{% macro default__columns_but(relation, column) -%}
    {{ flagmart.no_variant("columns_but") }}
{%- endmacro %}

{% macro duckdb__columns_but(relation, column) -%}
    {{ relation }}.* exclude ({{ column }})
{%- endmacro %}

{% macro clickhouse__columns_but(relation, column) -%}
    {{ relation }}.* except ({{ column }})
{%- endmacro %}
