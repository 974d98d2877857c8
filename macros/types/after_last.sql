{% macro after_last(text, mark) -%}
    {#- What stands in `text` behind its last `mark`, one character; all of it where there is none. -#}
    {{ adapter.dispatch("after_last", "flagmart")(text, mark) }}
{%- endmacro %}

{% macro default__after_last(text, mark) -%}
    {{ flagmart.no_variant("after_last") }}
{%- endmacro %}

{% macro duckdb__after_last(text, mark) -%}
    split_part({{ text }}, '{{ mark }}', -1)
{%- endmacro %}

{% macro clickhouse__after_last(text, mark) -%}
    arrayElement(splitByChar('{{ mark }}', {{ text }}), -1)
{%- endmacro %}
