{% macro record_finished_days(days) -%}
    {#- Notes the days that the model worked out: a post-hook, which runs only where the model was built to its end. `days` as in
        `forget_changed_days`. A day without rows gets no note; it is looked at by each run, which finds nothing. -#}
    insert into {{ flagmart.finished_days() }} (node_id, day_on, digest, kept_rows, newest_ingested_at)
    select
        {{ flagmart.finished_by() }} as node_id,
        standing.day_on,
        standing.digest,
        standing.kept_rows,
        standing.newest_ingested_at
    from ({{ flagmart.days_that_stand(days) }}) as standing
    where {{ flagmart.is_unfinished_day("standing.day_on") }}
{%- endmacro %}

{% macro finished_days() -%}
    {#- The table of the days that each model kept by days holds in full, with the digest of what they were worked out from, and
        by what their rows are known: (node_id, day_on, digest, kept_rows, newest_ingested_at). -#}
    {{ flagmart.builds_schema() }}.finished_days
{%- endmacro %}

{% macro days_that_stand(days) -%}
    {#- A query: each day of this table with its figures and the digest that its input now has, in the order of `finished_days`. -#}
    select
        kept.partition_on as day_on,
        inputs.digest as digest,
        kept.kept_rows as kept_rows,
        kept.newest_ingested_at as newest_ingested_at
    from (
        select
            partition_on,
            cast(count(*) as {{ dbt.type_bigint() }}) as kept_rows,
            max(ingested_at) as newest_ingested_at
        from {{ this }}
        group by partition_on
    ) as kept
    inner join {{ days }} as inputs on kept.partition_on = inputs.partition_on
{%- endmacro %}
