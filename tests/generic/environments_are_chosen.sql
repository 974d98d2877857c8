{% test environments_are_chosen(model) %}
    -- with several environments and none chosen, development traffic could reach a paid destination; with none of the chosen
    -- ones among those that have landed, nothing would leave, and no one would know why
    select env_id
    from {{ model }}
    where (select count(*) from {{ model }} where is_exported) = 0
{% endtest %}
