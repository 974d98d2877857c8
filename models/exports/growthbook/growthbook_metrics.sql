{{ config(enabled=flagmart.is_experiment_tool("growthbook"), contract={"enforced": true}) }}

select
    user_key as user_id,
    occurred_at as timestamp,
    event_name,
    numeric_value as value,
    env_id
from {{ ref("int_exports__events") }}
where not is_evaluation
