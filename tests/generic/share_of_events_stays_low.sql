{% test share_of_events_stays_low(model, which, at_most) %}
    -- a day of ingestion on which more than the share `at_most` of an environment's events were such as `which` says
    with counted as (
        select
            env_id,
            ingested_on,
            sum(events) as all_events,
            sum(case when {{ which }} then events else 0 end) as such_events
        from {{ model }}
        group by env_id, ingested_on
    )

    select
        env_id,
        ingested_on,
        all_events,
        such_events
    from counted
    where such_events > all_events * {{ at_most }}
{% endtest %}
