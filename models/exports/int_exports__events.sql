-- evaluations and metric events of the environments that may leave, in one shape
with environments as (
    select env_id
    from {{ ref("int_exports__environments") }}
    where is_exported
),

accepted as (
    select
        *,
        {{ flagmart.never_null("occurred_at") }} as client_time
    from {{ ref("stg_featbit__events") }}
    where
        outcome in ('evaluation', 'metric')
        and env_id in (select environments.env_id from environments)
)

select
    event_id,
    env_id,
    outcome = 'evaluation' as is_evaluation,
    event,
    distinct_id,
    flag_key,
    flag_id,
    variation_id,
    send_to_experiment,
    case when outcome = 'evaluation' then 'featbit_flag_evaluation' else event_name end as event_name,
    numeric_value,
    application_type,
    user_key,
    user_name,
    route,
    account_id,
    project_id,
    tag_0,
    tag_1,
    tag_2,
    tag_3,
    client_time as occurred_at,
    {{ flagmart.epoch_ms("client_time") }} as occurred_ms,
    ingested_at,
    source_ingested_at,
    {{ flagmart.unchosen_message() }} as unchosen_message
from accepted
