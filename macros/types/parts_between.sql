{% macro parts_between(text, mark) -%}
    {#- One row for each part of `text` between its `mark`s, one character, in a select list; '' is one part. -#}
    {{ adapter.dispatch("parts_between", "flagmart")(text, mark) }}
{%- endmacro %}

{% macro default__parts_between(text, mark) -%}
    {{ flagmart.no_variant("parts_between") }}
{%- endmacro %}

{% macro duckdb__parts_between(text, mark) -%}
    unnest(string_split({{ text }}, '{{ mark }}'))
{%- endmacro %}

{% macro clickhouse__parts_between(text, mark) -%}
    arrayJoin(splitByChar('{{ mark }}', {{ text }}))
{%- endmacro %}
