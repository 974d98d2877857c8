{% test never_null(model, columns) %}
    -- what is promised to be there is missing; all columns in one pass, since exports are views that shape rows as they are read
    with counted as (
        select
            {% for column in columns -%}
            sum(case when {{ column }} is null then 1 else 0 end) as nulls_of_{{ column }}{{ "," if not loop.last }}
            {% endfor %}
        from {{ model }}
    )

    {% for column in columns -%}
    select
        '{{ column }}' as column_name,
        nulls_of_{{ column }} as nulls
    from counted
    where nulls_of_{{ column }} > 0
    {{ "union all" if not loop.last }}
    {% endfor %}
{% endtest %}
