{{ config(enabled=flagmart.is_delivered("segment_identifies")) }}

with environments as (
    select env_id
    from {{ ref("int_exports__environments") }}
    where is_exported
),

{% if flagmart.chooses_messages() -%}
    -- a user is made known where an event of theirs is sent, by whatever event told of them
    chosen as (
        select distinct
            env_id as chosen_env_id,
            user_key as chosen_user_key,
            1 as is_chosen
        from {{ ref("int_exports__events") }}
        where unchosen_message is null
    ),
{%- endif %}

named as (
    select
        *,
        {% if flagmart.chooses_messages() -%}
            case when coalesce(is_chosen, 0) = 0 then 'user_has_no_chosen_event' end
        {%- else -%}
            {{ flagmart.null_text() }}
        {%- endif %} as unchosen_message,
        'featbit:' || env_id || ':' || event_id || ':identify' as message_id
    from {{ ref("int_segment__user_traits") }}
    {% if flagmart.chooses_messages() -%}
        left join chosen on env_id = chosen_env_id and user_key = chosen_user_key
    {%- endif %}
    where env_id in (select environments.env_id from environments)
),

with_traits as (
    select
        *,
        {{ flagmart.json_bytes_at_most(["message_id", "user_key", "user_name", "attributes"], 2000) }}
            as payload_bytes_at_most,
        -- what stands within the braces of either
        case when coalesce(user_name, '') <> '' then '"name":' || {{ flagmart.json_string("user_name") }} else '' end
            as name_trait,
        coalesce(substr(attributes, 2, length(attributes) - 2), '') as other_traits
    from named
),

with_payload as (
    select
        *,
        {{ flagmart.json_object({
            "type": "'\"identify\"'",
            "messageId": flagmart.json_string("message_id"),
            "userId": flagmart.json_string("user_key"),
            "timestamp": flagmart.json_string(flagmart.iso_timestamp("occurred_at")),
            "context": "'{\"active\":false}'",
            "traits": "'{' || name_trait || case when name_trait <> '' and other_traits <> '' then ',' else '' end"
                ~ " || other_traits || '}'",
        }) }} as payload
    from with_traits
)

select
    event_id,
    message_id,
    user_key,
    occurred_at,
    ingested_at,
    payload,
    coalesce(unchosen_message, {{ flagmart.segment_objection() }}) as exclusion_reason
from with_payload
