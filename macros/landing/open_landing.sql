{% macro open_landing() -%}
    {#- Makes the landing readable as `flagmart_landing.<table>` for this run: exactly the files its manifest names now, so
        that an ingest that finishes while models are being built changes nothing under them. Runs before every dbt run. -#}
    {{ return(adapter.dispatch("open_landing", "flagmart")()) }}
{%- endmacro %}

{% macro default__open_landing() -%}
    {{ flagmart.no_variant("open_landing") }}
{%- endmacro %}

{% macro duckdb__open_landing() -%}
    {%- if execute -%}
        {%- set folder = env_var("FLAGMART_DATA", "data") ~ "/landing/featbit_events" -%}
        {%- set manifest = dbt.string_literal(dbt.escape_single_quotes(folder ~ "/manifest.json")) -%}
        {%- do run_query("create schema if not exists flagmart_landing") -%}
        {%- set found = run_query("select count(*) from glob(" ~ manifest ~ ")").columns[0].values()[0] -%}
        {%- set files = [] -%}
        {%- if found -%}
            {%- set names = run_query(
                "select file.name from (select unnest(runs, max_depth := 1) as run from read_json(" ~ manifest ~ ","
                ~ " maximum_object_size = 1073741824,"
                ~ " columns = {runs: 'struct(ingested_at varchar, files struct(\"name\" varchar)[])[]'})),"
                ~ " unnest(run.files) as listed(file) order by file.name"
            ).columns[0].values() -%}
            {%- for name in names -%}
                {%- do files.append(dbt.string_literal(dbt.escape_single_quotes(folder ~ "/" ~ name))) -%}
            {%- endfor -%}
        {%- endif -%}
        {%- set columns = [
            ("event_id", "varchar"), ("env_id", "varchar"), ("event", "varchar"), ("distinct_id", "varchar"),
            ("properties", "varchar"), ("occurred_at", "timestamp"), ("ingested_at", "timestamp"), ("run_id", "varchar"),
            ("source", "varchar"), ("source_ref", "varchar"), ("source_ingested_at", "timestamp"),
        ] -%}
        {%- set selected = [] -%}
        {%- for name, type in columns -%}
            {%- do selected.append(name if files else "cast(null as " ~ type ~ ") as " ~ name) -%}
        {%- endfor -%}
        {%- do run_query(
            "create or replace view flagmart_landing.featbit_events as select " ~ selected | join(", ")
            ~ (" from read_parquet([" ~ files | join(", ") ~ "])" if files else " where false")
        ) -%}
    {%- endif -%}
    select 1 as landing_is_open
{%- endmacro %}

{% macro clickhouse__open_landing() -%}
    {#- Here the landing is a table. Ordered as incremental models read it: the newest runs. -#}
    {%- if execute -%}
        {%- do flagmart.run("create database if not exists flagmart_landing") -%}
        {%- do flagmart.run(
            "create table if not exists flagmart_landing.featbit_events ("
            ~ "event_id String, env_id String, event String, distinct_id String, properties String, "
            ~ "occurred_at Nullable(DateTime64(6, 'UTC')), ingested_at DateTime64(6, 'UTC'), run_id String, "
            ~ "source LowCardinality(String), source_ref String, source_ingested_at Nullable(DateTime64(6, 'UTC'))"
            ~ ") engine = MergeTree order by (ingested_at, event_id)"
        ) -%}
    {%- endif -%}
    select 1 as landing_is_open
{%- endmacro %}
