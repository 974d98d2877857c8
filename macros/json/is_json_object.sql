{% macro is_json_object(object_text, fields) -%}
    {#- Whether the text that `json_object_text` was given is a JSON object; `fields` is what `json_fields` made of it. -#}
    {{ adapter.dispatch("is_json_object", "flagmart")(object_text, fields) }}
{%- endmacro %}

{% macro default__is_json_object(object_text, fields) -%}
    {{ flagmart.no_variant("is_json_object") }}
{%- endmacro %}

{% macro duckdb__is_json_object(object_text, fields) -%}
    {{ fields }} is not null
{%- endmacro %}

{% macro clickhouse__is_json_object(object_text, fields) -%}
    {#- asked of few: most objects have the field that is asked for first -#}
    (tupleElement({{ fields }}, 1) is not null or isValidJSON({{ object_text }}))
{%- endmacro %}
