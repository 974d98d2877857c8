{{ config(materialized="view") }}

with accepted as (
    select
        env_id,
        cast(ingested_at as date) as ingested_on,
        {{ flagmart.epoch_ms("ingested_at") }} - {{ flagmart.epoch_ms("occurred_at") }} as late_ms
    from {{ ref("stg_featbit__events") }}
    where outcome <> 'rejected'
),

classed as (
    select
        env_id,
        ingested_on,
        case
            when late_ms < 0 then 'ahead'
            when late_ms < 60000 then 'under_1m'
            when late_ms < 3600000 then 'under_1h'
            when late_ms < 86400000 then 'under_1d'
            when late_ms < 7 * 86400000 then 'under_7d'
            else 'over_7d'
        end as lateness
    from accepted
)

select
    env_id,
    ingested_on,
    lateness,
    cast(count(*) as {{ dbt.type_bigint() }}) as events
from classed
group by env_id, ingested_on, lateness
