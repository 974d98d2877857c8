{% macro json_member(field, name) -%}
    {#- One member, as text, of a field made by `json_fields` that may be an object; for what is seldom there. Null where it is
        no object, or has no such member. -#}
    {{ adapter.dispatch("json_member", "flagmart")(field, name) }}
{%- endmacro %}

{% macro default__json_member(field, name) -%}
    {{ flagmart.no_variant("json_member") }}
{%- endmacro %}

{% macro duckdb__json_member(field, name) -%}
    case
        when contains({{ field }}, '"{{ name }}"') then json_extract_string({{ flagmart.json_part(field) }}, '$."{{ name }}"')
    end
{%- endmacro %}

{% macro clickhouse__json_member(field, name) -%}
    if(
        position(ifNull({{ field }}, ''), '"{{ name }}"') > 0,
        JSONExtract({{ flagmart.json_part(field) }}, '{{ name }}', 'Nullable(String)'),
        null
    )
{%- endmacro %}
