{% test charts_can_be_drawn(model) %}
    -- a chart that would come out empty, endless or off the 15-minute grid, and what to mend in its row of the seed
    with judged as (
        select
            chart_name,
            case
                when interval_ms is null then 'interval is <n> and one of m, h, d, w'
                when interval_ms <= 0 then 'interval is at least 15m'
                when start_ms is null then 'starts_at is a UTC time (2026-01-31 00:00) or a duration back from the end (-30d)'
                when end_ms is null then 'ends_at is a UTC time (2026-01-31 00:00) or blank for the newest data'
                when start_ms > end_ms then 'starts_at lies after ends_at'
                when start_ms % 900000 <> 0 or end_ms % 900000 <> 0 or interval_ms % 900000 <> 0
                    then 'starts_at, ends_at and interval are multiples of 15 minutes'
                when end_ms - start_ms > interval_ms * 100000 then 'a chart has at most 100000 intervals'
            end as mend
        from {{ model }}
    )

    select
        chart_name,
        mend
    from judged
    where mend is not null
    union all
    select
        chart_name,
        'chart_name stands in one row only' as mend
    from {{ model }}
    group by chart_name
    having count(*) > 1
{% endtest %}
