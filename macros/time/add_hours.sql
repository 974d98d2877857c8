{% macro add_hours(moment, hours) -%}
    {#- `moment` plus a whole number of hours. -#}
    {{ adapter.dispatch("add_hours", "flagmart")(moment, hours) }}
{%- endmacro %}

{% macro default__add_hours(moment, hours) -%}
    {{ flagmart.no_variant("add_hours") }}
{%- endmacro %}

{% macro duckdb__add_hours(moment, hours) -%}
    ({{ moment }} + {{ hours }} * interval 1 hour)
{%- endmacro %}

{% macro clickhouse__add_hours(moment, hours) -%}
    addHours({{ moment }}, {{ hours }})
{%- endmacro %}
