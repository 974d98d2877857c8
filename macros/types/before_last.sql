{% macro before_last(text, mark) -%}
    {#- What stands in `text` before its last `mark`, one character that no pattern gives a meaning; all of it where there is none. -#}
    {{ adapter.dispatch("before_last", "flagmart")(text, mark) }}
{%- endmacro %}

{% macro default__before_last(text, mark) -%}
    {{ flagmart.no_variant("before_last") }}
{%- endmacro %}

{% macro duckdb__before_last(text, mark) -%}
    regexp_replace({{ text }}, '{{ mark }}[^{{ mark }}]*$', '')
{%- endmacro %}

{% macro clickhouse__before_last(text, mark) -%}
    replaceRegexpOne({{ text }}, '{{ mark }}[^{{ mark }}]*$', '')
{%- endmacro %}
