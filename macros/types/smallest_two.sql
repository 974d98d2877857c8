{% macro smallest_two(value) -%}
    {#- An aggregate: the list of the smallest `value` of a group and the next to it, each row for itself; one item where there is
        one row. -#}
    {{ adapter.dispatch("smallest_two", "flagmart")(value) }}
{%- endmacro %}

{% macro default__smallest_two(value) -%}
    {{ flagmart.no_variant("smallest_two") }}
{%- endmacro %}

{% macro duckdb__smallest_two(value) -%}
    min({{ value }}, 2)
{%- endmacro %}

{% macro clickhouse__smallest_two(value) -%}
    groupArraySorted(2)({{ value }})
{%- endmacro %}
