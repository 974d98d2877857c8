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
            ref('int_experiments'), ref('stg_featbit__events'), reads='model.flagmart.int_experiment_exposures'
        ) }}",
    )
}}

{%- set leaves_out = var("flagmart_experiment_users_in_two_variations") == "leave_out" %}
{%- set not_crossed = "(units.crossed_on is null or cast(metrics.occurred_at as date) < units.crossed_on)" %}
{%- set still_counted = not_crossed if leaves_out else "true" %}

with experiments as (
    {{ flagmart.experiments_to_read(ref("int_experiments")) }}
),

{% if is_incremental() %}
-- units with news; what was known of them is read for them alone
touched as (
    select
        experiments.experiment_no as touched_no,
        experiments.id_type,
        exposed.unit_id as touched_unit_id
    from {{ ref("int_experiment_exposures") }} as exposed
    inner join experiments on exposed.digest = experiments.digest
    where
        {{ flagmart.is_unread("exposed.ingested_at") }}
    union distinct
    select
        experiments.experiment_no as touched_no,
        experiments.id_type,
        coalesce(units.unit_id, metrics.user_key) as touched_unit_id
    from {{ ref("stg_featbit__metric_events") }} as metrics
    inner join experiments
        on
            metrics.env_id = experiments.env_id
            and metrics.event_name = experiments.metric_event
    left join {{ ref("int_user_units") }} as units
        on
            experiments.id_type = units.id_type
            and metrics.user_key = units.user_key
    where
        metrics.occurred_at >= experiments.starts_at
        and metrics.occurred_at < experiments.ends_at
        and {{ flagmart.is_unread("metrics.ingested_at") }}
        and (experiments.id_type = '' or units.unit_id is not null)
),

{% endif %}
exposures as (
    select
        experiments.experiment_no,
        experiments.read_until,
        exposed.unit_id,
        exposed.variation_id,
        exposed.first_exposed_at,
        exposed.ingested_at
    from {{ ref("int_experiment_exposures") }} as exposed
    inner join experiments on exposed.digest = experiments.digest
    {% if is_incremental() %}
        inner join touched
            on
                experiments.experiment_no = touched.touched_no
                and exposed.unit_id = touched.touched_unit_id
    {% endif %}
),

-- what is asked of metric events, and of whose; in one relation, so that these are joined once
asked as (
    select
        experiments.experiment_no as asked_no,
        experiments.id_type as asked_id_type,
        experiments.read_until as asked_read_until,
        experiments.env_id as asked_env_id,
        experiments.metric_event as asked_event,
        experiments.starts_at as asked_from,
        {% if is_incremental() %}
            coalesce(units.user_key, touched.touched_unit_id) as asked_user_key,
        {% endif %}
        experiments.ends_at as asked_to
    from experiments
    {% if is_incremental() %}
        inner join touched on experiments.experiment_no = touched.touched_no
        left join {{ ref("int_user_units") }} as units
            on
                touched.id_type = units.id_type
                and touched.touched_unit_id = units.unit_id
    {% endif %}
),

user_metrics as (
    select
        asked.asked_no as experiment_no,
        asked.asked_id_type as id_type,
        asked.asked_read_until as read_until,
        metrics.user_key,
        metrics.occurred_at,
        metrics.numeric_value,
        metrics.ingested_at
    from {{ ref("stg_featbit__metric_events") }} as metrics
    inner join asked
        on
            metrics.env_id = asked.asked_env_id
            {% if is_incremental() %}
                and metrics.user_key = asked.asked_user_key
            {% endif %}
            and metrics.event_name = asked.asked_event
    where
        metrics.occurred_at >= asked.asked_from
        and metrics.occurred_at < asked.asked_to
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
        exposures.first_exposed_at
    from exposures
    cross join directions
    {% if is_incremental() %}
        where directions.direction = 1 or exposures.ingested_at <= exposures.read_until
    {% endif %}
),

first_sights as (
    select
        experiment_no,
        read_until,
        direction,
        unit_id,
        min(first_exposed_at) as exposed_at,
        min(variation_id) as only_variation_id,
        min(variation_id) <> max(variation_id) as has_crossed
    from sights
    group by experiment_no, read_until, direction, unit_id
),

-- few units saw several variations: for them alone the order of these is worked out
variation_sights as (
    select
        sights.experiment_no,
        sights.direction,
        sights.unit_id,
        sights.variation_id,
        min(sights.first_exposed_at) as first_at
    from sights
    inner join first_sights
        on
            sights.experiment_no = first_sights.experiment_no
            and sights.direction = first_sights.direction
            and sights.unit_id = first_sights.unit_id
    where first_sights.has_crossed
    group by sights.experiment_no, sights.direction, sights.unit_id, sights.variation_id
),

crossings as (
    select
        experiment_no,
        direction,
        unit_id,
        {{ flagmart.smallest_two(flagmart.row_of(["first_at", "variation_id"])) }} as first_two
    from variation_sights
    group by experiment_no, direction, unit_id
),

-- of sights in one instant that with the smallest id is the first; ids are read only where a unit's first two are such
tied as (
    select
        experiments.digest as tied_digest,
        experiments.read_until as tied_read_until,
        crossings.experiment_no as tied_no,
        crossings.direction as tied_direction,
        crossings.unit_id as tied_unit_id,
        {{ flagmart.part_of("crossings.first_two[1]", 1) }} as tied_at
    from crossings
    inner join experiments on crossings.experiment_no = experiments.experiment_no
    where {{ flagmart.part_of("crossings.first_two[1]", 1) }} = {{ flagmart.part_of("crossings.first_two[2]", 1) }}
),

first_of_tied as (
    select
        tied.tied_no,
        tied.tied_direction,
        tied.tied_unit_id,
        min({{ flagmart.row_of(["exposed.first_event_id", "exposed.variation_id"]) }}) as first_id
    from {{ ref("int_experiment_exposures") }} as exposed
    inner join tied
        on
            exposed.digest = tied.tied_digest
            and exposed.unit_id = tied.tied_unit_id
            and exposed.first_exposed_at = tied.tied_at
    where tied.tied_direction = 1 or exposed.ingested_at <= tied.tied_read_until
    group by tied.tied_no, tied.tied_direction, tied.tied_unit_id
),

untied as (
    select
        tied_no,
        tied_direction,
        tied_unit_id,
        {{ flagmart.part_of("first_id", 2) }} as untied_variation_id
    from first_of_tied
),

crossed as (
    select
        crossings.experiment_no,
        crossings.direction,
        crossings.unit_id,
        coalesce(untied.untied_variation_id, {{ flagmart.part_of("crossings.first_two[1]", 2) }}) as first_variation_id,
        cast({{ flagmart.part_of("crossings.first_two[2]", 1) }} as date) as crossed_on
    from crossings
    left join untied
        on
            crossings.experiment_no = untied.tied_no
            and crossings.direction = untied.tied_direction
            and crossings.unit_id = untied.tied_unit_id
),

units as (
    select
        first_sights.experiment_no,
        first_sights.read_until,
        first_sights.direction,
        first_sights.unit_id,
        first_sights.exposed_at,
        coalesce(crossed.first_variation_id, first_sights.only_variation_id) as variation_id,
        crossed.crossed_on
    from first_sights
    left join crossed
        on
            first_sights.experiment_no = crossed.experiment_no
            and first_sights.direction = crossed.direction
            and first_sights.unit_id = crossed.unit_id
),

unit_days as (
    select
        metrics.experiment_no,
        units.direction,
        metrics.unit_id,
        units.variation_id,
        units.crossed_on,
        cast(metrics.occurred_at as date) as day_on,
        cast(count(*) as {{ dbt.type_bigint() }}) as events,
        cast(count(metrics.numeric_value) as {{ dbt.type_bigint() }}) as valued_events,
        count(metrics.numeric_value) - count({{ flagmart.summand("metrics.numeric_value") }}) as values_beyond,
        coalesce({{ flagmart.exact_sum("metrics.numeric_value") }}, cast(0 as decimal(38, 6))) as day_sum
    from metrics
    inner join units
        on
            metrics.experiment_no = units.experiment_no
            and metrics.unit_id = units.unit_id
    where
        metrics.occurred_at >= units.exposed_at
        and (units.direction = 1 or metrics.ingested_at <= units.read_until)
        and {{ still_counted }}
    group by
        metrics.experiment_no,
        units.direction,
        metrics.unit_id,
        units.variation_id,
        units.crossed_on,
        cast(metrics.occurred_at as date)
),

totals as (
    select
        *,
        sum(events) over so_far as events_so_far,
        sum(valued_events) over so_far as valued_so_far,
        sum(values_beyond) over so_far as beyond_so_far,
        sum(day_sum) over so_far as sum_so_far
    from unit_days
    window so_far as (partition by unit_id, experiment_no, direction order by day_on)
),

-- what a unit contributes by a day, less what it did before that day
states as (
    select
        experiment_no,
        direction as weight,
        variation_id,
        crossed_on,
        day_on,
        events_so_far as events_by_then,
        valued_so_far as valued_by_then,
        beyond_so_far as beyond_by_then,
        sum_so_far as sum_by_then
    from totals
    union all
    select
        experiment_no,
        -direction as weight,
        variation_id,
        crossed_on,
        day_on,
        events_so_far - events as events_by_then,
        valued_so_far - valued_events as valued_by_then,
        beyond_so_far - values_beyond as beyond_by_then,
        sum_so_far - day_sum as sum_by_then
    from totals
    where events_so_far > events
),

contributed as (
    select
        states.experiment_no,
        states.weight,
        states.variation_id,
        states.crossed_on,
        states.day_on,
        {{ flagmart.never_null(
            "case experiments.aggregation"
            ~ " when 'once' then 1e0"
            ~ " when 'count' then cast(states.events_by_then as double)"
            ~ " when 'sum' then " ~ flagmart.decimal_to_float64("states.sum_by_then")
            ~ " else " ~ flagmart.decimal_to_float64("states.sum_by_then")
            ~ " / cast(greatest(states.valued_by_then, 1) as double) end"
        ) }} as contribution,
        experiments.aggregation in ('sum', 'average') and states.beyond_by_then > 0 as has_values_beyond
    from states
    inner join experiments on states.experiment_no = experiments.experiment_no
),

ranged as (
    select
        *,
        has_values_beyond or abs(contribution) >= 1e9 as is_beyond
    from contributed
),

-- up to 10^18 as a square, so that 10^8 units fit
measured as (
    select
        experiment_no,
        weight,
        variation_id,
        crossed_on,
        day_on,
        case when is_beyond then weight else 0 end as beyond,
        {{ flagmart.decimal_or_null("case when is_beyond then 0e0 else weight * contribution end", 30, 12) }} as amount,
        {{ flagmart.decimal_or_null(
            "case when is_beyond then 0e0 else weight * contribution * contribution end", 30, 12
        ) }} as amount_square
    from ranged
),

changes as (
    select
        experiment_no,
        variation_id,
        day_on,
        weight as conversions,
        beyond as units_beyond,
        amount as value_sum,
        amount_square as value_sum_squares,
        0 as users,
        0 as users_in_two_variations
    from measured
    {% if leaves_out %}
        union all
        select
            experiment_no,
            variation_id,
            {{ flagmart.never_null("crossed_on") }} as day_on,
            -weight as conversions,
            -beyond as units_beyond,
            -amount as value_sum,
            -amount_square as value_sum_squares,
            0 as users,
            0 as users_in_two_variations
        from measured
        where crossed_on is not null
    {% endif %}
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
