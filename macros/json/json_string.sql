{% macro json_string(text) -%}
    {#- `text` as a JSON string with its quotes; `null` for null. Non-ASCII characters stand as they are. -#}
    {{ adapter.dispatch("json_string", "flagmart")(text) }}
{%- endmacro %}

{% macro default__json_string(text) -%}
    {{ flagmart.no_variant("json_string") }}
{%- endmacro %}

{% macro duckdb__json_string(text) -%}
    coalesce(cast(to_json({{ text }}) as varchar), 'null')
{%- endmacro %}
