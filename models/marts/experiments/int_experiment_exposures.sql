-- rows of an experiment are only ever added: what a run of ingest brings that is earlier than what is known
{{
    config(
        materialized="incremental",
        incremental_strategy="append",
        on_schema_change="fail",
        order_by="(digest, unit_id, variation_id)",
        pre_hook="{{ flagmart.forget_changed_experiments(ref('int_experiments'), also_of_readers=true) }}",
        post_hook="{{ flagmart.record_finished_experiments(ref('int_experiments'), ref('stg_featbit__events')) }}",
    )
}}

with experiments as (
    {{ flagmart.experiments_to_read(ref("int_experiments")) }}
),

new_evaluations as (
    select
        experiments.experiment_no,
        evaluations.user_key,
        evaluations.variation_id,
        evaluations.occurred_at,
        evaluations.event_id,
        evaluations.ingested_at
    from {{ ref("stg_featbit__flag_evaluations") }} as evaluations
    inner join experiments
        on
            evaluations.env_id = experiments.env_id
            and evaluations.flag_key = experiments.flag_key
    where
        evaluations.send_to_experiment
        and evaluations.occurred_at >= experiments.starts_at
        and evaluations.occurred_at < experiments.ends_at
        and {{ flagmart.is_unread("evaluations.ingested_at") }}
),

{% if is_incremental() %}
unit_evaluations as (
    select
        new_evaluations.experiment_no as new_no,
        new_evaluations.user_key as new_user_key,
        coalesce(units.unit_id, new_evaluations.user_key) as new_unit_id,
        new_evaluations.variation_id,
        new_evaluations.occurred_at,
        new_evaluations.event_id,
        new_evaluations.ingested_at
    from new_evaluations
    inner join experiments on new_evaluations.experiment_no = experiments.experiment_no
    left join {{ ref("int_user_units") }} as units
        on
            experiments.id_type = units.id_type
            and new_evaluations.user_key = units.user_key
    where experiments.id_type = '' or units.unit_id is not null
),

-- a number is compared faster than a digest
numbered as (
    select
        experiments.experiment_no as kept_no,
        kept.unit_id as kept_unit_id,
        kept.variation_id as kept_variation_id,
        kept.first_exposed_at as kept_at
    from {{ this }} as kept
    inner join experiments on kept.digest = experiments.digest
),

-- of nearly all the instant alone says that they are not the first; what is left is looked at in full
perhaps_first as (
    select
        unit_evaluations.new_no as experiment_no,
        unit_evaluations.new_user_key as user_key,
        unit_evaluations.variation_id,
        unit_evaluations.occurred_at,
        unit_evaluations.event_id,
        unit_evaluations.ingested_at,
        case when numbered.kept_no is null then 0 else 1 end as is_kept
    from unit_evaluations
    left join numbered
        on
            unit_evaluations.new_no = numbered.kept_no
            and unit_evaluations.new_unit_id = numbered.kept_unit_id
            and unit_evaluations.variation_id = numbered.kept_variation_id
    where numbered.kept_no is null or unit_evaluations.occurred_at <= numbered.kept_at
),

{% endif %}
user_firsts as (
    select
        experiment_no,
        user_key,
        variation_id,
        {{ "max(is_kept)" if is_incremental() else "0" }} as is_kept,
        {{ flagmart.earliest_event("occurred_at", "event_id", "ingested_at") }} as first_event
    from {{ "perhaps_first" if is_incremental() else "new_evaluations" }}
    group by experiment_no, user_key, variation_id
),

unit_firsts as (
    select
        user_firsts.experiment_no,
        user_firsts.user_key as unit_id,
        user_firsts.variation_id,
        user_firsts.is_kept,
        user_firsts.first_event
    from user_firsts
    inner join experiments on user_firsts.experiment_no = experiments.experiment_no
    where experiments.id_type = ''
    union all
    select
        user_firsts.experiment_no,
        units.unit_id,
        user_firsts.variation_id,
        max(user_firsts.is_kept) as is_kept,
        min(user_firsts.first_event) as first_event
    from user_firsts
    inner join experiments on user_firsts.experiment_no = experiments.experiment_no
    inner join {{ ref("int_user_units") }} as units
        on
            experiments.id_type = units.id_type
            and user_firsts.user_key = units.user_key
    group by user_firsts.experiment_no, units.unit_id, user_firsts.variation_id
),

firsts as (
    select
        experiments.experiment_key,
        experiments.digest,
        unit_firsts.unit_id,
        unit_firsts.variation_id,
        unit_firsts.is_kept,
        {{ flagmart.part_of("unit_firsts.first_event", 1) }} as first_exposed_at,
        {{ flagmart.part_of("unit_firsts.first_event", 2) }} as first_event_id,
        {{ flagmart.part_of("unit_firsts.first_event", 3) }} as ingested_at
    from unit_firsts
    inner join experiments on unit_firsts.experiment_no = experiments.experiment_no
){% if is_incremental() %},

-- those that this table has as early or earlier; where all are new it is not read for them
known as (
    select
        kept.digest as known_digest,
        kept.unit_id as known_unit_id,
        kept.variation_id as known_variation_id
    from {{ this }} as kept
    inner join firsts
        on
            kept.digest = firsts.digest
            and kept.unit_id = firsts.unit_id
            and kept.variation_id = firsts.variation_id
    where
        firsts.is_kept = 1
        and (
            kept.first_exposed_at < firsts.first_exposed_at
            or (
                kept.first_exposed_at = firsts.first_exposed_at
                and kept.first_event_id <= firsts.first_event_id
            )
        )
){% endif %}

select
    firsts.experiment_key,
    firsts.digest,
    firsts.unit_id,
    firsts.variation_id,
    firsts.first_exposed_at,
    firsts.first_event_id,
    firsts.ingested_at
from firsts
{% if is_incremental() %}
    left join known
        on
            firsts.digest = known.known_digest
            and firsts.unit_id = known.known_unit_id
            and firsts.variation_id = known.known_variation_id
    where known.known_digest is null
{% endif %}
