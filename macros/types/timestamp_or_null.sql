{% macro timestamp_or_null(text) -%}
    {#- `text`, a UTC date or date and time (2026-01-31, 2026-01-31 00:00[:00]), as a timestamp with microseconds; null where it is none. -#}
    {{ adapter.dispatch("timestamp_or_null", "flagmart")(text) }}
{%- endmacro %}

{% macro default__timestamp_or_null(text) -%}
    {{ flagmart.no_variant("timestamp_or_null") }}
{%- endmacro %}

{% macro duckdb__timestamp_or_null(text) -%}
    case when {{ flagmart.matches(text, '^[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}(:[0-9]{2})?)?$') }} then try_cast({{ text }} as timestamp) end
{%- endmacro %}

{% macro clickhouse__timestamp_or_null(text) -%}
    if(match({{ text }}, '^[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}(:[0-9]{2})?)?$'), parseDateTime64BestEffortOrNull({{ text }}, 6, 'UTC'), null)
{%- endmacro %}
