{% macro any_longer_than(texts, characters) -%}
    {#- Whether one of the text expressions in the list `texts` has more than `characters` characters; nulls have none. -#}
    ({% for text in texts -%}
        coalesce({{ flagmart.characters(text) }}, 0) > {{ characters }}{{ " or " if not loop.last }}
    {%- endfor %})
{%- endmacro %}
