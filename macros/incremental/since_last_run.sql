{% macro since_last_run(ingested_at, kept_as=none) -%}
    {#- Condition that keeps the ingest runs this table has not finished: everything from the newest run it holds, that one
        again included, so that a build that was killed leaves no hole. `ingested_at` is the column of the source; `kept_as`
        is this table's own column for it, where that has another name. -#}
    {{ ingested_at }} >= (
        select coalesce(max(kept.{{ kept_as or ingested_at }}), {{ flagmart.timestamp_from_ms(0) }})
        from {{ this }} as kept
    )
{%- endmacro %}
