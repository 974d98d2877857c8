{{ config(enabled=flagmart.is_experiment_tool("growthbook"), contract={"enforced": true}) }}

select
    user_key as user_id,
    occurred_at as timestamp,
    flag_key as experiment_id,
    variation_id,
    env_id
from {{ ref("int_exports__events") }}
where is_evaluation and send_to_experiment
