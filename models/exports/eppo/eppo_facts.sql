{{ config(enabled=flagmart.is_experiment_tool("eppo"), contract={"enforced": true}) }}

select
    user_key as entity_id,
    occurred_at as timestamp,
    event_name as fact_name,
    numeric_value as fact_value,
    env_id
from {{ ref("int_exports__events") }}
where not is_evaluation
