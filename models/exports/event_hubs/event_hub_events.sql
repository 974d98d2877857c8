{{ config(enabled=flagmart.is_delivered("event_hub_events"), contract={"enforced": true}) }}

with with_body as (
    select
        *,
        {{ flagmart.featbit_properties("Timestamp", user_id="UserId") }} as body
    from {{ ref("int_exports__events") }}
)

select
    event_id,
    event_id as message_id,
    user_key,
    -- a batch has one key: many more than a hub has partitions (2 to 32) would leave batches small
    cast({{ flagmart.hash_bucket("user_key", 32) }} as {{ dbt.type_string() }}) as partition_key,
    {{ flagmart.json_object({
        "Body": flagmart.json_string("body"),
        "UserProperties": flagmart.json_object({"Id": flagmart.json_string("event_id")}),
    }) }} as payload,
    occurred_at,
    ingested_at
from with_body
