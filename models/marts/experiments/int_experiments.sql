{{
    config(
        order_by="experiment_key",
        pre_hook="{{ flagmart.all_text(ref('experiments')) }}",
    )
}}

{%- set two_variations = var("flagmart_experiment_users_in_two_variations") -%}
{%- if two_variations not in ("keep", "leave_out") -%}
    {{ exceptions.raise_compiler_error(
        "the var flagmart_experiment_users_in_two_variations says " ~ two_variations ~ "; it may say keep or leave_out"
    ) }}
{%- endif %}

with seeded as (
    select
        coalesce(written.experiment_key, '') as experiment_key,
        coalesce(written.env_id, '') as env_id,
        coalesce(written.flag_key, '') as flag_key,
        coalesce(written.metric_event, '') as metric_event,
        coalesce(written.aggregation, '') as aggregation,
        coalesce(written.success, '') as success,
        coalesce(written.baseline_variation_id, '') as baseline_variation_id,
        coalesce(written.starts_at, '') as written_start,
        coalesce(written.ends_at, '') as written_end,
        coalesce(written.expected_shares, '') as expected_shares,
        coalesce(written.id_type, '') as id_type
    from {{ ref("experiments") }} as written
),

named as (
    select
        experiment_key as named_key,
        count(*) as namesakes
    from seeded
    group by experiment_key
),

share_texts as (
    select
        experiment_key,
        baseline_variation_id,
        {{ flagmart.parts_between("expected_shares", "|") }} as share_text
    from seeded
    where expected_shares <> ''
),

shares as (
    select
        experiment_key,
        baseline_variation_id,
        {{ flagmart.before_last("share_text", ":") }} as variation_id,
        {{ flagmart.float64_or_null(flagmart.after_last("share_text", ":")) }} as share
    from share_texts
),

shared as (
    select
        experiment_key as shared_key,
        count(*) as parts,
        count(distinct variation_id) as variations,
        sum(case when variation_id <> '' and share > 0 then 1 else 0 end) as sound_parts,
        sum(case when variation_id = baseline_variation_id then 1 else 0 end) as baselines,
        {{ flagmart.exact_sum("share") }} as share_sum
    from shares
    group by experiment_key
),

identities as (
    select
        id_type as identified_type,
        {{ flagmart.digest_of(["user_key", "unit_id"]) }} as identity_digest
    from {{ ref("int_user_units") }}
    group by id_type
),

timed as (
    select
        seeded.*,
        named.namesakes,
        shared.parts,
        shared.variations,
        shared.sound_parts,
        shared.baselines,
        shared.share_sum,
        identities.identity_digest,
        {{ flagmart.timestamp_or_null("seeded.written_start") }} as starts_at,
        case
            -- still running
            when seeded.written_end = '' then {{ flagmart.timestamp_literal("2149-01-01") }}
            else {{ flagmart.timestamp_or_null("seeded.written_end") }}
        end as ends_at
    from seeded
    inner join named on seeded.experiment_key = named.named_key
    left join shared on seeded.experiment_key = shared.shared_key
    left join identities on seeded.id_type = identities.identified_type
)

select
    experiment_key,
    env_id,
    flag_key,
    metric_event,
    aggregation,
    success,
    baseline_variation_id,
    starts_at,
    ends_at,
    expected_shares,
    id_type,
    {{ dbt.hash(dbt.concat([
        "experiment_key", "'|'", "env_id", "'|'", "flag_key", "'|'", "metric_event", "'|'", "aggregation", "'|'",
        "written_start", "'|'", "written_end", "'|'", "id_type", "'|'", "coalesce(identity_digest, '')",
        "'|" ~ two_variations ~ "'",
    ])) }} as digest,
    case
        when experiment_key = '' then 'experiment_key is blank; name the experiment'
        when namesakes > 1 then 'experiment_key stands in more than one row; give each row a key of its own'
        when env_id = '' then 'env_id is blank; name the environment'
        when flag_key = '' then 'flag_key is blank; name the flag'
        when metric_event = '' then 'metric_event is blank; name the metric event'
        when aggregation not in ('once', 'count', 'sum', 'average')
            then 'aggregation is none of once, count, sum, average'
        when success not in ('higher', 'lower') then 'success is none of higher, lower'
        when baseline_variation_id = '' then 'baseline_variation_id is blank; name the variation to compare with'
        when starts_at is null then 'starts_at is no UTC time like 2026-01-31 or 2026-01-31 00:00'
        when ends_at is null then 'ends_at is no UTC time like 2026-01-31 or 2026-01-31 00:00; blank: still running'
        when starts_at >= ends_at then 'starts_at is not before ends_at'
        when sound_parts < parts
            then 'expected_shares is no list like var_a:0.5|var_b:0.5 with shares above 0; blank means equal'
        when variations < parts then 'expected_shares names a variation twice'
        when baselines = 0 then 'expected_shares does not name the baseline_variation_id'
        when share_sum not between 0.999 and 1.001 then 'expected_shares do not add up to 1'
        when id_type <> '' and identity_digest is null
            then 'id_type is in no row of the seed user_identity (case counts); mend it, or leave it blank'
    end as mend
from timed
