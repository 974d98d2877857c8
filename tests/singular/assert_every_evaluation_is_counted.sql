-- the counts add up to the accepted evaluations; after a changed rule they do again with `dbt build --full-refresh`
with counted as (
    select
        source,
        env_id,
        sum(evaluations) as evaluations
    from {{ ref("fct_evaluation_counts") }}
    group by source, env_id
),

accepted as (
    select
        'featbit' as source,
        env_id,
        count(*) as evaluations
    from {{ ref("stg_featbit__flag_evaluations") }}
    group by env_id
    union all
    select
        'prefab' as source,
        env_id,
        sum(evaluations) as evaluations
    from {{ ref("stg_prefab__evaluation_counts") }}
    group by env_id
)

select
    coalesce(accepted.source, counted.source) as source,
    coalesce(accepted.env_id, counted.env_id) as env_id,
    accepted.evaluations as accepted_evaluations,
    counted.evaluations as counted_evaluations
from accepted
full outer join counted on accepted.source = counted.source and accepted.env_id = counted.env_id
where coalesce(accepted.evaluations, 0) <> coalesce(counted.evaluations, 0)
