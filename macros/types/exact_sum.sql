{% macro exact_sum(number) -%}
    {#- An aggregate: the sum of a 64-bit float as decimal(38, 6), the same in whatever order the rows come; null where no row
        has a value in range. A value is rounded to the millionth, and one of 10^15 or more, either way, is out of range and
        left out (`summand` is null there, so it can be counted). 10^17 rows fit. -#}
    sum({{ flagmart.summand(number) }})
{%- endmacro %}

{% macro summand(number) -%}
    {#- What `exact_sum` takes of a value: decimal(21, 6), null where it is out of range. -#}
    {{ flagmart.decimal_or_null(number, 21, 6) }}
{%- endmacro %}
