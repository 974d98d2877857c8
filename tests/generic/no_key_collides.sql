{% test no_key_collides(model) %}
    -- two properties of an event have the same name in lower case, and only the first of them is delivered
    select
        count(*) as events,
        sum(key_collisions) as values_left_out
    from {{ model }}
    where key_collisions > 0
    having count(*) > 0
{% endtest %}
