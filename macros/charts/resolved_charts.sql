{% macro resolved_charts(charts) -%}
    {#- Charts with their window and interval as numbers, and with what to mend in one that cannot be drawn: the columns of
        int_evaluation_charts. `charts` names a relation or CTE of what was asked for, all text: chart_name, env_id, flag_key,
        starts_at, ends_at, timezone, chart_interval, alignment. -#}
    {%- set zones = ref("flagmart", "int_time_zone_offsets") -%}
    {%- set counts = ref("flagmart", "fct_evaluation_counts") -%}
    with asked as (
        select
            coalesce(charts.chart_name, '') as chart_name,
            nullif(charts.env_id, '') as chart_env_id,
            nullif(charts.flag_key, '') as chart_flag_key,
            coalesce(charts.starts_at, '') as chart_starts_at,
            coalesce(charts.ends_at, '') as chart_ends_at,
            coalesce(nullif(charts.timezone, ''), 'UTC') as chart_timezone,
            coalesce(charts.chart_interval, '') as chart_interval,
            coalesce(nullif(charts.alignment, ''), 'fixed') as chart_alignment
        from {{ charts }} as charts
    ),

    newest as (
        select {{ flagmart.newest_data_ms(counts) }} as newest_ms
    ),

    numbered as (
        select
            asked.*,
            count(*) over (partition by asked.chart_name) as namesakes,
            {{ flagmart.duration_ms("asked.chart_interval") }} as interval_ms,
            {{ flagmart.duration_months("asked.chart_interval") }} as interval_months,
            asked.chart_starts_at like '-%' as goes_back,
            {{ flagmart.duration_ms("substr(asked.chart_starts_at, 2)") }} as back_ms,
            {{ flagmart.duration_months("substr(asked.chart_starts_at, 2)") }} as back_months,
            {{ flagmart.epoch_ms(flagmart.timestamp_or_null("asked.chart_starts_at")) }} as written_start_wall_ms,
            {{ flagmart.epoch_ms(flagmart.timestamp_or_null("asked.chart_ends_at")) }} as written_end_wall_ms,
            newest.newest_ms,
            coalesce(newest.newest_ms, 0) as known_newest_ms
        from asked
        cross join newest
    ),

    -- what clocks show at the newest data, each in its chart's zone
    shown as (
        select
            numbered.*,
            stretches.timezone as known_timezone,
            case
                when numbered.chart_ends_at = '' then numbered.newest_ms + stretches.offset_ms
                else numbered.written_end_wall_ms
            end as end_wall_ms,
            coalesce(numbered.written_end_wall_ms, 0) as joined_wall_ms
        from numbered
        asof left join {{ zones }} as stretches
            on
                numbered.chart_timezone = stretches.timezone
                and numbered.known_newest_ms >= stretches.from_ms
    ),

    ended as (
        select
            shown.*,
            case
                when shown.chart_ends_at = '' then shown.newest_ms
                when shown.written_end_wall_ms is not null
                    then {{ flagmart.instant_of_wall_clock("shown.written_end_wall_ms", "stretches") }}
            end as end_ms,
            case
                when not shown.goes_back then shown.written_start_wall_ms
                when shown.chart_alignment <> 'calendar' then null
                when shown.back_months is not null
                    then {{ flagmart.add_months("shown.end_wall_ms", "-shown.back_months") }}
                else shown.end_wall_ms - shown.back_ms
            end as start_wall_ms
        from shown
        asof left join {{ zones }} as stretches
            on
                shown.chart_timezone = stretches.timezone
                and shown.joined_wall_ms < stretches.wall_until_ms
    ),

    placed as (
        select
            ended.*,
            coalesce(ended.start_wall_ms, 0) as joined_start_wall_ms
        from ended
    ),

    started as (
        select
            placed.*,
            case
                when placed.start_wall_ms is not null
                    then {{ flagmart.instant_of_wall_clock("placed.start_wall_ms", "stretches") }}
                when placed.goes_back then placed.end_ms - placed.back_ms
            end as start_ms
        from placed
        asof left join {{ zones }} as stretches
            on
                placed.chart_timezone = stretches.timezone
                and placed.joined_start_wall_ms < stretches.wall_until_ms
    ),

    -- as many intervals as there may be: an edge moves by a day at most, and a month has 28 days or more
    measured as (
        select
            started.*,
            case
                when started.chart_alignment = 'calendar' then {{ flagmart.floor_div(
                    "started.end_ms - started.start_ms + 3 * 86400000",
                    "greatest(coalesce(started.interval_ms, started.interval_months * 28 * 86400000, 1), 1)"
                ) }} + 1
                else {{ flagmart.floor_div(
                    "started.end_ms - started.start_ms - 1", "greatest(coalesce(started.interval_ms, 1), 1)"
                ) }} + 1
            end as possible_intervals
        from started
    ),

    -- the last two limits are what the seed time_zone_offsets knows
    judged as (
        select
            measured.*,
            case
                when measured.chart_name = '' then 'chart_name is blank'
                when measured.namesakes > 1 then 'chart_name stands in one row only'
                when measured.known_timezone is null
                    then 'timezone is a name of the IANA tz database like America/Chicago, or blank for UTC'
                when measured.chart_alignment not in ('fixed', 'calendar') then 'alignment is fixed or calendar, or blank for fixed'
                when coalesce(measured.interval_ms, measured.interval_months, 0) <= 0
                    then 'interval is <n> and one of m, h, d, w, mo, with <n> from 1 to 99999999'
                when measured.chart_alignment = 'fixed' and measured.interval_months is not null
                    then 'an interval of months needs alignment calendar'
                when measured.chart_alignment = 'calendar' and right(measured.chart_interval, 1) in ('m', 'h')
                    then 'alignment calendar is for an interval of d, w or mo; one of m or h needs fixed'
                when not measured.goes_back and measured.written_start_wall_ms is null
                    then 'starts_at is a time in the chart''s zone (2026-01-31 00:00) or a duration back from the end (-30d)'
                when measured.goes_back and coalesce(measured.back_ms, measured.back_months) is null
                    then 'starts_at goes back by <n> and one of m, h, d, w, mo (-30d)'
                when measured.goes_back and measured.chart_alignment = 'fixed' and measured.back_months is not null
                    then 'starts_at goes back by months only with alignment calendar'
                when measured.goes_back and measured.chart_alignment = 'calendar' and right(measured.chart_starts_at, 1) in ('m', 'h')
                    then 'with alignment calendar starts_at goes back by d, w or mo'
                when measured.chart_ends_at <> '' and measured.written_end_wall_ms is null
                    then 'ends_at is a time in the chart''s zone (2026-01-31 00:00) or blank for the newest data'
                -- no data yet, so nothing to draw, which is no fault of the chart
                when measured.end_ms is null then null
                when measured.start_ms > measured.end_ms then 'starts_at lies after ends_at'
                when measured.start_ms < 946684800000 then 'starts_at is not before 2000-01-01 UTC'
                when measured.end_ms > 2145916800000 then 'ends_at is not after 2038-01-01 UTC'
                when measured.possible_intervals > 100000
                    then 'a chart has at most 100000 intervals; make interval longer or the window shorter'
            end as mend
        from measured
    )

    select
        chart_name,
        chart_env_id as env_id,
        chart_flag_key as flag_key,
        chart_starts_at as starts_at,
        chart_ends_at as ends_at,
        chart_timezone as timezone,
        chart_interval,
        chart_alignment as alignment,
        start_ms,
        end_ms,
        start_wall_ms,
        interval_ms,
        interval_months,
        case
            when mend is null and start_ms < end_ms then possible_intervals
            else 0
        end as possible_intervals,
        mend
    from judged
{%- endmacro %}
