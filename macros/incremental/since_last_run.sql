{% macro since_last_run(ingested_at, kept_as=none) -%}
    {#- Condition that keeps the ingest runs this table has not finished, also those that a killed build brought in part.
        `ingested_at` is the column of the source; `kept_as` is this table's own column for it, where that has another name. -#}
    {{ ingested_at }} > {{ flagmart.last_finished_run(kept_as or ingested_at) }}
{%- endmacro %}
