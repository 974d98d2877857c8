{{
    config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="ingested_on",
        on_schema_change="fail",
        order_by="(ingested_on, env_id, source, event, outcome)",
        post_hook="{{ flagmart.record_finished_runs(ref('base_featbit__events')) }}",
    )
}}

select
    env_id,
    cast(ingested_at as date) as ingested_on,
    source,
    event,
    outcome,
    reject_reason,
    warning,
    cast(count(*) as {{ dbt.type_bigint() }}) as events,
    max(ingested_at) as last_ingested_at
from {{ ref("base_featbit__events") }}
{% if is_incremental() %}
    -- whole days of ingestion are counted again
    where cast(ingested_at as date) >= cast({{ flagmart.last_finished_run("last_ingested_at") }} as date)
{% endif %}
group by env_id, cast(ingested_at as date), source, event, outcome, reject_reason, warning
