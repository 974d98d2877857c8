{% macro int64_or_null(text, digits=15) -%}
    {#- `text` as a 64-bit integer where it is one to `digits` (15 at most) digits and nothing else; null otherwise. -#}
    {{ adapter.dispatch("int64_or_null", "flagmart")(text, digits) }}
{%- endmacro %}

{% macro default__int64_or_null(text, digits) -%}
    {{ flagmart.no_variant("int64_or_null") }}
{%- endmacro %}

{% macro duckdb__int64_or_null(text, digits) -%}
    case when {{ flagmart.matches(text, "^[0-9]{1," ~ digits ~ "}$") }} then cast({{ text }} as bigint) end
{%- endmacro %}

{% macro clickhouse__int64_or_null(text, digits) -%}
    if({{ flagmart.matches(text, "^[0-9]{1," ~ digits ~ "}$") }}, toInt64OrNull({{ text }}), null)
{%- endmacro %}
