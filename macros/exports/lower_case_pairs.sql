{% macro lower_case_pairs(pairs) -%}
    {#- What `string_map` takes, from a list of [name, SQL expression (text)]: names in lower case, each once. Of those that are
        then the same, the first that is not null counts, in the order of the list. -#}
    {%- set expressions = {} -%}
    {%- for name, value in pairs -%}
        {%- do expressions.setdefault(name | lower, []).append(value) -%}
    {%- endfor -%}
    {%- set merged = {} -%}
    {%- for name, values in expressions.items() -%}
        {%- do merged.update({name: values[0] if values | length == 1 else "coalesce(" ~ values | join(", ") ~ ")"}) -%}
    {%- endfor -%}
    {{ return(merged) }}
{%- endmacro %}

{% macro lower_case_collisions(pairs) -%}
    {#- How many values `lower_case_pairs` leaves out because an earlier name in lower case is the same; a 64-bit integer. -#}
    {%- set expressions = {} -%}
    {%- for name, value in pairs -%}
        {%- do expressions.setdefault(name | lower, []).append(value) -%}
    {%- endfor -%}
    cast(0 as {{ dbt.type_bigint() }})
    {%- for values in expressions.values() if values | length > 1 %}
        + greatest(0{% for value in values %} + case when {{ value }} is null then 0 else 1 end{% endfor %} - 1, 0)
    {%- endfor -%}
{%- endmacro %}
