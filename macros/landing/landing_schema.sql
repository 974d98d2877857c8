{% macro landing_schema() -%}
    {#- The schema where the landing is read from, quoted where it must be. On ClickHouse it lies beside the database of the models, so
        that two installations on one server do not meet. -#}
    {{ return(adapter.dispatch("landing_schema", "flagmart")()) }}
{%- endmacro %}

{% macro default__landing_schema() -%}
    {{ flagmart.no_variant("landing_schema") }}
{%- endmacro %}

{% macro duckdb__landing_schema() -%}
    {{ return("flagmart_landing") }}
{%- endmacro %}

{% macro clickhouse__landing_schema() -%}
    {{ return("`" ~ target.schema ~ "_landing`") }}
{%- endmacro %}
