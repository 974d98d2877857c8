{% macro asked_integer(name) -%}
    {#- As `asked_text`, a whole number; null where the text is none. -#}
    {{ adapter.dispatch("asked_integer", "flagmart")(name) }}
{%- endmacro %}

{% macro default__asked_integer(name) -%}
    {{ flagmart.no_variant("asked_integer") }}
{%- endmacro %}

{% macro duckdb__asked_integer(name) -%}
    try_cast({{ flagmart.asked_text(name) }} as bigint)
{%- endmacro %}

{% macro clickhouse__asked_integer(name) -%}
    toInt64OrNull({{ flagmart.asked_text(name) }})
{%- endmacro %}
