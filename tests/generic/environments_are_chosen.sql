{% test environments_are_chosen(model) %}
    -- with several environments and none chosen, development traffic could reach a paid destination; with none of the chosen
    -- ones among those that have landed, nothing would leave, and no one would know why
    with exported as (
        select count(*) as environments
        from {{ model }}
        where is_exported
    )

    select landed.env_id
    from {{ model }} as landed
    cross join exported
    where exported.environments = 0
{% endtest %}
