{% macro timestamp_literal(text) -%}
    {#- The UTC timestamp that `text` (a date, or a date and a time, ISO 8601 without a zone) says, as a literal. -#}
    {{ adapter.dispatch("timestamp_literal", "flagmart")(text) }}
{%- endmacro %}

{% macro default__timestamp_literal(text) -%}
    {{ flagmart.no_variant("timestamp_literal") }}
{%- endmacro %}

{% macro duckdb__timestamp_literal(text) -%}
    cast({{ dbt.string_literal(dbt.escape_single_quotes(text | string)) }} as timestamp)
{%- endmacro %}

{% macro clickhouse__timestamp_literal(text) -%}
    parseDateTime64BestEffort({{ dbt.string_literal(dbt.escape_single_quotes(text | string)) }}, 6, 'UTC')
{%- endmacro %}
