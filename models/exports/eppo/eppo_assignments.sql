{{ config(enabled=flagmart.is_experiment_tool("eppo"), contract={"enforced": true}) }}

select
    user_key as subject,
    occurred_at as timestamp,
    flag_key as experiment,
    variation_id as variation,
    env_id
from {{ ref("int_exports__events") }}
where is_evaluation and send_to_experiment
