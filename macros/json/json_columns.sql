{% macro json_columns(fields, names) -%}
    {#- The fields of a struct made by `json_fields` as columns of a select list; `names` maps field to column name. -#}
    {%- for field, column in names.items() -%}
        {{ flagmart.json_field(fields, field) }} as {{ column }}{{ ",\n        " if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{% macro json_field(fields, name) -%}
    {#- One field of a struct made by `json_fields`. -#}
    {{ adapter.dispatch("json_field", "flagmart")(fields, name) }}
{%- endmacro %}

{% macro default__json_field(fields, name) -%}
    {{ flagmart.no_variant("json_field") }}
{%- endmacro %}

{% macro duckdb__json_field(fields, name) -%}
    struct_extract({{ fields }}, '{{ name }}')
{%- endmacro %}

{% macro clickhouse__json_field(fields, name) -%}
    tupleElement({{ fields }}, '{{ name }}')
{%- endmacro %}
