-- the points of a chart add up to exactly the evaluations in its window
with drawn as (
    select
        chart_name,
        sum(evaluations) as evaluations
    from {{ ref("fct_evaluation_chart_points") }}
    group by chart_name
),

cuts as (
    select
        1 as side,
        start_ms as cut_ms
    from {{ ref("int_evaluation_charts") }}
    where start_ms is not null
    union distinct
    select
        1 as side,
        end_ms as cut_ms
    from {{ ref("int_evaluation_charts") }}
    where end_ms is not null
),

evaluated as (
    select
        1 as side,
        env_id,
        flag_key,
        {{ flagmart.epoch_ms("occurred_at") }} as occurred_ms,
        1 as evaluations
    from {{ ref("stg_featbit__flag_evaluations") }}
    union all
    select
        1 as side,
        env_id,
        flag_key,
        {{ flagmart.epoch_ms("started_at") }} as occurred_ms,
        evaluations
    from {{ ref("stg_prefab__evaluation_counts") }}
),

-- one pass over the evaluations, however many charts there are
between_cuts as (
    select
        evaluated.env_id,
        evaluated.flag_key,
        cuts.cut_ms,
        sum(evaluated.evaluations) as evaluations
    from evaluated
    asof inner join cuts on evaluated.side = cuts.side and evaluated.occurred_ms >= cuts.cut_ms
    group by evaluated.env_id, evaluated.flag_key, cuts.cut_ms
),

happened as (
    select
        charts.chart_name,
        sum(between_cuts.evaluations) as evaluations
    from between_cuts
    inner join {{ ref("int_evaluation_charts") }} as charts
        on
            between_cuts.cut_ms >= charts.start_ms
            and between_cuts.cut_ms < charts.end_ms
            and (charts.env_id is null or between_cuts.env_id = charts.env_id)
            and (charts.flag_key is null or between_cuts.flag_key = charts.flag_key)
    group by charts.chart_name
)

select
    happened.chart_name,
    happened.evaluations as happened_evaluations,
    drawn.evaluations as drawn_evaluations
from happened
full outer join drawn on happened.chart_name = drawn.chart_name
where coalesce(happened.evaluations, 0) <> coalesce(drawn.evaluations, 0)
