{{
    config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key=["env_id", "flag_key", "user_key"],
        on_schema_change="fail",
        order_by="(env_id, flag_key, user_key)",
        post_hook="{{ flagmart.record_finished_runs(ref('stg_featbit__flag_evaluations')) }}",
    )
}}

with evaluations as (
    select
        env_id,
        flag_key,
        user_key,
        variation_id,
        occurred_at,
        event_id,
        ingested_at
    from {{ ref("stg_featbit__flag_evaluations") }}
    where send_to_experiment
),

-- a late event may be the first: users of a flag with a new event are looked at again as a whole, and no others
{% if is_incremental() %}
touched as (
    select distinct
        env_id,
        flag_key,
        user_key
    from evaluations
    where {{ flagmart.since_last_run("ingested_at", "last_ingested_at") }}
),
{% endif %}

variations as (
    select
        env_id,
        flag_key,
        user_key,
        variation_id,
        {{ flagmart.earliest_event("occurred_at", "event_id", "ingested_at") }} as first_event,
        count(*) as evaluations,
        max(ingested_at) as newest_ingested_at
    from evaluations
    {% if is_incremental() %}
        where (env_id, flag_key, user_key) in (
            select
                touched.env_id,
                touched.flag_key,
                touched.user_key
            from touched
        )
    {% endif %}
    group by env_id, flag_key, user_key, variation_id
),

users as (
    select
        env_id,
        flag_key,
        user_key,
        min({{ flagmart.row_of(["first_event", "variation_id"]) }}) as first_sight,
        sum(evaluations) as all_evaluations,
        count(*) as variations_seen,
        max(newest_ingested_at) as last_ingested_at
    from variations
    group by env_id, flag_key, user_key
)

select
    env_id,
    flag_key,
    user_key,
    {{ flagmart.part_of("first_sight", 2) }} as variation_id,
    {{ flagmart.part_of(flagmart.part_of("first_sight", 1), 1) }} as first_exposed_at,
    cast(all_evaluations as {{ dbt.type_bigint() }}) as exposures,
    cast(variations_seen as {{ dbt.type_bigint() }}) as variations_seen,
    last_ingested_at
from users
