-- accepted = exported + excluded, for each delivery of events, in the environments that may leave
with accepted as (
    select count(*) as events
    from {{ ref("int_exports__events") }}
),

exported as (
    select
        'statsig_events' as delivery,
        timeuuid as event_id
    from {{ ref("statsig_events") }}
    union all
    select
        'hackle_events' as delivery,
        insert_id as event_id
    from {{ ref("hackle_events") }}
    union all
    select
        'segment_tracks' as delivery,
        event_id
    from {{ ref("segment_tracks") }}
),

accounted as (
    select
        delivery,
        event_id
    from exported
    union all
    select
        delivery,
        event_id
    from {{ ref("fct_export_exclusions") }}
),

counted as (
    select
        delivery,
        count(*) as events,
        count(distinct event_id) as distinct_events
    from accounted
    group by delivery
)

select
    counted.delivery,
    counted.events as accounted_events,
    accepted.events as accepted_events
from counted
cross join accepted
where counted.events <> accepted.events or counted.distinct_events <> accepted.events
