-- rows of an experiment are only ever added: what a run of ingest brings that is earlier than what is known
{{
    config(
        materialized="incremental",
        incremental_strategy="append",
        on_schema_change="fail",
        order_by="(digest, unit_id, variation_id)",
        pre_hook="{{ flagmart.forget_changed_experiments(ref('int_experiments'), also_of_readers=true) }}",
        post_hook="{{ flagmart.record_finished_experiments(ref('int_experiments'), ref('base_featbit__events')) }}",
    )
}}

with experiments as (
    {{ flagmart.experiments_to_read(ref("int_experiments")) }}
),

user_firsts as (
    select
        experiments.experiment_no,
        evaluations.user_key,
        evaluations.variation_id,
        {{ flagmart.earliest_event("evaluations.occurred_at", "evaluations.event_id", "evaluations.ingested_at") }}
            as first_event
    from {{ ref("stg_featbit__flag_evaluations") }} as evaluations
    inner join experiments
        on
            evaluations.env_id = experiments.env_id
            and evaluations.flag_key = experiments.flag_key
    where
        evaluations.send_to_experiment
        and evaluations.occurred_at >= experiments.starts_at
        and evaluations.occurred_at < experiments.ends_at
        and evaluations.ingested_at > experiments.read_until
        -- the same for all, so that what every experiment has read is not looked at
        and evaluations.ingested_at > (select min(known.read_until) from experiments as known)
    group by experiments.experiment_no, evaluations.user_key, evaluations.variation_id
),

unit_firsts as (
    select
        user_firsts.experiment_no,
        user_firsts.user_key as unit_id,
        user_firsts.variation_id,
        user_firsts.first_event
    from user_firsts
    inner join experiments on user_firsts.experiment_no = experiments.experiment_no
    where experiments.id_type = ''
    union all
    select
        user_firsts.experiment_no,
        units.unit_id,
        user_firsts.variation_id,
        min(user_firsts.first_event) as first_event
    from user_firsts
    inner join experiments on user_firsts.experiment_no = experiments.experiment_no
    inner join {{ ref("int_user_units") }} as units
        on
            experiments.id_type = units.id_type
            and user_firsts.user_key = units.user_key
    group by user_firsts.experiment_no, units.unit_id, user_firsts.variation_id
),

new_firsts as (
    select
        experiment_no,
        unit_id,
        variation_id,
        {{ flagmart.part_of("first_event", 1) }} as first_exposed_at,
        {{ flagmart.part_of("first_event", 2) }} as first_event_id,
        {{ flagmart.part_of("first_event", 3) }} as ingested_at
    from unit_firsts
){% if is_incremental() %},

known_firsts as (
    select
        digest,
        unit_id,
        variation_id,
        min({{ flagmart.row_of(["first_exposed_at", "first_event_id"]) }}) as known_event
    from {{ this }}
    group by digest, unit_id, variation_id
),

known as (
    select
        digest,
        unit_id,
        variation_id,
        {{ flagmart.part_of("known_event", 1) }} as known_at,
        {{ flagmart.part_of("known_event", 2) }} as known_event_id
    from known_firsts
){% endif %}

select
    experiments.experiment_key,
    experiments.digest,
    new_firsts.unit_id,
    new_firsts.variation_id,
    new_firsts.first_exposed_at,
    new_firsts.first_event_id,
    new_firsts.ingested_at
from new_firsts
inner join experiments on new_firsts.experiment_no = experiments.experiment_no
{% if is_incremental() %}
    left join known
        on
            experiments.digest = known.digest
            and new_firsts.unit_id = known.unit_id
            and new_firsts.variation_id = known.variation_id
    where
        known.known_at is null
        or new_firsts.first_exposed_at < known.known_at
        or (new_firsts.first_exposed_at = known.known_at and new_firsts.first_event_id < known.known_event_id)
{% endif %}
