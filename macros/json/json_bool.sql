{% macro json_bool(flag) -%}
    {#- A boolean as JSON `true` or `false`; `null` for null. -#}
    {{ adapter.dispatch("json_bool", "flagmart")(flag) }}
{%- endmacro %}

{% macro default__json_bool(flag) -%}
    {{ flagmart.no_variant("json_bool") }}
{%- endmacro %}

{% macro duckdb__json_bool(flag) -%}
    case when {{ flag }} then 'true' when not {{ flag }} then 'false' else 'null' end
{%- endmacro %}
