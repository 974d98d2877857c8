{{ config(contract={"enforced": true}, order_by="(env_id, flag_key)") }}

with versions as (
    select
        *,
        row_number() over (partition by env_id, flag_key order by ingested_at desc) as place_from_the_end
    from {{ ref("stg_featbit__flag_versions") }}
)

select
    env_id,
    flag_key,
    flag_id,
    flag_name,
    variation_type,
    is_enabled,
    is_archived,
    changed_at,
    version_id,
    ingested_at
from versions
where place_from_the_end = 1
