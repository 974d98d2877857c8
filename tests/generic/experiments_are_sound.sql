{% test experiments_are_sound(model, definitions) %}
    -- an experiment of `definitions` that cannot be worked out, and what to mend in its row of the seed; a test of the results, so
    -- that those of the others are there before it fails: {{ model }}
    select
        experiment_key,
        mend
    from {{ definitions }}
    where mend is not null
{% endtest %}
