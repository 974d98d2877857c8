{% macro null_text() -%}
    {#- A null that is text. -#}
    {{ adapter.dispatch("null_text", "flagmart")() }}
{%- endmacro %}

{% macro default__null_text() -%}
    {{ flagmart.no_variant("null_text") }}
{%- endmacro %}

{% macro duckdb__null_text() -%}
    cast(null as varchar)
{%- endmacro %}

{% macro clickhouse__null_text() -%}
    cast(null as Nullable(String))
{%- endmacro %}
