-- kept as changes, which add up: units with news are worked out as they were and as they are, the difference is added;
-- so a late event mends the days it belongs to, and no other unit is worked out again
{{
    config(
        materialized="incremental",
        incremental_strategy="append",
        on_schema_change="fail",
        order_by="(digest, variation_id, day_on)",
        pre_hook="{{ flagmart.forget_changed_experiments(ref('int_experiments')) }}",
        post_hook="{{ flagmart.record_finished_experiments(
            ref('int_experiments'), ref('base_featbit__events'), reads='model.flagmart.int_experiment_exposures'
        ) }}",
    )
}}

{%- set leaves_out = var("flagmart_experiment_users_in_two_variations") == "leave_out" %}

with experiments as (
    {{ flagmart.experiments_to_read(ref("int_experiments")) }}
),

exposures as (
    select
        experiments.experiment_no,
        experiments.read_until,
        exposed.unit_id,
        exposed.variation_id,
        exposed.first_exposed_at,
        exposed.first_event_id,
        exposed.ingested_at
    from {{ ref("int_experiment_exposures") }} as exposed
    inner join experiments on exposed.digest = experiments.digest
),

user_metrics as (
    select
        experiments.experiment_no,
        experiments.id_type,
        experiments.read_until,
        metrics.user_key,
        metrics.occurred_at,
        metrics.numeric_value,
        metrics.ingested_at
    from {{ ref("stg_featbit__metric_events") }} as metrics
    inner join experiments
        on
            metrics.env_id = experiments.env_id
            and metrics.event_name = experiments.metric_event
    where
        metrics.occurred_at >= experiments.starts_at
        and metrics.occurred_at < experiments.ends_at
),

metrics as (
    select
        experiment_no,
        read_until,
        user_key as unit_id,
        occurred_at,
        numeric_value,
        ingested_at
    from user_metrics
    where id_type = ''
    union all
    select
        user_metrics.experiment_no,
        user_metrics.read_until,
        units.unit_id,
        user_metrics.occurred_at,
        user_metrics.numeric_value,
        user_metrics.ingested_at
    from user_metrics
    inner join {{ ref("int_user_units") }} as units
        on
            user_metrics.id_type = units.id_type
            and user_metrics.user_key = units.user_key
),

{% if is_incremental() %}
touched as (
    select
        experiment_no,
        unit_id
    from exposures
    where ingested_at > read_until
    union distinct
    select
        experiment_no,
        unit_id
    from metrics
    where ingested_at > read_until
),

touched_exposures as (
    select exposures.*
    from exposures
    inner join touched
        on
            exposures.experiment_no = touched.experiment_no
            and exposures.unit_id = touched.unit_id
),

{% endif %}
-- 1: as they are, with all that has landed; -1: as they were when this table was last built
directions as (
    select cast(1 as {{ dbt.type_bigint() }}) as direction
    {% if is_incremental() %}
        union all
        select cast(-1 as {{ dbt.type_bigint() }}) as direction
    {% endif %}
),

sights as (
    select
        exposures.experiment_no,
        exposures.read_until,
        directions.direction,
        exposures.unit_id,
        exposures.variation_id,
        min({{ flagmart.row_of(["exposures.first_exposed_at", "exposures.first_event_id"]) }}) as first_sight
    from {{ "touched_exposures" if is_incremental() else "exposures" }} as exposures
    cross join directions
    {% if is_incremental() %}
        where directions.direction = 1 or exposures.ingested_at <= exposures.read_until
    {% endif %}
    group by
        exposures.experiment_no, exposures.read_until, directions.direction, exposures.unit_id, exposures.variation_id
),

unit_sights as (
    select
        experiment_no,
        read_until,
        direction,
        unit_id,
        count(*) as variations_seen,
        {{ flagmart.smallest_two(flagmart.row_of(["first_sight", "variation_id"])) }} as first_two
    from sights
    group by experiment_no, read_until, direction, unit_id
),

units as (
    select
        experiment_no,
        read_until,
        direction,
        unit_id,
        {{ flagmart.part_of(flagmart.part_of("first_two[1]", 1), 1) }} as exposed_at,
        {{ flagmart.part_of("first_two[1]", 2) }} as variation_id,
        case
            when variations_seen > 1
                then cast({{ flagmart.part_of(flagmart.part_of("first_two[2]", 1), 1) }} as date)
        end as crossed_on
    from unit_sights
),

unit_days as (
    select
        metrics.experiment_no,
        units.direction,
        metrics.unit_id,
        units.variation_id,
        cast(metrics.occurred_at as date) as day_on,
        count(*) as events,
        count(metrics.numeric_value) as valued_events,
        count(metrics.numeric_value) - count({{ flagmart.summand("metrics.numeric_value") }}) as values_beyond,
        coalesce({{ flagmart.exact_sum("metrics.numeric_value") }}, cast(0 as decimal(38, 6))) as day_sum,
        0 as crossed
    from metrics
    inner join units
        on
            metrics.experiment_no = units.experiment_no
            and metrics.unit_id = units.unit_id
    where
        metrics.occurred_at >= units.exposed_at
        and (units.direction = 1 or metrics.ingested_at <= units.read_until)
    group by
        metrics.experiment_no, units.direction, metrics.unit_id, units.variation_id, cast(metrics.occurred_at as date)
    {% if leaves_out %}
        union all
        select
            experiment_no,
            direction,
            unit_id,
            variation_id,
            {{ flagmart.never_null("crossed_on") }} as day_on,
            0 as events,
            0 as valued_events,
            0 as values_beyond,
            cast(0 as decimal(38, 6)) as day_sum,
            1 as crossed
        from units
        where crossed_on is not null
    {% endif %}
),

totals as (
    select
        experiment_no,
        direction,
        unit_id,
        variation_id,
        day_on,
        sum(events) over so_far as events_so_far,
        sum(valued_events) over so_far as valued_so_far,
        sum(values_beyond) over so_far as beyond_so_far,
        sum(day_sum) over so_far as sum_so_far,
        sum(crossed) over so_far as crossed_so_far
    from unit_days
    window so_far as (partition by experiment_no, direction, unit_id order by day_on)
),

contributed as (
    select
        totals.experiment_no,
        totals.direction,
        totals.unit_id,
        totals.variation_id,
        totals.day_on,
        totals.beyond_so_far,
        totals.events_so_far > 0 and totals.crossed_so_far = 0 as is_converted,
        {{ flagmart.never_null(
            "case experiments.aggregation"
            ~ " when 'once' then 1e0"
            ~ " when 'count' then cast(totals.events_so_far as double)"
            ~ " when 'sum' then " ~ flagmart.decimal_to_float64("totals.sum_so_far")
            ~ " else " ~ flagmart.decimal_to_float64("totals.sum_so_far")
            ~ " / cast(greatest(totals.valued_so_far, 1) as double) end"
        ) }} as contribution,
        experiments.aggregation in ('sum', 'average') as is_of_values
    from totals
    inner join experiments on totals.experiment_no = experiments.experiment_no
),

states as (
    select
        *,
        is_converted and (abs(contribution) >= 1e9 or (is_of_values and beyond_so_far > 0)) as is_beyond
    from contributed
),

-- up to 10^18 as a square, so that 10^8 units fit
measured as (
    select
        experiment_no,
        direction,
        unit_id,
        variation_id,
        day_on,
        case when is_converted then 1 else 0 end as converted,
        case when is_beyond then 1 else 0 end as beyond,
        {{ flagmart.decimal_or_null(
            "case when is_converted and not is_beyond then contribution else 0e0 end", 30, 12
        ) }} as amount,
        {{ flagmart.decimal_or_null(
            "case when is_converted and not is_beyond then contribution * contribution else 0e0 end", 30, 12
        ) }} as amount_square
    from states
),

moved as (
    select
        experiment_no,
        direction,
        variation_id,
        day_on,
        converted - coalesce(lag(converted) over before, 0) as more_converted,
        beyond - coalesce(lag(beyond) over before, 0) as more_beyond,
        amount - coalesce(lag(amount) over before, cast(0 as decimal(30, 12))) as more_amount,
        amount_square - coalesce(lag(amount_square) over before, cast(0 as decimal(30, 12))) as more_square
    from measured
    window before as (partition by experiment_no, direction, unit_id order by day_on)
),

changes as (
    select
        experiment_no,
        variation_id,
        day_on,
        direction * more_converted as conversions,
        direction * more_beyond as units_beyond,
        case when direction = 1 then more_amount else -more_amount end as value_sum,
        case when direction = 1 then more_square else -more_square end as value_sum_squares,
        0 as users,
        0 as users_in_two_variations
    from moved
    union all
    select
        experiment_no,
        variation_id,
        cast(exposed_at as date) as day_on,
        0 as conversions,
        0 as units_beyond,
        cast(0 as decimal(30, 12)) as value_sum,
        cast(0 as decimal(30, 12)) as value_sum_squares,
        direction as users,
        0 as users_in_two_variations
    from units
    union all
    select
        experiment_no,
        variation_id,
        {{ flagmart.never_null("crossed_on") }} as day_on,
        0 as conversions,
        0 as units_beyond,
        cast(0 as decimal(30, 12)) as value_sum,
        cast(0 as decimal(30, 12)) as value_sum_squares,
        {{ "-direction" if leaves_out else "0" }} as users,
        direction as users_in_two_variations
    from units
    where crossed_on is not null
),

added as (
    select
        experiment_no,
        variation_id,
        day_on,
        sum(users) as added_users,
        sum(conversions) as added_conversions,
        sum(value_sum) as added_sum,
        sum(value_sum_squares) as added_squares,
        sum(users_in_two_variations) as added_in_two,
        sum(units_beyond) as added_beyond
    from changes
    group by experiment_no, variation_id, day_on
)

select
    experiments.experiment_key,
    experiments.digest,
    added.variation_id,
    added.day_on,
    cast(added.added_users as {{ dbt.type_bigint() }}) as users,
    cast(added.added_conversions as {{ dbt.type_bigint() }}) as conversions,
    cast(added.added_sum as decimal(38, 12)) as value_sum,
    cast(added.added_squares as decimal(38, 12)) as value_sum_squares,
    cast(added.added_in_two as {{ dbt.type_bigint() }}) as users_in_two_variations,
    cast(added.added_beyond as {{ dbt.type_bigint() }}) as users_beyond_range
from added
inner join experiments on added.experiment_no = experiments.experiment_no
where
    added.added_users <> 0
    or added.added_conversions <> 0
    or added.added_sum <> 0
    or added.added_squares <> 0
    or added.added_in_two <> 0
    or added.added_beyond <> 0
