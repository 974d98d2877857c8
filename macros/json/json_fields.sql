{% macro json_fields(text, fields) -%}
    {#- The fields of a JSON object in one pass over `text`: a struct with one text field for each name in the list `fields` (names differ in more than case). A string gives its characters, any other value its JSON text, null and missing give null. Null where `text` is no JSON object. -#}
    {{ adapter.dispatch("json_fields", "flagmart")(text, fields) }}
{%- endmacro %}

{% macro default__json_fields(text, fields) -%}
    {{ flagmart.no_variant("json_fields") }}
{%- endmacro %}

{% macro duckdb__json_fields(text, fields) -%}
    case
        when (starts_with({{ text }}, '{') or starts_with({{ flagmart.trim_start(text) }}, '{')) and json_valid({{ text }})
            then from_json({{ text }}, '{
                {%- for field in fields -%}
                "{{ field }}": "VARCHAR"{{ ", " if not loop.last }}
                {%- endfor -%}
            }')
    end
{%- endmacro %}
