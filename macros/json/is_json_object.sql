{% macro is_json_object(text) -%}
    {#- Whether `text` is valid JSON of an object, and nothing behind it. -#}
    {{ adapter.dispatch("is_json_object", "flagmart")(text) }}
{%- endmacro %}

{% macro default__is_json_object(text) -%}
    {{ flagmart.no_variant("is_json_object") }}
{%- endmacro %}

{% macro duckdb__is_json_object(text) -%}
    (starts_with({{ text }}, '{') or starts_with({{ flagmart.trim_start(text) }}, '{')) and json_valid({{ text }})
{%- endmacro %}

{% macro clickhouse__is_json_object(text) -%}
    startsWith({{ flagmart.trim_start(text) }}, '{') and isValidJSON({{ text }})
{%- endmacro %}
