-- landed = counted + rejected, run by run
with landed as (
    select
        ingested_at,
        count(*) as counters
    from {{ source("prefab", "prefab_counters") }}
    group by ingested_at
),

staged as (
    select ingested_at from {{ ref("stg_prefab__evaluation_counts") }}
    union all
    select ingested_at
    from {{ ref("base_prefab__evaluation_counts") }}
    where outcome = 'rejected'
),

judged as (
    select
        ingested_at,
        count(*) as counters
    from staged
    group by ingested_at
)

select
    landed.ingested_at,
    landed.counters as landed_counters,
    judged.counters as judged_counters
from landed
full outer join judged on landed.ingested_at = judged.ingested_at
where coalesce(landed.counters, 0) <> coalesce(judged.counters, 0)
