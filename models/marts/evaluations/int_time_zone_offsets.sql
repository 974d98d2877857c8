{%- set far_off = "cast(1000000000000000000 as " ~ dbt.type_bigint() ~ ")" -%}

with stretches as (
    select
        timezone,
        cast(offset_from as {{ dbt.type_bigint() }}) * 1000 as offset_from_ms,
        cast(utc_offset_seconds as {{ dbt.type_bigint() }}) * 1000 as offset_ms
    from {{ ref("time_zone_offsets") }}
),

-- before the first stretch and after the last, clocks go on as they do in it
bounded as (
    select
        timezone,
        offset_ms,
        case
            when row_number() over (partition by timezone order by offset_from_ms) = 1 then -{{ far_off }}
            else offset_from_ms
        end as from_ms,
        lead(offset_from_ms, 1, {{ far_off }}) over (partition by timezone order by offset_from_ms) as until_ms
    from stretches
)

select
    timezone,
    from_ms,
    until_ms + offset_ms as wall_until_ms,
    offset_ms
from bounded
