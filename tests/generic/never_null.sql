{% test never_null(model, columns) %}
    -- what is promised to be there is missing; all columns in one pass, since exports are views that shape rows as they are read
    with counted as (
        select
            {% for column in columns -%}
            sum(case when {{ column }} is null then 1 else 0 end) as {{ column }}{{ "," if not loop.last }}
            {% endfor %}
        from {{ model }}
    )

    {% for column in columns -%}
    select
        '{{ column }}' as column_name,
        {{ column }} as nulls
    from counted
    where {{ column }} > 0
    {{ "union all" if not loop.last }}
    {% endfor %}
{% endtest %}
