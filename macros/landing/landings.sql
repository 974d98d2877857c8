{% macro landings() -%}
    {#- What `flagmart ingest` lands, as a list of dicts: `name` of the relation that models read, and the tables of its rows and
        of its complete runs on ClickHouse; as in the command's warehouse/landing.py. -#}
    {{ return([
        {"name": "featbit_events", "rows": "landed_events", "runs": "ingest_runs"},
        {"name": "prefab_counters", "rows": "landed_prefab_counters", "runs": "prefab_ingest_runs"},
        {"name": "featbit_versions", "rows": "landed_versions", "runs": "version_ingest_runs"},
    ]) }}
{%- endmacro %}
