with events as (
    select
        event_id,
        event_name,
        user_key,
        occurred_ms,
        ingested_at,
        numeric_value
    from {{ ref("int_exports__events") }}
),

dated as (
    {{ flagmart.dated("events", "occurred_ms", var("flagmart_statsig_timezone")) }}
)

select
    event_id,
    event_name,
    user_key,
    ingested_at,
    numeric_value,
    partition_on,
    case
        when {{ flagmart.is_blank("user_key") }} then 'unit_is_blank'
        when
            numeric_value is not null
            and {{ flagmart.summand("numeric_value") }} is null
            and (
                event_name in (
                    select parts.event_name
                    from {{ ref("int_statsig__metric_parts") }} as parts
                    where parts.kind = 'sum'
                )
                or '' in (
                    select parts.event_name
                    from {{ ref("int_statsig__metric_parts") }} as parts
                    where parts.kind = 'sum'
                )
            )
            then 'metric_value_out_of_range'
    end as exclusion_reason
from dated
