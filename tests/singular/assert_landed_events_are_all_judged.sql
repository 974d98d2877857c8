-- landed = evaluations + metric events + rejected, run by run
with landed as (
    select
        ingested_at,
        count(*) as events
    from {{ source("featbit", "featbit_events") }}
    group by ingested_at
),

staged as (
    select ingested_at from {{ ref("stg_featbit__flag_evaluations") }}
    union all
    select ingested_at from {{ ref("stg_featbit__metric_events") }}
    union all
    select ingested_at from {{ ref("stg_featbit__rejected_events") }}
),

judged as (
    select
        ingested_at,
        count(*) as events
    from staged
    group by ingested_at
)

select
    landed.ingested_at,
    landed.events as landed_events,
    judged.events as judged_events
from landed
full outer join judged on landed.ingested_at = judged.ingested_at
where coalesce(landed.events, 0) <> coalesce(judged.events, 0)
