{% macro json_member(field, name, is_seldom=false) -%}
    {#- One member, as text, of a field made by `json_fields` that may be an object. Null where it is no object (a string that
        holds one counts as one), or has no such member. `is_seldom` says that it is hardly ever there. -#}
    {{ adapter.dispatch("json_member", "flagmart")(field, name, is_seldom) }}
{%- endmacro %}

{% macro default__json_member(field, name, is_seldom) -%}
    {{ flagmart.no_variant("json_member") }}
{%- endmacro %}

{% macro duckdb__json_member(field, name, is_seldom) -%}
    case
        when contains({{ field }}, '"{{ name }}"') and starts_with({{ field }}, '{') and json_valid({{ field }})
            then json_extract_string({{ field }}, '$."{{ name }}"')
    end
{%- endmacro %}

{% macro clickhouse__json_member(field, name, is_seldom) -%}
    if(
        startsWith({{ field }}, '{'){% if is_seldom %} and position({{ field }}, '"{{ name }}"') > 0{% endif %},
        JSONExtract(ifNull({{ field }}, ''), '{{ name }}', 'Nullable(String)'),
        null
    )
{%- endmacro %}
