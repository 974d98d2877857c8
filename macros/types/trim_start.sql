{% macro trim_start(text) -%}
    {#- `text` without leading blanks, tabs and line ends. -#}
    {{ adapter.dispatch("trim_start", "flagmart")(text) }}
{%- endmacro %}

{% macro default__trim_start(text) -%}
    {{ flagmart.no_variant("trim_start") }}
{%- endmacro %}

{% macro duckdb__trim_start(text) -%}
    ltrim({{ text }}, ' ' || chr(9) || chr(10) || chr(13))
{%- endmacro %}

{% macro clickhouse__trim_start(text) -%}
    trimLeft({{ text }}, char(32, 9, 10, 13))
{%- endmacro %}
