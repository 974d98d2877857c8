{% test one_reason_for_each_rejected_event(model, event_id="event_id") %}
    -- an event that is rejected without a reason, or accepted with one, cannot be accounted for
    select
        {{ event_id }},
        outcome,
        reject_reason
    from {{ model }}
    where (outcome = 'rejected') <> (reject_reason is not null)
{% endtest %}
