{% macro by_month(moment) -%}
    {#- For a table's `partition_by`: months of the timestamp column `moment`, where the engine keeps tables in parts that are
        changed each by itself; none where it does not. -#}
    {{ return(adapter.dispatch("by_month", "flagmart")(moment)) }}
{%- endmacro %}

{% macro default__by_month(moment) -%}
    {{ flagmart.no_variant("by_month") }}
{%- endmacro %}

{% macro duckdb__by_month(moment) -%}
    {{ return(none) }}
{%- endmacro %}

{% macro clickhouse__by_month(moment) -%}
    {{ return("toYYYYMM(" ~ moment ~ ")") }}
{%- endmacro %}
