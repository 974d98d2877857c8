{{ config(materialized="view") }}

with evaluated as (
    select
        env_id,
        flag_key,
        variation_id,
        occurred_at as evaluated_at,
        event_id as evaluation_id,
        coalesce(variation_value, '') as served_value,
        cast(1 as {{ dbt.type_bigint() }}) as counted
    from {{ ref("stg_featbit__flag_evaluations") }}
    union all
    select
        env_id,
        flag_key,
        variation_id,
        started_at as evaluated_at,
        summary_id as evaluation_id,
        '' as served_value,
        evaluations as counted
    from {{ ref("stg_prefab__evaluation_counts") }}
),

summed as (
    select
        env_id,
        flag_key,
        variation_id,
        min(evaluated_at) as first_evaluated_at,
        max(evaluated_at) as last_evaluated_at,
        cast(sum(counted) as {{ dbt.type_bigint() }}) as evaluations,
        -- of the evaluations that say a value the last
        max({{ flagmart.row_of([
            "case when served_value = '' then 0 else 1 end", "evaluated_at", "evaluation_id", "served_value"
        ]) }}) as last_said
    from evaluated
    group by env_id, flag_key, variation_id
),

said as (
    select
        *,
        nullif({{ flagmart.part_of("last_said", 4) }}, '') as last_value
    from summed
),

named as (
    select
        env_id as named_env_id,
        flag_key as named_flag_key,
        variation_id as named_id,
        nullif(variation_label, variation_id) as given_name
    from {{ ref("dim_variations") }}
)

select
    said.env_id,
    said.flag_key,
    said.variation_id,
    said.last_value as variation_value,
    {{ flagmart.first_filled(["named.given_name", "said.last_value", "said.variation_id"]) }} as variation_label,
    said.first_evaluated_at,
    said.last_evaluated_at,
    said.evaluations
from said
left join named
    on
        said.env_id = named.named_env_id
        and said.flag_key = named.named_flag_key
        and said.variation_id = named.named_id
