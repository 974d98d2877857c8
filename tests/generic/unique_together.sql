{% test unique_together(model, columns) %}
    -- the grain of `model` is `columns`; a row here stands twice in it
    select
        {{ columns | join(", ") }},
        count(*) as copies
    from {{ model }}
    group by {{ columns | join(", ") }}
    having count(*) > 1
{% endtest %}
