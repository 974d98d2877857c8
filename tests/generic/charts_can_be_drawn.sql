{% test charts_can_be_drawn(model, charts) %}
    -- a chart of `charts` that cannot be drawn, and what to mend in its row of the seed; a test of the points, so that those of
    -- the other charts are there before it fails: {{ model }}
    select
        chart_name,
        mend
    from {{ charts }}
    where mend is not null
{% endtest %}
