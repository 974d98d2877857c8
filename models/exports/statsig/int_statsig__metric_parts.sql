with sound as (
    select *
    from {{ ref("int_statsig__metric_definitions") }}
    where mend is null
)

select
    metric_name,
    id_type,
    'metric_value' as part,
    kind,
    event_name
from sound
where kind <> 'ratio'
{% for part in ["numerator", "denominator"] %}
    union all
    select
        ratios.metric_name,
        ratios.id_type,
        '{{ part }}' as part,
        named.kind,
        named.event_name
    from sound as ratios
    inner join sound as named on ratios.{{ part }} = named.metric_name
    where ratios.kind = 'ratio'
{% endfor %}
