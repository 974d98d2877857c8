{% macro since_last_run(ingested_at, kept_as=none, kept_where=none) -%}
    {#- Condition that keeps the ingest runs this table has not finished, also those that a killed build brought in part.
        `ingested_at` is the column of the source; `kept_as` is this table's own column for it, where that has another name;
        `kept_where` as in `last_finished_run`. -#}
    {{ ingested_at }} > {{ flagmart.last_finished_run(kept_as or ingested_at, kept_where) }}
{%- endmacro %}
