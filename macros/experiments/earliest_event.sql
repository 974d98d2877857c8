{% macro earliest_event(occurred_at, event_id, ingested_at) -%}
    {#- An aggregate: of a group's events the earliest, and of several in one instant that with the smallest id, as a row of its
        `occurred_at`, `event_id` and `ingested_at`. `part_of` takes it apart; two such rows compare as their events do. -#}
    min({{ flagmart.row_of([occurred_at, event_id, ingested_at]) }})
{%- endmacro %}
