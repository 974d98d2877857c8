{% test each_user_has_one_unit(model, column_name) %}
    -- a user with several units of one type, of which the smallest counts for everything the user did; mend the seed user_identity
    {%- set mends -%}
        select {{ dbt.concat([
            "'seed user_identity, '", "user_key", "': several units of the type '", "id_type", "', of which '", "unit_id",
            "' counts; leave one row of them'",
        ]) }} as mend_text
        from {{ model }}
        where {{ column_name }} > 1
        order by mend_text
        limit 20
    {%- endset -%}
    {{- flagmart.tell(mends) }}
    select
        id_type,
        count(*) as users
    from {{ model }}
    where {{ column_name }} > 1
    group by id_type
{% endtest %}
