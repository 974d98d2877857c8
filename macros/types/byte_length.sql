{% macro byte_length(text) -%}
    {#- Length of `text` in UTF-8 bytes. -#}
    {{ adapter.dispatch("byte_length", "flagmart")(text) }}
{%- endmacro %}

{% macro default__byte_length(text) -%}
    {{ flagmart.no_variant("byte_length") }}
{%- endmacro %}

{% macro duckdb__byte_length(text) -%}
    strlen({{ text }})
{%- endmacro %}

{% macro clickhouse__byte_length(text) -%}
    toInt64(length({{ text }}))
{%- endmacro %}
