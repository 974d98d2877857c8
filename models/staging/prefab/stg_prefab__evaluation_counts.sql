select
    summary_id,
    env_id,
    flag_key,
    variation_id,
    config_id,
    config_type,
    started_at,
    {{ flagmart.never_null("ended_at") }} as ended_at,
    {{ flagmart.never_null("evaluations") }} as evaluations,
    ingested_at
from {{ ref("base_prefab__evaluation_counts") }}
where outcome = 'evaluation'
