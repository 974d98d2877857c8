{{
    config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key=["env_id", "user_key"],
        on_schema_change="fail",
        contract={"enforced": true},
        order_by="(env_id, user_key)",
        post_hook="{{ flagmart.record_finished_runs(ref('stg_featbit__user_versions')) }}",
    )
}}

with versions as (
    select
        *,
        row_number() over (partition by env_id, user_key order by ingested_at desc) as place_from_the_end
    from {{ ref("stg_featbit__user_versions") }}
    {% if is_incremental() %}
        where {{ flagmart.since_last_run("ingested_at") }}
    {% endif %}
)

select
    env_id,
    user_key,
    user_name,
    attributes,
    changed_at,
    version_id,
    ingested_at
from versions
where place_from_the_end = 1
