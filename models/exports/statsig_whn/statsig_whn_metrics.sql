{{ config(enabled=flagmart.is_experiment_tool("statsig_whn"), contract={"enforced": true}) }}

select
    occurred_at as timestamp,
    user_key as user_id,
    event_name,
    numeric_value as value,
    env_id
from {{ ref("int_exports__events") }}
where not is_evaluation
