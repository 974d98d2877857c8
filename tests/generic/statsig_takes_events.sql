{% test statsig_takes_events(model) %}
    -- an event that Statsig would drop or blank: by its name, its unit, or a metadata key that it would read as a path
    select
        timeuuid,
        event_name
    from {{ model }}
    where
        {{ flagmart.characters("event_name") }} not between 1 and 127
        or {{ flagmart.matches("event_name", "[][{}<>#=;&$%|]") }}
        or {{ flagmart.contains_any("event_name", [
            flagmart.character(92), flagmart.character(0), flagmart.character(10), flagmart.character(13),
        ]) }}
        or {{ flagmart.characters("event_value") }} > 127
        or {{ flagmart.characters("event_metadata") }} >= {{ var("flagmart_statsig_metadata_characters") }}
        or {{ flagmart.matches("event_metadata", '[{,]"[^"]*[.][^"]*":') }}
        or {{ flagmart.is_blank("user_id") }}
        or not {{ flagmart.matches('"user"', '^[{]"userID":".*,"custom":[{].*,"customIDs":[{].*[}][}]$') }}
{% endtest %}
