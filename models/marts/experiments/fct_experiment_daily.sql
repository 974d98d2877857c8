{{ config(materialized="view") }}

with experiments as (
    select *
    from {{ ref("int_experiments") }}
    where mend is null
),

changes as (
    select
        digest,
        variation_id,
        day_on,
        sum(users) as added_users,
        sum(conversions) as added_conversions,
        sum(value_sum) as added_sum,
        sum(value_sum_squares) as added_squares,
        sum(users_in_two_variations) as added_in_two,
        sum(users_beyond_range) as added_beyond
    from {{ ref("int_experiment_changes") }}
    group by digest, variation_id, day_on
),

lengths as (
    select
        digest,
        min(day_on) as first_on,
        max(day_on) - min(day_on) + 1 as days
    from changes
    group by digest
),

share_texts as (
    select
        digest,
        {{ flagmart.parts_between("expected_shares", "|") }} as share_text
    from experiments
    where expected_shares <> ''
),

shares as (
    select
        digest as shared_digest,
        {{ flagmart.before_last("share_text", ":") }} as shared_variation_id,
        {{ flagmart.float64_or_null(flagmart.after_last("share_text", ":")) }} as expected_share
    from share_texts
),

-- also those that were expected and that nobody has seen
variations as (
    select
        digest,
        variation_id
    from changes
    union distinct
    select
        shared_digest as digest,
        shared_variation_id as variation_id
    from shares
    union distinct
    select
        digest,
        baseline_variation_id as variation_id
    from experiments
),

days as (
    select
        variations.digest,
        variations.variation_id,
        lengths.first_on,
        {{ flagmart.integers_below("lengths.days") }} as day_number
    from variations
    inner join lengths on variations.digest = lengths.digest
),

dated_days as (
    select
        digest,
        variation_id,
        {{ flagmart.add_days("first_on", "day_number") }} as day_on
    from days
),

running as (
    select
        dated_days.digest,
        dated_days.variation_id,
        dated_days.day_on,
        sum(coalesce(changes.added_users, 0)) over so_far as users_so_far,
        sum(coalesce(changes.added_conversions, 0)) over so_far as conversions_so_far,
        sum(coalesce(changes.added_sum, cast(0 as decimal(38, 12)))) over so_far as sum_so_far,
        sum(coalesce(changes.added_squares, cast(0 as decimal(38, 12)))) over so_far as squares_so_far,
        sum(coalesce(changes.added_in_two, 0)) over so_far as in_two_so_far,
        sum(coalesce(changes.added_beyond, 0)) over so_far as beyond_so_far
    from dated_days
    left join changes
        on
            dated_days.digest = changes.digest
            and dated_days.variation_id = changes.variation_id
            and dated_days.day_on = changes.day_on
    window so_far as (partition by dated_days.digest, dated_days.variation_id order by dated_days.day_on)
)

select
    experiments.experiment_key,
    experiments.env_id,
    experiments.flag_key,
    experiments.metric_event,
    experiments.aggregation,
    experiments.success,
    running.variation_id,
    running.variation_id = experiments.baseline_variation_id as is_baseline,
    shares.expected_share,
    cast(running.users_so_far as {{ dbt.type_bigint() }}) as users,
    cast(running.conversions_so_far as {{ dbt.type_bigint() }}) as conversions,
    {{ flagmart.decimal_to_float64("running.sum_so_far") }} as value_sum,
    {{ flagmart.decimal_to_float64("running.squares_so_far") }} as value_sum_squares,
    cast(running.in_two_so_far as {{ dbt.type_bigint() }}) as users_in_two_variations,
    running.day_on,
    cast(running.beyond_so_far as {{ dbt.type_bigint() }}) as users_beyond_range
from running
inner join experiments on running.digest = experiments.digest
left join shares
    on
        running.digest = shares.shared_digest
        and running.variation_id = shares.shared_variation_id
