-- landed = versions of flags + versions of users, run by run
with landed as (
    select
        ingested_at,
        count(*) as versions
    from {{ source("featbit", "featbit_versions") }}
    group by ingested_at
),

staged as (
    select ingested_at from {{ ref("stg_featbit__flag_versions") }}
    union all
    select ingested_at from {{ ref("stg_featbit__user_versions") }}
),

counted as (
    select
        ingested_at,
        count(*) as versions
    from staged
    group by ingested_at
)

select
    landed.ingested_at,
    landed.versions as landed_versions,
    counted.versions as staged_versions
from landed
full outer join counted on landed.ingested_at = counted.ingested_at
where coalesce(landed.versions, 0) <> coalesce(counted.versions, 0)
