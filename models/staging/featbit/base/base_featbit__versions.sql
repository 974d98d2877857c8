{{
    config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="ingested_at",
        on_schema_change="fail",
        order_by="(ingested_at, version_id)",
        post_hook="{{ flagmart.record_finished_runs(source('featbit', 'featbit_versions')) }}",
    )
}}

{%- set named = {
    "name": "named_name",
    "id": "named_id",
    "variationType": "named_variation_type",
    "variations": "named_variations",
    "isEnabled": "named_is_enabled",
    "isArchived": "named_is_archived",
    "attributes": "named_attributes",
} %}

with landed as (
    select
        event_id as version_id,
        event as kind,
        env_id,
        distinct_id as versioned_key,
        occurred_at as changed_at,
        ingested_at,
        source,
        {{ flagmart.json_fields("properties", named.keys()) }} as fields
    from {{ source("featbit", "featbit_versions") }}
    {% if is_incremental() %}
        where {{ flagmart.since_last_run("ingested_at") }}
    {% endif %}
),

named as (
    select
        *,
        {{ flagmart.json_columns("fields", named) }}
    from landed
)

select
    version_id,
    kind,
    env_id,
    versioned_key,
    coalesce(named_name, '') as name,
    coalesce(named_id, '') as flag_id,
    coalesce(named_variation_type, '') as variation_type,
    coalesce(named_variations, '[]') as variations,
    case named_is_enabled when 'true' then true when 'false' then false end as is_enabled,
    case named_is_archived when 'true' then true when 'false' then false end as is_archived,
    coalesce(named_attributes, '{}') as attributes,
    changed_at,
    ingested_at,
    source
from named
