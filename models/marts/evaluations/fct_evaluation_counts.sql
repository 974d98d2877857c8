{{
    config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="bucket_start_ms",
        on_schema_change="fail",
        order_by="(env_id, flag_key, variation_id, bucket_start_ms)",
        partition_by=flagmart.by_month("bucket_on"),
        post_hook=[
            "{{ flagmart.record_finished_runs(ref('stg_featbit__flag_evaluations'), kept_where=\"source = 'featbit'\") }}",
            "{{ flagmart.record_finished_runs(ref('stg_prefab__evaluation_counts'), kept_where=\"source = 'prefab'\") }}",
        ],
    )
}}

with evaluations as (
    select
        'featbit' as source,
        env_id,
        flag_key,
        variation_id,
        ingested_at,
        {{ flagmart.bucket_start_ms(flagmart.epoch_ms("occurred_at"), 15 * 60 * 1000) }} as bucket_start_ms,
        cast(1 as {{ dbt.type_bigint() }}) as evaluations
    from {{ ref("stg_featbit__flag_evaluations") }}
    union all
    select
        'prefab' as source,
        env_id,
        flag_key,
        variation_id,
        ingested_at,
        {{ flagmart.bucket_start_ms(flagmart.epoch_ms("started_at"), 15 * 60 * 1000) }} as bucket_start_ms,
        evaluations
    from {{ ref("stg_prefab__evaluation_counts") }}
),

-- a late event changes an old bucket: whole buckets are counted again, and no others are touched;
-- each source has ingest runs of its own, so what is new of one says nothing of the other
{% if is_incremental() %}
touched as (
    select distinct bucket_start_ms
    from evaluations
    where
        (
            source = 'featbit'
            and {{ flagmart.since_last_run("ingested_at", "last_ingested_at", kept_where="source = 'featbit'") }}
        )
        or (
            source = 'prefab'
            and {{ flagmart.since_last_run("ingested_at", "last_ingested_at", kept_where="source = 'prefab'") }}
        )
),
{% endif %}

counted as (
    select
        source,
        env_id,
        flag_key,
        variation_id,
        bucket_start_ms,
        sum(evaluations) as counted_evaluations,
        max(ingested_at) as last_ingested_at
    from evaluations
    {% if is_incremental() %}
        where bucket_start_ms in (select touched.bucket_start_ms from touched)
    {% endif %}
    group by source, env_id, flag_key, variation_id, bucket_start_ms
)

select
    source,
    env_id,
    flag_key,
    variation_id,
    bucket_start_ms,
    {{ flagmart.timestamp_from_ms("bucket_start_ms") }} as bucket_start_at,
    {{ flagmart.date_of_ms("bucket_start_ms") }} as bucket_on,
    cast(counted_evaluations as {{ dbt.type_bigint() }}) as evaluations,
    last_ingested_at
from counted
order by env_id, flag_key, variation_id, bucket_start_ms, source
