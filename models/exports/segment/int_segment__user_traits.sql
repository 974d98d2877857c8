-- what each event adds to what was known of its user before it landed; of all environments, so that one that is chosen
-- later brings its own
{{
    config(
        enabled=flagmart.is_delivered("segment_identifies"),
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="ingested_at",
        on_schema_change="fail",
        order_by="(ingested_at, event_id)",
        post_hook="{{ flagmart.record_finished_runs(ref('base_featbit__events')) }}",
    )
}}

with accepted as (
    select
        env_id,
        user_key,
        event_id,
        user_name,
        {{ flagmart.never_null("occurred_at") }} as happened_at,
        ingested_at,
        true as is_new
    from {{ ref("base_featbit__events") }}
    where outcome in ('evaluation', 'metric')
),

new_events as (
    select *
    from accepted
    {% if is_incremental() %}
        where {{ flagmart.since_last_run("ingested_at") }}
    {% endif %}
),

known_and_new as (
    select * from new_events
    {% if is_incremental() %}
        union all
        select
            env_id,
            user_key,
            event_id,
            user_name,
            occurred_at as happened_at,
            ingested_at,
            false as is_new
        from (
            select
                *,
                row_number() over (
                    partition by env_id, user_key
                    order by ingested_at desc, event_id desc
                ) as place_from_the_end
            from {{ this }}
            where not {{ flagmart.since_last_run("ingested_at") }}
        ) as kept
        where place_from_the_end = 1
    {% endif %}
),

-- an event that does not know the user's name changes nothing that is known
with_names as (
    select
        *,
        coalesce(user_name, '') <> '' as has_name
    from known_and_new
),

arranged as (
    select
        *,
        row_number() over (partition by env_id, user_key order by ingested_at, event_id) as place,
        row_number() over (partition by env_id, user_key, has_name order by ingested_at, event_id) as place_of_its_kind,
        lag(user_name) over (partition by env_id, user_key, has_name order by ingested_at, event_id) as name_before
    from with_names
)

select
    env_id,
    user_key,
    event_id,
    user_name,
    happened_at as occurred_at,
    ingested_at
from arranged
where
    is_new
    and (place = 1 or (has_name and (place_of_its_kind = 1 or user_name <> name_before)))
