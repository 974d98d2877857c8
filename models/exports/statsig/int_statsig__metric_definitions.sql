{#- a table, since ClickHouse would work out a view anew wherever the metrics ask for it: ten times -#}
{{
    config(
        materialized="table",
        order_by="metric_name",
        pre_hook="{{ flagmart.all_text(ref('statsig_metric_definitions')) }}",
    )
}}

{%- set id_types = flagmart.chosen_of("flagmart_statsig_id_types") -%}

with seeded as (
    select
        coalesce(definitions.metric_name, '') as metric_name,
        coalesce(definitions.event_name, '') as event_name,
        coalesce(definitions.id_type, '') as id_type,
        coalesce(definitions.kind, '') as kind,
        coalesce(definitions.numerator, '') as numerator,
        coalesce(definitions.denominator, '') as denominator
    from {{ ref("statsig_metric_definitions") }} as definitions
),

named as (
    select
        metric_name,
        count(*) as metrics_of_that_name
    from seeded
    group by metric_name
),

judged as (
    select
        seeded.metric_name,
        seeded.event_name,
        seeded.id_type,
        seeded.kind,
        seeded.numerator,
        seeded.denominator,
        case
            when seeded.metric_name = '' then 'metric_name is blank; name the metric'
            when named.metrics_of_that_name > 1
                then 'metric_name stands in more than one row; give each row a name of its own'
            when {{ flagmart.characters("seeded.metric_name") }} >= 128
                then 'metric_name has 128 characters or more, and Statsig takes fewer; shorten it'
            when {{ flagmart.statsig_forbids("seeded.metric_name") }}
                then 'metric_name has a backslash, a line end or one of []{}<>#=;&$%|, which Statsig drops; take it out'
            when seeded.kind not in ('count', 'sum', 'active_day', 'ratio')
                then 'kind is none of count, sum, active_day, ratio'
            when
                not {{ flagmart.is_one_of("seeded.id_type", id_types) }}
                and seeded.id_type not in (select units.id_type from {{ ref("int_user_units") }} as units)
                then 'id_type is in neither user_identity nor flagmart_statsig_id_types (case counts); mend or add it'
            when seeded.kind <> 'ratio' and (seeded.numerator <> '' or seeded.denominator <> '')
                then 'numerator and denominator are for kind ratio; leave them blank'
            when seeded.kind = 'ratio' and seeded.event_name <> ''
                then 'a ratio has no event_name of its own; leave it blank'
        end as own_mend
    from seeded
    inner join named on seeded.metric_name = named.metric_name
),

parts as (
    -- no name of a sound metric has a |
    select concat(metric_name, '|', id_type) as part_key
    from judged
    where own_mend is null and kind <> 'ratio'
)

select
    metric_name,
    event_name,
    id_type,
    kind,
    numerator,
    denominator,
    case
        when own_mend is not null then own_mend
        when kind <> 'ratio' then null
        when concat(numerator, '|', id_type) not in (select parts.part_key from parts)
            then 'numerator is not the name of a sound count, sum or active_day with the same id_type'
        when concat(denominator, '|', id_type) not in (select parts.part_key from parts)
            then 'denominator is not the name of a sound count, sum or active_day with the same id_type'
    end as mend
from judged
