{% macro timestamp_or_null(text) -%}
    {#- `text` (ISO 8601 without a zone, read as UTC) as a UTC timestamp with microseconds; null where it is none. -#}
    {{ adapter.dispatch("timestamp_or_null", "flagmart")(text) }}
{%- endmacro %}

{% macro default__timestamp_or_null(text) -%}
    {{ flagmart.no_variant("timestamp_or_null") }}
{%- endmacro %}

{% macro duckdb__timestamp_or_null(text) -%}
    try_cast({{ text }} as timestamp)
{%- endmacro %}
