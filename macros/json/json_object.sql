{% macro json_object(members) -%}
    {#- JSON text of an object: `members` is a dict of key to a SQL expression that is JSON text already (`json_string`,
        `json_number`, …) and never null; keys stand in the order given, with no blanks, so the same values give the same
        bytes. One `concat` of all parts: a chain of `||` would copy the growing text at every step. -#}
    concat(
        '{'
        {%- for key, value in members.items() -%}
        , '{{ "," if not loop.first }}"{{ key }}":', {{ value }}
        {%- endfor -%}
        , '}'
    )
{%- endmacro %}
