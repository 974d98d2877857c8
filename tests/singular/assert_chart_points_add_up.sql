-- the points of a chart add up to exactly the evaluations in its window
with drawn as (
    select
        chart_name,
        sum(evaluations) as evaluations
    from {{ ref("fct_evaluation_chart_points") }}
    group by chart_name
),

happened as (
    select
        charts.chart_name,
        count(*) as evaluations
    from {{ ref("stg_featbit__flag_evaluations") }} as evaluated
    inner join {{ ref("int_evaluation_charts") }} as charts
        on
            {{ flagmart.epoch_ms("evaluated.occurred_at") }} >= charts.start_ms
            and {{ flagmart.epoch_ms("evaluated.occurred_at") }} < charts.end_ms
            and (charts.env_id is null or evaluated.env_id = charts.env_id)
            and (charts.flag_key is null or evaluated.flag_key = charts.flag_key)
    group by charts.chart_name
)

select
    happened.chart_name,
    happened.evaluations as happened_evaluations,
    drawn.evaluations as drawn_evaluations
from happened
full outer join drawn on happened.chart_name = drawn.chart_name
where coalesce(happened.evaluations, 0) <> coalesce(drawn.evaluations, 0)
