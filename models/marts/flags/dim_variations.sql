{{ config(contract={"enforced": true}, order_by="(env_id, flag_key, variation_id)") }}

{%- set named = {"id": "variation_id", "name": "named_name", "value": "named_value"} %}

with listed as (
    select
        env_id,
        flag_key,
        variation_type,
        version_id,
        ingested_at,
        {{ flagmart.json_objects("variations", named.keys()) }} as fields
    from {{ ref("stg_featbit__flag_versions") }}
),

named as (
    select
        *,
        {{ flagmart.json_columns("fields", named) }}
    from listed
),

-- also what a flag no longer has: it was served, so it is in the counts
in_order as (
    select
        *,
        row_number() over (
            partition by env_id, flag_key, variation_id
            order by ingested_at desc, named_name desc, named_value desc
        ) as place_from_the_end
    from named
)

select
    env_id,
    flag_key,
    {{ flagmart.never_null("variation_id") }} as variation_id,
    coalesce(named_name, '') as variation_name,
    coalesce(named_value, '') as variation_value,
    variation_type,
    {{ flagmart.first_filled([
        "named_name",
        "case when " ~ flagmart.characters("named_value") ~ " <= 64 then named_value end",
        "variation_id",
    ]) }} as variation_label,
    cast(version_id in (select flags.version_id from {{ ref("dim_flags") }} as flags) as {{ dbt.type_boolean() }})
        as is_current,
    ingested_at
from in_order
where place_from_the_end = 1
