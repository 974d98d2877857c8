{{ config(materialized="table", order_by="env_id") }}

{%- set chosen = flagmart.chosen_environments() %}

with landed as (
    select distinct env_id
    from {{ ref("stg_featbit__events") }}
    where outcome <> 'rejected'
),

counted as (
    select count(*) as environments
    from landed
)

select
    landed.env_id,
    {% if chosen %}
        landed.env_id in ({% for env_id in chosen -%}
            {{ dbt.string_literal(dbt.escape_single_quotes(env_id)) }}{{ ", " if not loop.last }}
        {%- endfor %}) as is_exported
    {% else %}
        counted.environments = 1 as is_exported
    {% endif %}
from landed
cross join counted
