{{ config(enabled=flagmart.is_delivered("event_hub_events")) }}

with with_body as (
    select
        *,
        {{ flagmart.featbit_properties("Timestamp", user_id="UserId") }} as body
    from {{ ref("int_exports__events") }}
)

select
    event_id,
    user_key,
    {{ flagmart.json_object({
        "Body": flagmart.json_string("body"),
        "UserProperties": flagmart.json_object({"Id": flagmart.json_string("event_id")}),
    }) }} as payload,
    occurred_at,
    ingested_at,
    unchosen_message as exclusion_reason
from with_body
