-- kept by Statsig's days: late events, rejected ones, another zone, environment or definition change what a day is
-- worked out from, and a day is worked out anew as soon as that is another
{{
    config(
        materialized="incremental",
        incremental_strategy="append",
        on_schema_change="fail",
        contract={"enforced": true},
        order_by="(partition_on, metric_name, id_type, unit_id)",
        partition_by=flagmart.by_month("partition_on"),
        pre_hook="{{ flagmart.forget_changed_days(ref('int_statsig__metric_days')) }}",
        post_hook="{{ flagmart.record_finished_days(ref('int_statsig__metric_days')) }}",
    )
}}

{%- set user_id_types = flagmart.chosen_of("flagmart_statsig_id_types") %}

with parts as (
    select
        metric_name,
        id_type,
        part,
        kind,
        event_name
    from {{ ref("int_statsig__metric_parts") }}
),

events as (
    select *
    from {{ ref("int_statsig__metric_events") }}
    {% if is_incremental() %}
        where partition_on in (
            select days.partition_on
            from {{ ref("int_statsig__metric_days") }} as days
            where {{ flagmart.is_unfinished_day("days.partition_on") }}
        )
    {% endif %}
),

usable as (
    select
        user_key as unit_id,
        partition_on,
        event_name,
        numeric_value,
        ingested_at
    from events
    where exclusion_reason is null or exclusion_reason <> 'unit_is_blank'
),

-- under its own name where a metric asks for that, and under '' where one asks for all
wanted as (
    select
        unit_id,
        partition_on,
        event_name,
        numeric_value,
        ingested_at
    from usable
    where event_name in (select parts.event_name from parts)
    union all
    select
        unit_id,
        partition_on,
        '' as event_name,
        numeric_value,
        ingested_at
    from usable
    where '' in (select parts.event_name from parts)
),

unit_days as (
    select
        unit_id,
        partition_on,
        event_name,
        count(*) as events,
        {{ flagmart.exact_sum("numeric_value") }} as value_sum,
        max(ingested_at) as newest_ingested_at
    from wanted
    group by unit_id, partition_on, event_name
),

measured as (
    select
        unit_days.unit_id,
        parts.id_type,
        unit_days.partition_on,
        parts.metric_name,
        parts.part,
        parts.kind = 'active_day' as is_active_day,
        case
            when parts.kind = 'count' then cast(unit_days.events as decimal(38, 6))
            when parts.kind = 'sum' then unit_days.value_sum
            else cast(1 as decimal(38, 6))
        end as part_value,
        unit_days.newest_ingested_at
    from unit_days
    inner join parts on unit_days.event_name = parts.event_name
),

-- a user is a unit itself, or belongs to one, which may have several
of_units as (
    select *
    from measured
    where {{ flagmart.is_one_of("id_type", user_id_types) }}
    union all
    select
        units.unit_id,
        measured.id_type,
        measured.partition_on,
        measured.metric_name,
        measured.part,
        measured.is_active_day,
        measured.part_value,
        measured.newest_ingested_at
    from (
        select
            unit_id as user_key,
            id_type,
            partition_on,
            metric_name,
            part,
            is_active_day,
            part_value,
            newest_ingested_at
        from measured
        where not {{ flagmart.is_one_of("id_type", user_id_types) }}
    ) as measured
    inner join {{ ref("int_user_units") }} as units
        on
            measured.user_key = units.user_key
            and measured.id_type = units.id_type
),

metrics as (
    select
        unit_id,
        id_type,
        partition_on,
        metric_name,
        {% for part in ["metric_value", "numerator", "denominator"] -%}
            coalesce(
                sum(case when part = '{{ part }}' and not is_active_day then part_value end),
                max(case when part = '{{ part }}' and is_active_day then part_value end)
            ) as {{ part }}_sum,
        {% endfor -%}
        max(newest_ingested_at) as newest_ingested_at
    from of_units
    group by unit_id, id_type, partition_on, metric_name
)

select
    unit_id,
    id_type,
    cast(partition_on as {{ dbt.type_string() }}) as date,
    metric_name,
    {{ flagmart.decimal_to_float64("metric_value_sum") }} as metric_value,
    {{ flagmart.decimal_to_float64(
        "case when denominator_sum is not null then coalesce(numerator_sum, cast(0 as decimal(38, 6))) end"
    ) }} as numerator,
    {{ flagmart.decimal_to_float64("denominator_sum") }} as denominator,
    partition_on,
    newest_ingested_at as ingested_at
from metrics
where metric_value_sum is not null or denominator_sum <> 0
