{% macro open_landing() -%}
    {#- Makes each landing readable as `flagmart_landing.<name>` for this run: exactly the files its manifest names now, so
        that an ingest that finishes while models are being built changes nothing under them. Runs before every dbt run. -#}
    {{ return(adapter.dispatch("open_landing", "flagmart")()) }}
{%- endmacro %}

{% macro default__open_landing() -%}
    {{ flagmart.no_variant("open_landing") }}
{%- endmacro %}

{% macro duckdb__open_landing() -%}
    {%- if execute -%}
        {%- do run_query("create schema if not exists flagmart_landing") -%}
        {%- set columns = [
            ("event_id", "varchar"), ("env_id", "varchar"), ("event", "varchar"), ("distinct_id", "varchar"),
            ("properties", "varchar"), ("occurred_at", "timestamp"), ("ingested_at", "timestamp"), ("run_id", "varchar"),
            ("source", "varchar"), ("source_ref", "varchar"), ("source_ingested_at", "timestamp"),
        ] -%}
        {%- for landing in flagmart.landings() -%}
            {%- set folder = env_var("FLAGMART_DATA", "data") ~ "/landing/" ~ landing.name -%}
            {%- set manifest = dbt.string_literal(dbt.escape_single_quotes(folder ~ "/manifest.json")) -%}
            {%- set found = run_query("select count(*) from glob(" ~ manifest ~ ")").columns[0].values()[0] -%}
            {%- set files = [] -%}
            {%- if found -%}
                {#- files of single runs, and those that compaction has merged #}
                {%- set names = run_query(
                    "with manifest as (select from_json(content, '{\"merged\": [{\"name\": \"VARCHAR\"}],"
                    ~ " \"runs\": [{\"files\": [{\"name\": \"VARCHAR\"}]}]}') as landed from read_text(" ~ manifest ~ "))"
                    ~ " select listed.file.name from manifest, unnest(landed.merged) as listed(file) union all"
                    ~ " select listed.file.name from (select unnest(landed.runs) as run from manifest),"
                    ~ " unnest(run.files) as listed(file) order by 1"
                ).columns[0].values() -%}
                {%- for name in names -%}
                    {%- do files.append(dbt.string_literal(dbt.escape_single_quotes(folder ~ "/" ~ name))) -%}
                {%- endfor -%}
            {%- endif -%}
            {%- set selected = [] -%}
            {%- for name, type in columns -%}
                {%- do selected.append(name if files else "cast(null as " ~ type ~ ") as " ~ name) -%}
            {%- endfor -%}
            {%- do run_query(
                "create or replace view flagmart_landing." ~ landing.name ~ " as select " ~ selected | join(", ")
                ~ (" from read_parquet([" ~ files | join(", ") ~ "])" if files else " where false")
            ) -%}
        {%- endfor -%}
    {%- endif -%}
    select 1 as landing_is_open
{%- endmacro %}

{% macro clickhouse__open_landing() -%}
    {#- Here a landing is two tables that ingest makes: the rows, and a row for each run that is complete. A run counts from
        the moment its row is there, so the newest one at this moment says which runs there are for all of this build. -#}
    {%- if execute -%}
        {%- set schema = flagmart.landing_schema() -%}
        {%- do flagmart.run("create database if not exists " ~ schema) -%}
        {%- set columns = [
            ("event_id", "String"), ("env_id", "String"), ("event", "String"), ("distinct_id", "String"),
            ("properties", "String"), ("occurred_at", "Nullable(DateTime64(6, 'UTC'))"),
            ("ingested_at", "DateTime64(6, 'UTC')"), ("run_id", "String"), ("source", "LowCardinality(String)"),
            ("source_ref", "String"), ("source_ingested_at", "Nullable(DateTime64(6, 'UTC'))"),
        ] -%}
        {%- for landing in flagmart.landings() -%}
            {%- set runs = schema ~ "." ~ landing.runs -%}
            {%- set found = run_query("exists table " ~ runs).columns[0].values()[0] -%}
            {%- if found -%}
                {%- set newest = run_query(
                    "select toString(toUnixTimestamp64Micro(max(ingested_at))) from " ~ runs
                ).columns[0].values()[0] -%}
                {%- set names = columns | map(attribute=0) | join(", ") -%}
                {%- set rows = "select " ~ names ~ " from " ~ schema ~ "." ~ landing.rows ~ " where ingested_at in ("
                    ~ "select ingested_at from " ~ runs
                    ~ " where ingested_at <= fromUnixTimestamp64Micro(" ~ newest ~ ", 'UTC'))" -%}
            {%- else -%}
                {%- set structure = [] -%}
                {%- for name, type in columns -%}
                    {%- do structure.append(name ~ " " ~ type) -%}
                {%- endfor -%}
                {%- set rows = "select * from null(" ~ dbt.string_literal(dbt.escape_single_quotes(structure | join(", "))) ~ ")" -%}
            {%- endif -%}
            {%- do flagmart.run("create or replace view " ~ schema ~ "." ~ landing.name ~ " as " ~ rows) -%}
        {%- endfor -%}
    {%- endif -%}
    select 1 as landing_is_open
{%- endmacro %}
