{% macro builds_schema() -%}
    {#- The schema where dbt's runs are noted, quoted where it must be. On ClickHouse it lies beside the database of the models, so
        that two installations on one server do not meet. -#}
    {{ return(adapter.dispatch("builds_schema", "flagmart")()) }}
{%- endmacro %}

{% macro default__builds_schema() -%}
    {{ flagmart.no_variant("builds_schema") }}
{%- endmacro %}

{% macro duckdb__builds_schema() -%}
    {{ return("flagmart_builds") }}
{%- endmacro %}

{% macro clickhouse__builds_schema() -%}
    {{ return("`" ~ target.schema ~ "_builds`") }}
{%- endmacro %}
