{% macro json_member(field, name, names) -%}
    {#- One member, as text, of a field made by `json_fields` that may be an object; `names` lists all members that are asked of
        this field. Null where it is no object (a string that holds one counts as one), or has no such member. -#}
    {{ adapter.dispatch("json_member", "flagmart")(field, name, names) }}
{%- endmacro %}

{% macro default__json_member(field, name, names) -%}
    {{ flagmart.no_variant("json_member") }}
{%- endmacro %}

{% macro duckdb__json_member(field, name, names) -%}
    case
        when contains({{ field }}, '"{{ name }}"') and starts_with({{ field }}, '{') and json_valid({{ field }})
            then struct_extract(from_json({{ field }}, '{"{{ name }}": "VARCHAR"}'), '{{ name }}')
    end
{%- endmacro %}

{% macro clickhouse__json_member(field, name, names) -%}
    {#- all of them in one pass: what stands in a select list more than once is worked out once -#}
    tupleElement(JSONExtract(
        if(
            startsWith(ifNull({{ field }}, ''), '{'), {{ flagmart.json_object_text("ifNull(" ~ field ~ ", '')") }}, ''
        ),
        'Tuple({% for each in names %}{{ each }} Nullable(String){{ ", " if not loop.last }}{% endfor %})'
    ), '{{ name }}')
{%- endmacro %}
