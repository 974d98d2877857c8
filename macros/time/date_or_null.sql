{% macro date_or_null(moment) -%}
    {#- The UTC date of the timestamp `moment`; null for null and for what lies outside 1970-01-01 to 2149-06-06, the dates that
        every engine has. -#}
    {{ adapter.dispatch("date_or_null", "flagmart")(moment) }}
{%- endmacro %}

{% macro default__date_or_null(moment) -%}
    {{ flagmart.no_variant("date_or_null") }}
{%- endmacro %}

{% macro duckdb__date_or_null(moment) -%}
    case when {{ moment }} >= timestamp '1970-01-01' and {{ moment }} < timestamp '2149-06-07' then cast({{ moment }} as date) end
{%- endmacro %}

{% macro clickhouse__date_or_null(moment) -%}
    {#- compared as days in a wider type, since a Date just wraps around -#}
    if(toInt64(toDate32({{ moment }})) between 0 and 65535, toDate({{ moment }}), null)
{%- endmacro %}
