{% macro iso_timestamp(moment) -%}
    {#- The UTC timestamp `moment` as ISO 8601 text with milliseconds (cut, not rounded): 2023-12-12T07:42:13.320Z. -#}
    {{ adapter.dispatch("iso_timestamp", "flagmart")(moment) }}
{%- endmacro %}

{% macro default__iso_timestamp(moment) -%}
    {{ flagmart.no_variant("iso_timestamp") }}
{%- endmacro %}

{% macro duckdb__iso_timestamp(moment) -%}
    strftime({{ moment }}, '%Y-%m-%dT%H:%M:%S.%gZ')
{%- endmacro %}

{% macro clickhouse__iso_timestamp(moment) -%}
    concat(substring(formatDateTime({{ moment }}, '%Y-%m-%dT%H:%i:%S.%f', 'UTC'), 1, 23), 'Z')
{%- endmacro %}
