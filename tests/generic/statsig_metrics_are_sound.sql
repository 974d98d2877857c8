{% test statsig_metrics_are_sound(model, definitions) %}
    -- a metric of `definitions` that cannot be measured, and what to mend in its row of the seed; a test of the export, so that
    -- it does not leave the house until the seed is mended: {{ model }}
    select
        metric_name,
        mend
    from {{ definitions }}
    where mend is not null
{% endtest %}
