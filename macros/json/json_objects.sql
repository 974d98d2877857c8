{% macro json_objects(array_text, fields) -%}
    {#- One row for each object of a JSON array of objects, in a select list: a struct of its `fields` as `json_fields` makes it. No
        row where the array is empty or the text is none. -#}
    {{ adapter.dispatch("json_objects", "flagmart")(array_text, fields) }}
{%- endmacro %}

{% macro default__json_objects(array_text, fields) -%}
    {{ flagmart.no_variant("json_objects") }}
{%- endmacro %}

{% macro duckdb__json_objects(array_text, fields) -%}
    unnest(try(from_json({{ array_text }}, '[{
        {%- for field in fields -%}
        "{{ field }}": "VARCHAR"{{ ", " if not loop.last }}
        {%- endfor -%}
    }]')))
{%- endmacro %}

{% macro clickhouse__json_objects(array_text, fields) -%}
    arrayJoin(JSONExtract({{ array_text }}, 'Array(Tuple(
        {%- for field in fields -%}
        {{ field }} Nullable(String){{ ", " if not loop.last }}
        {%- endfor -%}
    ))'))
{%- endmacro %}
