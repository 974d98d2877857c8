{% macro json_bytes_at_most(texts, others) -%}
    {#- As many bytes as JSON text of `texts` can have at most, made of columns that may be null; `others` is the bytes of all else
        in it: keys, numbers, timestamps. No byte of a text takes more than six in JSON. A text that stands there twice is to be
        listed twice. Cheap, so that what may be too long is known before any JSON is made. -#}
    6 * (
        {%- for text in texts %}
        coalesce({{ flagmart.byte_length(text) }}, 0){{ " +" if not loop.last }}
        {%- endfor %}
    ) + {{ others }}
{%- endmacro %}
