{% macro record_finished_runs(source, ingested_at="ingested_at", kept_where=none) -%}
    {#- Notes that the model now holds every ingest run that `source`, the relation it reads, holds: a post-hook, which runs
        only where the model was built to its end. `since_last_run` reads it. `kept_where` as in `last_finished_run`. -#}
    {%- if execute -%}
        {%- do flagmart.run(
            "delete from " ~ flagmart.finished_runs() ~ " where node_id = " ~ flagmart.finished_by(kept_where)
        ) -%}
    {%- endif -%}
    insert into {{ flagmart.finished_runs() }} (node_id, ingested_at)
    select
        {{ flagmart.finished_by(kept_where) }} as node_id,
        coalesce(max(recorded.{{ ingested_at }}), {{ flagmart.timestamp_from_ms(0) }}) as ingested_at
    from {{ source }} as recorded
{%- endmacro %}

{% macro finished_runs() -%}
    {#- The table of the newest ingest run that each incremental model holds of each of its sources: (node_id, ingested_at). -#}
    {{ flagmart.builds_schema() }}.finished_runs
{%- endmacro %}

{% macro finished_by(kept_where=none) -%}
    {#- What the model is called in that table, as a literal: its id, and which of its sources is meant where it has several. -#}
    {{ dbt.string_literal(dbt.escape_single_quotes(model.unique_id ~ (" where " ~ kept_where if kept_where else ""))) }}
{%- endmacro %}
