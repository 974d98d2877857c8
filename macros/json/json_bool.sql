{% macro json_bool(flag) -%}
    {#- A boolean as JSON `true` or `false`; `null` for null. -#}
    case when {{ flag }} then 'true' when not {{ flag }} then 'false' else 'null' end
{%- endmacro %}
