{% macro record_finished_runs(source, ingested_at="ingested_at") -%}
    {#- Notes that the model now holds every ingest run that `source`, the relation it reads, holds: a post-hook, which runs
        only where the model was built to its end. `since_last_run` reads it. -#}
    {%- if execute -%}
        {%- do flagmart.run(
            "delete from " ~ flagmart.finished_runs() ~ " where node_id = '" ~ model.unique_id ~ "'"
        ) -%}
    {%- endif -%}
    insert into {{ flagmart.finished_runs() }} (node_id, ingested_at)
    select
        '{{ model.unique_id }}' as node_id,
        coalesce(max(recorded.{{ ingested_at }}), {{ flagmart.timestamp_from_ms(0) }}) as ingested_at
    from {{ source }} as recorded
{%- endmacro %}

{% macro finished_runs() -%}
    {#- The table of the newest ingest run that each incremental model holds: (node_id, ingested_at). -#}
    {{ flagmart.builds_schema() }}.finished_runs
{%- endmacro %}
