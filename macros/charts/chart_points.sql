{% macro chart_points(charts, edges, only_flag=none, on_quarter_hours=false) -%}
    {#- The points of charts, zeros included: the columns of fct_evaluation_chart_points. `charts` and `edges` name relations or
        CTEs with the columns of `resolved_charts` and `chart_edges`. Where all charts are of one flag, `only_flag` is an
        expression that says which ('' for all flags), so that no others are read; where it is known that all are fixed with starts,
        ends and intervals on quarter hours, `on_quarter_hours` divides the counts' own buckets, and leaves the evaluations
        themselves out. What comes before is mentioned as seldom as can be, since ClickHouse works out each mention anew. -#}
    {%- set quarter_hour_ms = 15 * 60 * 1000 -%}
    {%- if on_quarter_hours -%}
    with drawn as (
        select
            charts.chart_name as chart_name,
            counts.env_id as env_id,
            counts.flag_key as flag_key,
            counts.variation_id as variation_id,
            {{ flagmart.interval_index("counts.bucket_start_ms", "charts.start_ms", "charts.interval_ms") }} as interval_index,
            cast(sum(counts.evaluations) as {{ dbt.type_bigint() }}) as evaluations
        from {{ ref("flagmart", "fct_evaluation_counts") }} as counts
        cross join {{ charts }} as charts
        where
            counts.bucket_start_ms >= charts.start_ms
            and counts.bucket_start_ms < charts.end_ms
            and (charts.flag_key is null or counts.flag_key = charts.flag_key)
            and (charts.env_id is null or counts.env_id = charts.env_id)
            and {{ flagmart.of_wanted_flag("counts.flag_key", charts, only_flag) }}
        group by
            charts.chart_name,
            counts.env_id,
            counts.flag_key,
            counts.variation_id,
            {{ flagmart.interval_index("counts.bucket_start_ms", "charts.start_ms", "charts.interval_ms") }}
    ),

    {% else -%}
    with {{ flagmart.chart_quarter_hours(charts, edges) }},

    -- what the quarter hours that an edge or an end cuts fall into: the pieces from one cut to the next
    cuts as (
        select
            interval_end_ms as cut_ms,
            {{ flagmart.bucket_start_ms("interval_end_ms", quarter_hour_ms) }} as bucket_start_ms
        from {{ edges }}
        union distinct
        select
            start_ms as cut_ms,
            {{ flagmart.bucket_start_ms("start_ms", quarter_hour_ms) }} as bucket_start_ms
        from {{ charts }}
        where possible_intervals > 0
    ),

    -- each cut begins a piece, and so does its quarter hour; `cuts` is said once, since ClickHouse works out each mention anew
    piece_starts as (
        select distinct
            cuts.bucket_start_ms as bucket_start_ms,
            case when sides.is_cut then cuts.cut_ms else cuts.bucket_start_ms end as piece_start_ms
        from cuts
        cross join (select true as is_cut union all select false as is_cut) as sides
        where cuts.cut_ms <> cuts.bucket_start_ms
    ),

    pieces as (
        select
            bucket_start_ms,
            piece_start_ms,
            lead(piece_start_ms, 1, bucket_start_ms + {{ quarter_hour_ms }})
                over (partition by bucket_start_ms order by piece_start_ms)
                as piece_end_ms
        from piece_starts
    ),

    -- every source of fct_evaluation_counts, one by one
    evaluated as (
        select
            env_id,
            flag_key,
            variation_id,
            {{ flagmart.epoch_ms("occurred_at") }} as occurred_ms,
            cast(1 as {{ dbt.type_bigint() }}) as evaluations
        from {{ ref("flagmart", "stg_featbit__flag_evaluations") }}
        union all
        select
            env_id,
            flag_key,
            variation_id,
            {{ flagmart.epoch_ms("started_at") }} as occurred_ms,
            evaluations
        from {{ ref("flagmart", "stg_prefab__evaluation_counts") }}
    ),

    -- whole quarter hours from the counts, and only the pieces of others from the evaluations
    counted as (
        select
            counts.env_id,
            counts.flag_key,
            counts.variation_id,
            counts.bucket_start_ms,
            counts.bucket_start_ms as counted_ms,
            counts.evaluations as counted_evaluations
        from {{ ref("flagmart", "fct_evaluation_counts") }} as counts
        where
            {{ flagmart.of_wanted_flag("counts.flag_key", charts, only_flag) }}
            and counts.bucket_start_ms not in (select pieces.bucket_start_ms from pieces)
        union all
        select
            evaluated.env_id,
            evaluated.flag_key,
            evaluated.variation_id,
            pieces.bucket_start_ms,
            pieces.piece_start_ms as counted_ms,
            cast(sum(evaluated.evaluations) as {{ dbt.type_bigint() }}) as counted_evaluations
        from evaluated
        inner join pieces
            on {{ flagmart.bucket_start_ms("evaluated.occurred_ms", quarter_hour_ms) }} = pieces.bucket_start_ms
        where
            evaluated.occurred_ms >= pieces.piece_start_ms
            and evaluated.occurred_ms < pieces.piece_end_ms
            and {{ flagmart.of_wanted_flag("evaluated.flag_key", charts, only_flag) }}
        group by
            evaluated.env_id, evaluated.flag_key, evaluated.variation_id, pieces.bucket_start_ms, pieces.piece_start_ms
    ),

    -- each for the charts of its own flag, and for those of all flags, where there are such
    matched as (
        select
            counted.env_id,
            counted.flag_key,
            counted.variation_id,
            counted.bucket_start_ms,
            counted.counted_ms,
            counted.counted_evaluations,
            {% if only_flag is none %}
                case when kinds.is_of_all_flags then '' else counted.flag_key end as matched_flag_key
            {% else %}
                case when {{ only_flag }} = '' then '' else counted.flag_key end as matched_flag_key
            {% endif %}
        from counted
        {% if only_flag is none %}
        cross join (
            select distinct charted.flag_key is null as is_of_all_flags
            from {{ charts }} as charted
            where charted.possible_intervals > 0
        ) as kinds
        {% endif %}
    ),

    drawn as (
        select
            quarter_hours.chart_name as chart_name,
            matched.env_id as env_id,
            matched.flag_key as flag_key,
            matched.variation_id as variation_id,
            quarter_hours.interval_index as interval_index,
            max(quarter_hours.intervals) as intervals,
            cast(sum(matched.counted_evaluations) as {{ dbt.type_bigint() }}) as evaluations
        from matched
        inner join quarter_hours
            on
                matched.bucket_start_ms = quarter_hours.bucket_start_ms
                and matched.matched_flag_key = quarter_hours.chart_flag_key
        where
            matched.counted_ms >= quarter_hours.interval_start_ms
            and matched.counted_ms < quarter_hours.interval_end_ms
            and (quarter_hours.chart_env_id is null or matched.env_id = quarter_hours.chart_env_id)
        group by
            quarter_hours.chart_name,
            matched.env_id,
            matched.flag_key,
            matched.variation_id,
            quarter_hours.interval_index
    ),

    {% endif -%}
    filled as ({{ flagmart.fill_gaps("drawn", edges) }})

    select
        filled.chart_name as chart_name,
        filled.env_id as env_id,
        filled.flag_key as flag_key,
        filled.variation_id as variation_id,
        {{ flagmart.first_filled(["labels.variation_label", "filled.variation_id"]) }} as variation_label,
        filled.interval_index as interval_index,
        {{ flagmart.timestamp_from_ms("filled.interval_start_ms") }} as interval_start_at,
        {{ flagmart.timestamp_from_ms("filled.interval_end_ms") }} as interval_end_at,
        filled.interval_start_local as interval_start_local,
        filled.is_partial as is_partial,
        filled.evaluations as evaluations
    from filled
    left join {{ ref("flagmart", "dim_variations") }} as labels
        on
            filled.env_id = labels.env_id
            and filled.flag_key = labels.flag_key
            and filled.variation_id = labels.variation_id
{%- endmacro %}

{% macro of_wanted_flag(flag_key, charts, only_flag) -%}
    {#- Condition that keeps the flags that are on one of `charts`, as `chart_points` was given them. -#}
    {%- if only_flag is not none -%}
        ({{ only_flag }} = '' or {{ flag_key }} = {{ only_flag }})
    {%- else -%}
        (
                {{ flag_key }} in (select wanted.flag_key from {{ charts }} as wanted where wanted.possible_intervals > 0)
                or (
                    select count(*) from {{ charts }} as unnamed
                    where unnamed.possible_intervals > 0 and unnamed.flag_key is null
                ) > 0
            )
    {%- endif -%}
{%- endmacro %}
