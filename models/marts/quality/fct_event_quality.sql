{{
    config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="ingested_on",
        on_schema_change="fail",
        order_by="(ingested_on, env_id, source, event, outcome)",
        post_hook=[
            "{{ flagmart.record_finished_runs(ref('stg_featbit__events'), kept_where=\"source <> 'prefab'\") }}",
            "{{ flagmart.record_finished_runs(ref('base_prefab__evaluation_counts'), kept_where=\"source = 'prefab'\") }}",
        ],
    )
}}

with judged as (
    select
        env_id,
        cast(ingested_at as date) as ingested_on,
        source,
        event,
        outcome,
        reject_reason,
        warning,
        ingested_at
    from {{ ref("stg_featbit__events") }}
    union all
    select
        env_id,
        cast(ingested_at as date) as ingested_on,
        source,
        event,
        outcome,
        reject_reason,
        warning,
        ingested_at
    from {{ ref("base_prefab__evaluation_counts") }}
)

select
    env_id,
    ingested_on,
    source,
    event,
    outcome,
    reject_reason,
    warning,
    cast(count(*) as {{ dbt.type_bigint() }}) as events,
    max(ingested_at) as last_ingested_at
from judged
{% if is_incremental() %}
    -- whole days of ingestion are counted again; each source has ingest runs of its own
    where ingested_on in (
        select touched.ingested_on
        from judged as touched
        where
            (
                touched.source <> 'prefab'
                and {{ flagmart.since_last_run(
                    "touched.ingested_at", "last_ingested_at", kept_where="source <> 'prefab'"
                ) }}
            )
            or (
                touched.source = 'prefab'
                and {{ flagmart.since_last_run(
                    "touched.ingested_at", "last_ingested_at", kept_where="source = 'prefab'"
                ) }}
            )
    )
{% endif %}
group by env_id, ingested_on, source, event, outcome, reject_reason, warning
