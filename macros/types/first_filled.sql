{% macro first_filled(values, condition="true") -%}
    {#- The first of the text expressions in the list `values` that is neither null nor empty; '' where all are, and where
        `condition` (of two values, not null) does not hold. -#}
    {{ adapter.dispatch("first_filled", "flagmart")(values, condition) }}
{%- endmacro %}

{% macro default__first_filled(values, condition) -%}
    {{ flagmart.no_variant("first_filled") }}
{%- endmacro %}

{% macro duckdb__first_filled(values, condition) -%}
    {%- set first -%}
        coalesce({% for value in values %}nullif({{ value }}, ''), {% endfor %}'')
    {%- endset -%}
    {{ first if condition == "true" else "case when " ~ condition ~ " then " ~ first ~ " else '' end" }}
{%- endmacro %}

{% macro clickhouse__first_filled(values, condition) -%}
    {#- One list of branches: within an `if` of its own, all of it would be worked out on a copy of the rows that the `if`
        is for, and put back among the others. -#}
    multiIf({% if condition != "true" %}not ({{ condition }}), '', {% endif %}
    {%- for value in values %}notEmpty({{ value }}), assumeNotNull({{ value }}), {% endfor %}'')
{%- endmacro %}
