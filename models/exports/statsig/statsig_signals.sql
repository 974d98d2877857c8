{{ config(contract={"enforced": true}) }}

with days as (
    select
        partition_on,
        cast(count(*) as {{ dbt.type_bigint() }}) as events,
        cast(0 as {{ dbt.type_bigint() }}) as metrics,
        max(ingested_at) as newest_ingested_at
    from {{ ref("statsig_events") }}
    group by partition_on
    union all
    select
        partition_on,
        cast(0 as {{ dbt.type_bigint() }}) as events,
        cast(count(*) as {{ dbt.type_bigint() }}) as metrics,
        max(ingested_at) as newest_ingested_at
    from {{ ref("statsig_metrics") }}
    group by partition_on
),

counted as (
    select
        partition_on,
        cast(sum(events) as {{ dbt.type_bigint() }}) as events,
        cast(sum(metrics) as {{ dbt.type_bigint() }}) as metrics,
        max(newest_ingested_at) as newest_ingested_at
    from days
    group by partition_on
),

-- the newest run of ingest is all the clock there is
newest as (
    select
        {{ flagmart.epoch_ms("max(ingested_at)") }} as newest_ms,
        min(ingested_at) as first_run_at
    from {{ ref("stg_featbit__events") }}
    having count(*) > 0
),

today as (
    {{ flagmart.dated("newest", "newest_ms", var("flagmart_statsig_timezone")) }}
),

first_day as (
    select min(partition_on) as first_on
    from counted
    -- of no rows ClickHouse's minimum is 1970
    having count(*) > 0
),

numbered as (
    select
        first_day.first_on,
        today.first_run_at,
        {{ flagmart.integers_below(dbt.datediff("first_day.first_on", "today.partition_on", "day")) }} as day_number
    from first_day
    cross join today
),

over_days as (
    select
        first_run_at,
        {{ flagmart.add_days("first_on", "day_number") }} as day_on
    from numbered
),

ended as (
    {{ flagmart.day_ended("over_days", "day_on", var("flagmart_statsig_timezone")) }}
)

-- not by null alone: what a missing row of a join holds on ClickHouse is the reader's setting
select
    cast(ended.day_on as {{ dbt.type_string() }}) as finished_date,
    coalesce(counted.events, 0) as events,
    coalesce(counted.metrics, 0) as metrics,
    cast({{ flagmart.floor_div("ended.ends_ms", 1000) }} as {{ dbt.type_bigint() }}) as ends_at,
    ended.day_on as partition_on,
    {{ flagmart.never_null(
        "case when coalesce(counted.events, 0) + coalesce(counted.metrics, 0) > 0 then counted.newest_ingested_at "
        ~ "else ended.first_run_at end"
    ) }} as ingested_at
from ended
left join counted on ended.day_on = counted.partition_on
