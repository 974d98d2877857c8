{{ config(enabled=flagmart.is_experiment_tool("opentelemetry"), contract={"enforced": true}) }}

select
    event_id,
    occurred_at as timestamp,
    ingested_at as observed_timestamp,
    'feature_flag.evaluation' as event_name,
    {{ flagmart.string_map({
        "feature_flag.key": "flag_key",
        "feature_flag.result.variant": "variation_id",
        "feature_flag.context.id": "user_key",
        "feature_flag.provider.name": "'featbit'",
        "feature_flag.set.id": "env_id",
    }) }} as attributes
from {{ ref("int_exports__events") }}
where is_evaluation
