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
    {#- Here the landing is two tables that ingest makes: the rows, and a row for each run that is complete. A run counts from
        the moment its row is there, so the newest one at this moment says which runs there are for all of this build. -#}
    {%- if execute -%}
        {%- set landing = flagmart.landing_schema() -%}
        {%- do flagmart.run("create database if not exists " ~ landing) -%}
        {%- set columns = [
            ("event_id", "String"), ("env_id", "String"), ("event", "String"), ("distinct_id", "String"),
            ("properties", "String"), ("occurred_at", "Nullable(DateTime64(6, 'UTC'))"),
            ("ingested_at", "DateTime64(6, 'UTC')"), ("run_id", "String"), ("source", "LowCardinality(String)"),
            ("source_ref", "String"), ("source_ingested_at", "Nullable(DateTime64(6, 'UTC'))"),
        ] -%}
        {%- set found = run_query("exists table " ~ landing ~ ".ingest_runs").columns[0].values()[0] -%}
        {%- if found -%}
            {%- set newest = run_query(
                "select toString(toUnixTimestamp64Micro(max(ingested_at))) from " ~ landing ~ ".ingest_runs"
            ).columns[0].values()[0] -%}
            {%- set names = columns | map(attribute=0) | join(", ") -%}
            {%- set rows = "select " ~ names ~ " from " ~ landing ~ ".landed_events where ingested_at in ("
                ~ "select ingested_at from " ~ landing ~ ".ingest_runs "
                ~ "where ingested_at <= fromUnixTimestamp64Micro(" ~ newest ~ ", 'UTC'))" -%}
        {%- else -%}
            {%- set structure = [] -%}
            {%- for name, type in columns -%}
                {%- do structure.append(name ~ " " ~ type) -%}
            {%- endfor -%}
            {%- set rows = "select * from null(" ~ dbt.string_literal(dbt.escape_single_quotes(structure | join(", "))) ~ ")" -%}
        {%- endif -%}
        {%- do flagmart.run("create or replace view " ~ landing ~ ".featbit_events as " ~ rows) -%}
    {%- endif -%}
    select 1 as landing_is_open
{%- endmacro %}
