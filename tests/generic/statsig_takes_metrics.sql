{% test statsig_takes_metrics(model) %}
    -- a metric that Statsig would drop or take for another: by its name, its unit, its id type (case counts) or its numbers
    select
        metric_name,
        id_type,
        unit_id
    from {{ model }}
    where
        {{ flagmart.characters("metric_name") }} not between 1 and 127
        or {{ flagmart.matches("metric_name", "[][{}<>#=;&$%|]") }}
        or {{ flagmart.contains_any("metric_name", [
            flagmart.character(92), flagmart.character(0), flagmart.character(10), flagmart.character(13),
        ]) }}
        or {{ flagmart.is_blank("unit_id") }}
        or (
            not {{ flagmart.is_one_of("id_type", var("flagmart_statsig_id_types")) }}
            and id_type not in (select units.id_type from {{ ref("int_user_units") }} as units)
        )
        or (metric_value is null) <> (numerator is not null)
        or (numerator is null) <> (denominator is null)
        or denominator = 0
        or date <> cast(partition_on as {{ dbt.type_string() }})
{% endtest %}
