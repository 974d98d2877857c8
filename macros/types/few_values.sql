{% macro few_values(text) -%}
    {#- `text`, kept as a dictionary where the engine can: for columns whose values come from how flags and events were set up, so
        that there are few, however many rows; not for what is each user's own. -#}
    {{ adapter.dispatch("few_values", "flagmart")(text) }}
{%- endmacro %}

{% macro default__few_values(text) -%}
    {{ flagmart.no_variant("few_values") }}
{%- endmacro %}

{% macro duckdb__few_values(text) -%}
    {#- each block of a table finds out by itself -#}
    {{ text }}
{%- endmacro %}

{% macro clickhouse__few_values(text) -%}
    toLowCardinality({{ text }})
{%- endmacro %}
