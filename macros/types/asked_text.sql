{% macro asked_text(name) -%}
    {#- A text that whoever reads a view says with the query: the session's variable `name` on DuckDB (empty where it is not set),
        the parameter `name` of the view on ClickHouse. It is a value, never a part of the statement. -#}
    {{ adapter.dispatch("asked_text", "flagmart")(name) }}
{%- endmacro %}

{% macro default__asked_text(name) -%}
    {{ flagmart.no_variant("asked_text") }}
{%- endmacro %}

{% macro duckdb__asked_text(name) -%}
    coalesce(cast(getvariable('{{ name }}') as varchar), '')
{%- endmacro %}

{% macro clickhouse__asked_text(name) -%}
    {{ "{" ~ name ~ ":String}" }}
{%- endmacro %}
