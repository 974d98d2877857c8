{% macro record_finished_experiments(experiments, source, reads=none) -%}
    {#- Notes of each sound experiment that this table now holds every ingest run that `source`, the relation it reads, holds: a
        post-hook, which runs only where the model was built to its end. `reads` is the id of another model with such notes that
        this one reads: where that has not come as far, there is no note, and the next run begins anew. -#}
    {%- set notes = flagmart.finished_experiments() -%}
    {%- if execute -%}
        {%- do flagmart.run("delete from " ~ notes ~ " where node_id = " ~ flagmart.finished_by()) -%}
    {%- endif -%}
    insert into {{ notes }} (node_id, digest, kept_rows, ingested_at)
    select
        {{ flagmart.finished_by() }} as node_id,
        kept.digest as digest,
        kept.kept_rows as kept_rows,
        newest.newest_ingested_at as ingested_at
    from ({{ flagmart.kept_of_experiments(experiments) }}) as kept
    cross join (
        select coalesce(max(ingested_at), {{ flagmart.timestamp_from_ms(0) }}) as newest_ingested_at
        from {{ source }}
    ) as newest
    {%- if reads %}
    where (kept.digest, newest.newest_ingested_at) in (
        select noted.digest, noted.ingested_at from {{ notes }} as noted where noted.node_id = '{{ reads }}'
    )
    {%- endif %}
{%- endmacro %}

{% macro finished_experiments() -%}
    {#- The table of the newest ingest run that each model holds of each experiment, and how many rows it then had of it:
        (node_id, digest, kept_rows, ingested_at). -#}
    {{ flagmart.builds_schema() }}.finished_experiments
{%- endmacro %}

{% macro kept_of_experiments(experiments) -%}
    {#- A query: each sound experiment's digest and how many rows of it this table holds. -#}
    select
        defined.digest as digest,
        coalesce(counted.kept_rows, 0) as kept_rows
    from {{ experiments }} as defined
    left join (
        select
            digest,
            cast(count(*) as {{ dbt.type_bigint() }}) as kept_rows
        from {{ this }}
        group by digest
    ) as counted on defined.digest = counted.digest
    where defined.mend is null
{%- endmacro %}
