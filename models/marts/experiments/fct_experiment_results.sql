{{ config(materialized="view") }}

with days as (
    select
        *,
        max(day_on) over (partition by experiment_key) as last_on
    from {{ ref("fct_experiment_daily") }}
)

select
    experiment_key,
    env_id,
    flag_key,
    metric_event,
    aggregation,
    success,
    variation_id,
    is_baseline,
    expected_share,
    users,
    conversions,
    value_sum,
    value_sum_squares,
    users_in_two_variations,
    users_beyond_range
from days
where day_on = last_on
