{% test environments_are_chosen(model) %}
    -- with several environments and none chosen, development traffic could reach a paid destination
    select env_id
    from {{ model }}
    where
        {{ "false" if var("flagmart_env_ids") else "true" }}
        and (select count(*) from {{ model }}) > 1
{% endtest %}
