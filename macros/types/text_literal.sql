{% macro text_literal(text) -%}
    {#- Any text as a literal of the engine's SQL; none is the empty text. -#}
    {{ adapter.dispatch("text_literal", "flagmart")("" if text is none else text | string) }}
{%- endmacro %}

{% macro default__text_literal(text) -%}
    {{ flagmart.no_variant("text_literal") }}
{%- endmacro %}

{% macro duckdb__text_literal(text) -%}
    '{{ text | replace("'", "''") }}'
{%- endmacro %}

{% macro clickhouse__text_literal(text) -%}
    '{{ text | replace("\\", "\\\\") | replace("'", "\\'") }}'
{%- endmacro %}
