{% macro first_filled(values) -%}
    {#- The first of the text expressions in the list `values` that is neither null nor empty; null where all are. -#}
    coalesce({% for value in values %}nullif({{ value }}, ''){{ ", " if not loop.last }}{% endfor %})
{%- endmacro %}
