{% macro first_filled(values) -%}
    {#- The first of the text expressions in the list `values` that is neither null nor empty; '' where all are. -#}
    {{ adapter.dispatch("first_filled", "flagmart")(values) }}
{%- endmacro %}

{% macro default__first_filled(values) -%}
    {{ flagmart.no_variant("first_filled") }}
{%- endmacro %}

{% macro duckdb__first_filled(values) -%}
    coalesce({% for value in values %}nullif({{ value }}, ''), {% endfor %}'')
{%- endmacro %}

{% macro clickhouse__first_filled(values) -%}
    multiIf({% for value in values %}notEmpty({{ value }}), assumeNotNull({{ value }}), {% endfor %}'')
{%- endmacro %}
