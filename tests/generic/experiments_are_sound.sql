{% test experiments_are_sound(model, definitions) %}
    -- an experiment of `definitions` that cannot be worked out, and what to mend in its row of the seed; a test of the results, so
    -- that those of the others are there before it fails: {{ model }}
    {%- set mends -%}
        select distinct {{ dbt.concat(["'seed experiments, '", "experiment_key", "': '", "mend"]) }} as mend_text
        from {{ definitions }}
        where mend is not null
        order by mend_text
    {%- endset -%}
    {{- flagmart.tell(mends) }}
    select
        experiment_key,
        mend
    from {{ definitions }}
    where mend is not null
{% endtest %}
