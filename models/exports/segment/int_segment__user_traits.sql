-- what each event and each version of a user adds to what was known of it before that landed; of all environments, so
-- that one that is chosen later brings its own
{{
    config(
        enabled=flagmart.is_delivered("segment_identifies"),
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="ingested_at",
        on_schema_change="fail",
        order_by="(ingested_at, event_id)",
        post_hook=[
            "{{ flagmart.record_finished_runs(ref('stg_featbit__events'), kept_where=\"brought_by = 'event'\") }}",
            "{{ flagmart.record_finished_runs(ref('stg_featbit__user_versions'), kept_where=\"brought_by = 'version'\") }}",
        ],
    )
}}

with accepted as (
    select
        env_id,
        user_key,
        event_id,
        user_name,
        occurred_at,
        ingested_at
    from {{ ref("stg_featbit__events") }}
    where outcome in ('evaluation', 'metric')
),

-- an event knows the user's name at most, a version all there is
told as (
    select
        env_id,
        user_key,
        event_id,
        user_name,
        {{ flagmart.null_text() }} as attributes,
        {{ flagmart.never_null("occurred_at") }} as happened_at,
        ingested_at,
        'event' as brought_by,
        true as is_new
    from accepted
    {% if is_incremental() %}
        where {{ flagmart.since_last_run("ingested_at", kept_where="brought_by = 'event'") }}
    {% endif %}
    union all
    select
        env_id,
        user_key,
        version_id as event_id,
        user_name,
        attributes,
        {{ flagmart.never_null("coalesce(changed_at, ingested_at)") }} as happened_at,
        ingested_at,
        'version' as brought_by,
        true as is_new
    from {{ ref("stg_featbit__user_versions") }}
    {% if is_incremental() %}
        where {{ flagmart.since_last_run("ingested_at", kept_where="brought_by = 'version'") }}
    {% endif %}
),

known_and_new as (
    select * from told
    {% if is_incremental() %}
        union all
        -- all that was told of these users: a run of the one kind may be older than what is known of the other
        select
            env_id,
            user_key,
            event_id,
            user_name,
            attributes,
            occurred_at as happened_at,
            ingested_at,
            brought_by,
            false as is_new
        from {{ this }}
        where
            (env_id, user_key) in (
                select
                    told.env_id,
                    told.user_key
                from told
            )
            and not (
                brought_by = 'event' and {{ flagmart.since_last_run("ingested_at", kept_where="brought_by = 'event'") }}
            )
            and not (
                brought_by = 'version' and {{ flagmart.since_last_run("ingested_at", kept_where="brought_by = 'version'") }}
            )
    {% endif %}
),

-- who does not know the user's name changes nothing that is known of it
with_names as (
    select
        *,
        coalesce(user_name, '') <> '' as has_name,
        brought_by = 'version' as has_attributes
    from known_and_new
),

arranged as (
    select
        *,
        row_number() over (partition by env_id, user_key order by ingested_at, event_id) as place,
        row_number() over (partition by env_id, user_key, has_name order by ingested_at, event_id) as place_of_its_kind,
        lag(user_name) over (partition by env_id, user_key, has_name order by ingested_at, event_id) as name_before,
        lag(attributes) over (partition by env_id, user_key, has_attributes order by ingested_at, event_id)
            as attributes_before
    from with_names
)

select
    env_id,
    user_key,
    event_id,
    user_name,
    attributes,
    happened_at as occurred_at,
    ingested_at,
    brought_by
from arranged
where
    is_new
    and (
        place = 1
        or (has_name and (place_of_its_kind = 1 or user_name <> name_before))
        or (has_attributes and attributes <> coalesce(attributes_before, '{}'))
    )
