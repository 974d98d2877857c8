{% macro experiments_to_read(experiments) -%}
    {#- A query: the sound experiments of the relation `experiments`, each with `experiment_no`, a number for this query alone, and
        `read_until`, the newest ingest run that this table holds of it in full. An experiment that is new, that was changed or
        whose rows are not those that were noted begins with the first run. Needs `forget_changed_experiments` before. -#}
    select
        defined.experiment_key,
        defined.digest,
        defined.env_id,
        defined.flag_key,
        defined.metric_event,
        defined.aggregation,
        defined.id_type,
        {{ flagmart.never_null("defined.starts_at") }} as starts_at,
        {{ flagmart.never_null("defined.ends_at") }} as ends_at,
        row_number() over (order by defined.experiment_key) as experiment_no,
        {% if is_incremental() -%}
            coalesce(finished.ingested_at, {{ flagmart.timestamp_from_ms(0) }}) as read_until
        {%- else -%}
            {{ flagmart.timestamp_from_ms(0) }} as read_until
        {%- endif %}
    from {{ experiments }} as defined
    {% if is_incremental() -%}
        left join {{ flagmart.finished_experiments() }} as finished
            on
                defined.digest = finished.digest
                and finished.node_id = {{ flagmart.finished_by() }}
    {%- endif %}
    where defined.mend is null
{%- endmacro %}
