-- the quality table speaks of every landed event, day by day
with counted as (
    select
        ingested_on,
        sum(events) as events
    from {{ ref("fct_event_quality") }}
    group by ingested_on
),

judged as (
    select
        cast(ingested_at as date) as ingested_on,
        count(*) as events
    from {{ ref("base_featbit__events") }}
    group by cast(ingested_at as date)
)

select
    judged.ingested_on,
    judged.events as judged_events,
    counted.events as counted_events
from judged
full outer join counted on judged.ingested_on = counted.ingested_on
where coalesce(judged.events, 0) <> coalesce(counted.events, 0)
