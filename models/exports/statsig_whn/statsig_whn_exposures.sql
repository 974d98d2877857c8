{{ config(enabled=flagmart.is_experiment_tool("statsig_whn"), contract={"enforced": true}) }}

select
    occurred_at as timestamp,
    user_key as user_id,
    flag_key as experiment_name,
    variation_id as group_name,
    env_id
from {{ ref("int_exports__events") }}
where is_evaluation and send_to_experiment
