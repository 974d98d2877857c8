select
    version_id,
    env_id,
    versioned_key as flag_key,
    flag_id,
    name as flag_name,
    variation_type,
    variations,
    is_enabled,
    is_archived,
    changed_at,
    ingested_at
from {{ ref("base_featbit__versions") }}
where kind = 'flag'
