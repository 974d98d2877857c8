{% macro contains_any(text, characters) -%}
    {#- Whether `text` holds at least one of `characters` (a list of SQL expressions, each one character of text). -#}
    {{ adapter.dispatch("contains_any", "flagmart")(text, characters) }}
{%- endmacro %}

{% macro default__contains_any(text, characters) -%}
    {{ flagmart.no_variant("contains_any") }}
{%- endmacro %}

{% macro duckdb__contains_any(text, characters) -%}
    ({%- for character in characters %}
        contains({{ text }}, {{ character }}){{ " or" if not loop.last }}
    {%- endfor %}
    )
{%- endmacro %}

{% macro clickhouse__contains_any(text, characters) -%}
    ({%- for character in characters %}
        position({{ text }}, {{ character }}) > 0{{ " or" if not loop.last }}
    {%- endfor %}
    )
{%- endmacro %}
