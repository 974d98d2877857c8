-- the quality table speaks of every landed event and counter, day by day
with counted as (
    select
        ingested_on,
        sum(events) as events
    from {{ ref("fct_event_quality") }}
    group by ingested_on
),

based as (
    select cast(ingested_at as date) as ingested_on from {{ ref("stg_featbit__events") }}
    union all
    select cast(ingested_at as date) as ingested_on from {{ ref("base_prefab__evaluation_counts") }}
),

judged as (
    select
        ingested_on,
        count(*) as events
    from based
    group by ingested_on
)

select
    judged.ingested_on,
    judged.events as judged_events,
    counted.events as counted_events
from judged
full outer join counted on judged.ingested_on = counted.ingested_on
where coalesce(judged.events, 0) <> coalesce(counted.events, 0)
