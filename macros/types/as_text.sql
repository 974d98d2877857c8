{% macro as_text(value) -%}
    {#- `value` as text, as the engine prints it: for integers, dates and text only, where engines agree. -#}
    {{ adapter.dispatch("as_text", "flagmart")(value) }}
{%- endmacro %}

{% macro default__as_text(value) -%}
    {{ flagmart.no_variant("as_text") }}
{%- endmacro %}

{% macro duckdb__as_text(value) -%}
    cast({{ value }} as varchar)
{%- endmacro %}
