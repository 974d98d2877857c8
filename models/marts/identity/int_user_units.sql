{{ config(materialized="view", pre_hook="{{ flagmart.all_text(ref('user_identity')) }}") }}

with written as (
    select
        coalesce(identities.user_key, '') as user_key,
        coalesce(identities.id_type, '') as id_type,
        coalesce(identities.unit_id, '') as written_unit_id
    from {{ ref("user_identity") }} as identities
)

-- a user with several units of one type is the smallest of them, always the same
select
    user_key,
    id_type,
    min(written_unit_id) as unit_id,
    cast(count(distinct written_unit_id) as {{ dbt.type_bigint() }}) as units
from written
where user_key <> '' and id_type <> '' and written_unit_id <> ''
group by user_key, id_type
