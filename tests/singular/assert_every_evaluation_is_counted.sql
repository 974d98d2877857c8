-- the counts add up to the accepted evaluations; after a changed rule they do again with `dbt build --full-refresh`
with counted as (
    select
        env_id,
        sum(evaluations) as evaluations
    from {{ ref("fct_evaluation_counts") }}
    group by env_id
),

accepted as (
    select
        env_id,
        count(*) as evaluations
    from {{ ref("stg_featbit__flag_evaluations") }}
    group by env_id
)

select
    coalesce(accepted.env_id, counted.env_id) as env_id,
    accepted.evaluations as accepted_evaluations,
    counted.evaluations as counted_evaluations
from accepted
full outer join counted on accepted.env_id = counted.env_id
where coalesce(accepted.evaluations, 0) <> coalesce(counted.evaluations, 0)
