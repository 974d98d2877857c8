{% macro is_unfinished_day(day) -%}
    {#- Condition that keeps the days which this table does not hold in full, once `forget_changed_days` has run. -#}
    {{ day }} not in (
        select finished.day_on
        from {{ flagmart.finished_days() }} as finished
        where finished.node_id = {{ flagmart.finished_by() }}
    )
{%- endmacro %}
