{% macro int64_or_null(text) -%}
    {#- `text` as a 64-bit integer where it is one to 15 digits and nothing else; null otherwise. -#}
    {{ adapter.dispatch("int64_or_null", "flagmart")(text) }}
{%- endmacro %}

{% macro default__int64_or_null(text) -%}
    {{ flagmart.no_variant("int64_or_null") }}
{%- endmacro %}

{% macro duckdb__int64_or_null(text) -%}
    case when {{ flagmart.matches(text, '^[0-9]{1,15}$') }} then cast({{ text }} as bigint) end
{%- endmacro %}

{% macro clickhouse__int64_or_null(text) -%}
    if(match({{ text }}, '^[0-9]{1,15}$'), toInt64OrNull({{ text }}), null)
{%- endmacro %}
