{% macro json_fields(text, fields, is_object=none) -%}
    {#- The fields of a JSON object in one pass over `text`: a struct with one text field for each name in the list `fields`
        (names differ in more than case). A string gives its characters, any other value its JSON text; null and missing give
        null, and so does every field where `text` is no JSON object. `is_object` is a column that says whether it is one,
        where there is one already. -#}
    {{ adapter.dispatch("json_fields", "flagmart")(text, fields, is_object or flagmart.is_json_object(text)) }}
{%- endmacro %}

{% macro default__json_fields(text, fields, is_object) -%}
    {{ flagmart.no_variant("json_fields") }}
{%- endmacro %}

{% macro duckdb__json_fields(text, fields, is_object) -%}
    case
        when {{ is_object }}
            then from_json({{ text }}, '{
                {%- for field in fields -%}
                "{{ field }}": "VARCHAR"{{ ", " if not loop.last }}
                {%- endfor -%}
            }')
    end
{%- endmacro %}

{% macro clickhouse__json_fields(text, fields, is_object) -%}
    JSONExtract(if({{ is_object }}, {{ text }}, '{}'), 'Tuple(
        {%- for field in fields -%}
        {{ field }} Nullable(String){{ ", " if not loop.last }}
        {%- endfor -%}
    )')
{%- endmacro %}
