select
    version_id,
    env_id,
    versioned_key as user_key,
    nullif(name, '') as user_name,
    attributes,
    changed_at,
    ingested_at
from {{ ref("base_featbit__versions") }}
where kind = 'user'
