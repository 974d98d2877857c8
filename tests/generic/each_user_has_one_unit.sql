{% test each_user_has_one_unit(model, column_name) %}
    -- a user with several units of one type, of which the smallest counts for everything the user did; mend the seed user_identity
    select
        id_type,
        count(*) as users
    from {{ model }}
    where {{ column_name }} > 1
    group by id_type
{% endtest %}
