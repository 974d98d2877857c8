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
    in_order.env_id as env_id,
    in_order.flag_key as flag_key,
    {{ flagmart.never_null("in_order.variation_id") }} as variation_id,
    coalesce(in_order.named_name, '') as variation_name,
    coalesce(in_order.named_value, '') as variation_value,
    in_order.variation_type as variation_type,
    {{ flagmart.first_filled([
        "in_order.named_name",
        "case when " ~ flagmart.characters("in_order.named_value") ~ " <= 64 then in_order.named_value end",
        "in_order.variation_id",
    ]) }} as variation_label,
    case when in_order.version_id = flags.version_id then true else false end as is_current,
    in_order.ingested_at as ingested_at
from in_order
inner join {{ ref("dim_flags") }} as flags
    on in_order.env_id = flags.env_id and in_order.flag_key = flags.flag_key
where in_order.place_from_the_end = 1
