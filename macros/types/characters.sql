{% macro characters(text) -%}
    {#- Length of `text` in characters (Unicode code points). -#}
    {{ adapter.dispatch("characters", "flagmart")(text) }}
{%- endmacro %}

{% macro default__characters(text) -%}
    {{ flagmart.no_variant("characters") }}
{%- endmacro %}

{% macro duckdb__characters(text) -%}
    length({{ text }})
{%- endmacro %}

{% macro clickhouse__characters(text) -%}
    toInt64(lengthUTF8({{ text }}))
{%- endmacro %}
