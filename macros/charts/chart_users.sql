{% macro chart_users(charts, edges, only_flag=none) -%}
    {#- The users on charts, zeros included: the columns of fct_evaluation_chart_users. Arguments as of `chart_points`. Users cannot
        be put together from those of shorter intervals, so they are counted from the evaluations themselves. -#}
    {%- set quarter_hour_ms = 15 * 60 * 1000 -%}
    with {{ flagmart.chart_quarter_hours(charts, edges) }},

    evaluated as (
        select
            env_id,
            flag_key,
            variation_id,
            user_key,
            {{ flagmart.epoch_ms("occurred_at") }} as occurred_ms,
            {{ flagmart.bucket_start_ms(flagmart.epoch_ms("occurred_at"), quarter_hour_ms) }} as bucket_start_ms
        from {{ ref("flagmart", "stg_featbit__flag_evaluations") }}
        where {{ flagmart.of_wanted_flag("flag_key", charts, only_flag) }}
    ),

    -- a user once in an interval as one of its variation, and once as one of the flag
    seen as (
        select distinct
            quarter_hours.chart_name as chart_name,
            evaluated.env_id as env_id,
            evaluated.flag_key as flag_key,
            case when kinds.is_of_variation then evaluated.variation_id else '' end as variation_id,
            evaluated.user_key as user_key,
            quarter_hours.interval_index as interval_index,
            quarter_hours.intervals as intervals
        from evaluated
        inner join quarter_hours on evaluated.bucket_start_ms = quarter_hours.bucket_start_ms
        cross join (select true as is_of_variation union all select false as is_of_variation) as kinds
        where
            evaluated.occurred_ms >= quarter_hours.interval_start_ms
            and evaluated.occurred_ms < quarter_hours.interval_end_ms
            and (quarter_hours.chart_flag_key = '' or evaluated.flag_key = quarter_hours.chart_flag_key)
            and (quarter_hours.chart_env_id is null or evaluated.env_id = quarter_hours.chart_env_id)
    ),

    followed as (
        select
            *,
            min(interval_index)
                over (partition by chart_name, env_id, flag_key, variation_id, user_key)
                as first_index
        from seen
    ),

    drawn as (
        select
            chart_name,
            env_id,
            flag_key,
            variation_id,
            interval_index,
            max(intervals) as intervals,
            cast(count(*) as {{ dbt.type_bigint() }}) as users,
            cast(sum(case when interval_index = first_index then 1 else 0 end) as {{ dbt.type_bigint() }}) as new_users
        from followed
        group by chart_name, env_id, flag_key, variation_id, interval_index
    ),

    filled as ({{ flagmart.fill_gaps("drawn", edges, ["users", "new_users"]) }})

    select
        filled.chart_name,
        filled.env_id,
        filled.flag_key,
        filled.variation_id,
        filled.interval_index,
        {{ flagmart.timestamp_from_ms(flagmart.never_null("filled.interval_start_ms")) }} as interval_start_at,
        {{ flagmart.timestamp_from_ms(flagmart.never_null("filled.interval_end_ms")) }} as interval_end_at,
        {{ flagmart.never_null("filled.interval_start_local") }} as interval_start_local,
        filled.is_partial,
        filled.users,
        filled.new_users
    from filled
{%- endmacro %}
