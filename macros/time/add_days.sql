{% macro add_days(day, count) -%}
    {#- The date `count` days (a 64-bit integer, never negative) after the date `day`. -#}
    {{ adapter.dispatch("add_days", "flagmart")(day, count) }}
{%- endmacro %}

{% macro default__add_days(day, count) -%}
    {{ flagmart.no_variant("add_days") }}
{%- endmacro %}

{% macro duckdb__add_days(day, count) -%}
    ({{ day }} + cast({{ count }} as integer))
{%- endmacro %}

{% macro clickhouse__add_days(day, count) -%}
    addDays({{ day }}, {{ count }})
{%- endmacro %}
