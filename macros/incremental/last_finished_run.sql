{% macro last_finished_run(kept_as, kept_where=none) -%}
    {#- The newest ingest run that this incremental table holds in full, as a scalar subquery; `kept_as` is its column that
        says where rows come from. What it holds goes beyond what it finished where an insert was cut off halfway, and falls
        behind where an older copy of it was put back: so the earlier of the two counts. Where the table has several sources,
        each with ingest runs of its own, `kept_where` is the condition on the table's columns that keeps those of one. -#}
    (
        select least(
            coalesce(max(kept.{{ kept_as }}), {{ flagmart.timestamp_from_ms(0) }}),
            coalesce(
                (
                    select max(finished.ingested_at)
                    from {{ flagmart.finished_runs() }} as finished
                    where finished.node_id = {{ flagmart.finished_by(kept_where) }}
                ),
                {{ flagmart.timestamp_from_ms(0) }}
            )
        )
        from {{ this }} as kept
        {% if kept_where %}
            where kept.{{ kept_where }}
        {% endif %}
    )
{%- endmacro %}
