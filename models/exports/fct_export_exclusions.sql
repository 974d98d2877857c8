{{ config(materialized="table") }}

with excluded as (
    select
        'statsig_events' as delivery,
        event_id,
        exclusion_reason as reason
    from {{ ref("int_statsig__events") }}
    where exclusion_reason is not null
    union all
    select
        'hackle_events' as delivery,
        event_id,
        exclusion_reason as reason
    from {{ ref("int_hackle__events") }}
    where exclusion_reason is not null
    union all
    select
        'segment_tracks' as delivery,
        event_id,
        exclusion_reason as reason
    from {{ ref("int_segment__tracks") }}
    where exclusion_reason is not null
)

select
    delivery,
    event_id,
    reason
from excluded
