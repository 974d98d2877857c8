{% macro any_larger_than(texts, bytes) -%}
    {#- Whether one of the text expressions in the list `texts` has more than `bytes` bytes of UTF-8; nulls have none. -#}
    ({% for text in texts -%}
        coalesce({{ flagmart.byte_length(text) }}, 0) > {{ bytes }}{{ " or " if not loop.last }}
    {%- endfor %})
{%- endmacro %}
