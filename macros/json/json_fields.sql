{% macro json_fields(text, fields) -%}
    {#- The fields of a JSON object in one pass over `text`: a struct with one text field for each name in the list `fields` (names differ in more than case). A string gives its characters, any other value its JSON text, null and missing give null. Null where `text` is no JSON object. -#}
    {{ adapter.dispatch("json_fields", "flagmart")(text, fields) }}
{%- endmacro %}

{% macro default__json_fields(text, fields) -%}
    {{ flagmart.no_variant("json_fields") }}
{%- endmacro %}

{% macro duckdb__json_fields(text, fields) -%}
    case
        when {{ flagmart.is_json_object(text) }}
            then from_json({{ text }}, '{
                {%- for field in fields -%}
                "{{ field }}": "VARCHAR"{{ ", " if not loop.last }}
                {%- endfor -%}
            }')
    end
{%- endmacro %}

{% macro clickhouse__json_fields(text, fields) -%}
    JSONExtract(if(isValidJSON({{ text }}), {{ text }}, '{}'), 'Tuple(
        {%- for field in fields -%}
        {{ field }} Nullable(String){{ ", " if not loop.last }}
        {%- endfor -%}
    )')
{%- endmacro %}
