{% test accounts_for_every_event(model, delivery, event_id) %}
    -- accepted = exported + excluded: an event in scope is neither delivered nor excluded with a reason, or it is both or twice
    with accounted as (
        select {{ event_id }} as accounted_event_id from {{ model }}
        union all
        select event_id as accounted_event_id
        from {{ ref("fct_export_exclusions") }}
        where delivery = '{{ delivery }}'
    ),

    counted as (
        select
            count(*) as events,
            count(distinct accounted_event_id) as distinct_events
        from accounted
    ),

    accepted as (
        select count(*) as events from {{ ref("int_exports__events") }}
    )

    select
        accepted.events as accepted_events,
        counted.events as accounted_events,
        counted.distinct_events as distinct_events
    from counted
    cross join accepted
    where counted.events <> accepted.events or counted.distinct_events <> accepted.events
{% endtest %}
