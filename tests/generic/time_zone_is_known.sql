{% test time_zone_is_known(model, var_name) %}
    -- the var names neither an offset (UTC, UTC-8, UTC+05:30) nor a zone of the IANA tz database, so no row has a day: {{ model }}
    {%- set timezone = var(var_name) %}
    select '{{ var_name }}' as unknown_zone_in
    where
        {% if flagmart.fixed_offset_ms(timezone) is not none %}
            false
        {% else %}
            {{ dbt.string_literal(dbt.escape_single_quotes(timezone)) }} not in (
                select stretches.timezone from {{ ref("int_time_zone_offsets") }} as stretches
            )
        {% endif %}
{% endtest %}
