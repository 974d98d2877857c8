{{ config(materialized="view") }}

{%- set shaped = {
    "statsig_events": "int_statsig__events",
    "statsig_metrics": "int_statsig__metric_events",
    "hackle_events": "int_hackle__events",
    "segment_tracks": "int_segment__tracks",
} %}
{%- for delivery, relation in flagmart.further_deliveries().items() if relation and flagmart.is_delivered(delivery) %}
    {%- do shaped.update({delivery: relation}) %}
{%- endfor %}
{%- do shaped.update(var("flagmart_exclusions")) %}

{% for delivery, relation in shaped.items() %}
    select
        '{{ delivery }}' as delivery,
        event_id,
        exclusion_reason as reason
    from {{ ref(relation) }}
    where exclusion_reason is not null
    {{ "union all" if not loop.last }}
{% endfor %}
