{% macro json_part(field) -%}
    {#- What `json_fields` takes of a field that it made itself and that may be an object: its text if so, also where it was a
        string that holds one. -#}
    {{ adapter.dispatch("json_part", "flagmart")(field) }}
{%- endmacro %}

{% macro default__json_part(field) -%}
    {{ flagmart.no_variant("json_part") }}
{%- endmacro %}

{% macro duckdb__json_part(field) -%}
    case when starts_with({{ field }}, '{') and json_valid({{ field }}) then {{ field }} end
{%- endmacro %}

{% macro clickhouse__json_part(field) -%}
    if(startsWith(ifNull({{ field }}, ''), '{'), ifNull({{ field }}, ''), '')
{%- endmacro %}
