{% macro json_fields(object_text, fields) -%}
    {#- The fields of a JSON object in one pass over its text, made by `json_object_text`: a struct with one text field for each
        name in the list `fields` (names differ in more than case). A string gives its characters, any other value its JSON
        text, a number with a point or an exponent as `float64_text` spells it; null and missing give null, and so does every
        field where the text is no JSON object. The first of two equal keys counts. -#}
    {{ adapter.dispatch("json_fields", "flagmart")(object_text, fields) }}
{%- endmacro %}

{% macro default__json_fields(object_text, fields) -%}
    {{ flagmart.no_variant("json_fields") }}
{%- endmacro %}

{% macro duckdb__json_fields(object_text, fields) -%}
    {#- `try` costs a third of what `json_valid` does, but goes row by row through every vector with a malformed text in it -#}
    try(from_json({{ object_text }}, '{
        {%- for field in fields -%}
        "{{ field }}": "VARCHAR"{{ ", " if not loop.last }}
        {%- endfor -%}
    }'))
{%- endmacro %}

{% macro clickhouse__json_fields(object_text, fields) -%}
    JSONExtract(ifNull({{ object_text }}, ''), 'Tuple(
        {%- for field in fields -%}
        {{ field }} Nullable(String){{ ", " if not loop.last }}
        {%- endfor -%}
    )')
{%- endmacro %}
