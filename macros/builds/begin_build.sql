{% macro begin_build() -%}
    {#- Notes in the engine that a dbt run has begun, so that nothing is delivered from one that never ended. Runs before
        every dbt run that changes or judges tables. -#}
    {%- if flags.WHICH == "freshness" -%}
        {#- changes no table and judges none: an old landing is no fault of what was built from it -#}
        {{ return("select 1 as no_build_begins") }}
    {%- endif -%}
    {{ return(adapter.dispatch("begin_build", "flagmart")()) }}
{%- endmacro %}

{% macro default__begin_build() -%}
    {{ flagmart.no_variant("begin_build") }}
{%- endmacro %}

{% macro duckdb__begin_build() -%}
    create schema if not exists flagmart_builds;
    create table if not exists flagmart_builds.builds (invocation_id varchar, state varchar);
    create table if not exists flagmart_builds.node_results (node_id varchar, status varchar);
    create table if not exists {{ flagmart.finished_runs() }} (node_id varchar, ingested_at timestamp);
    create table if not exists {{ flagmart.finished_days() }} (
        node_id varchar, day_on date, digest varchar, kept_rows bigint, newest_ingested_at timestamp
    );
    create table if not exists {{ flagmart.finished_experiments() }} (
        node_id varchar, digest varchar, kept_rows bigint, ingested_at timestamp
    );
    -- after a run that never ended, no one knows which of its nodes are done: each counts as bad until it runs again
    update flagmart_builds.node_results set status = 'unfinished'
    where exists (select 1 from flagmart_builds.builds where state = 'running');
    create or replace table flagmart_builds.builds as
    select '{{ invocation_id }}' as invocation_id, 'running' as state
{%- endmacro %}

{% macro clickhouse__begin_build() -%}
    {%- set builds = flagmart.builds_schema() -%}
    {%- if execute -%}
        {%- set release = run_query("select version()").columns[0].values()[0] -%}
        {#- as in the command's clickhouse_client.py -#}
        {%- if release.split(".")[:2] | map("int") | list < [25, 8] -%}
            {{ exceptions.raise_compiler_error(
                "ClickHouse is of release " ~ release ~ ", and 25.8 is the oldest that flagmart runs on; update the server"
            ) }}
        {%- endif -%}
        {%- do flagmart.run("create database if not exists " ~ builds) -%}
        {%- do flagmart.run(
            "create table if not exists " ~ builds ~ ".builds (invocation_id String, state String) "
            ~ "engine = MergeTree order by tuple()"
        ) -%}
        {%- do flagmart.run(
            "create table if not exists " ~ builds ~ ".node_results (node_id String, status String) "
            ~ "engine = MergeTree order by node_id"
        ) -%}
        {%- do flagmart.run(
            "create table if not exists " ~ flagmart.finished_runs()
            ~ " (node_id String, ingested_at DateTime64(6, 'UTC')) engine = MergeTree order by node_id"
        ) -%}
        {%- do flagmart.run(
            "create table if not exists " ~ flagmart.finished_days()
            ~ " (node_id String, day_on Date, digest String, kept_rows Int64, newest_ingested_at DateTime64(6, 'UTC')) "
            ~ "engine = MergeTree order by (node_id, day_on)"
        ) -%}
        {%- do flagmart.run(
            "create table if not exists " ~ flagmart.finished_experiments()
            ~ " (node_id String, digest String, kept_rows Int64, ingested_at DateTime64(6, 'UTC')) "
            ~ "engine = MergeTree order by (node_id, digest)"
        ) -%}
        {#- after a run that never ended, no one knows which of its nodes are done: each counts as bad until it runs again -#}
        {%- do flagmart.run(
            "alter table " ~ builds ~ ".node_results update status = 'unfinished' "
            ~ "where (select count() from " ~ builds ~ ".builds where state = 'running') > 0 settings mutations_sync = 2"
        ) -%}
        {#- the server carries on for a client that was killed; what it still writes would come on top of this build's rows -#}
        {%- do flagmart.run(
            "kill query where (select count() from " ~ builds ~ ".builds where state = 'running') > 0 "
            ~ "and user = currentUser() and startsWith(query, '/* {\"app\": \"dbt\"') "
            ~ "and position(query, '`" ~ target.schema ~ "`.') > 0 and query_kind in ('Insert', 'Create', 'Delete') sync"
        ) -%}
        {%- do flagmart.run("truncate table " ~ builds ~ ".builds") -%}
    {%- endif -%}
    insert into {{ builds }}.builds select '{{ invocation_id }}' as invocation_id, 'running' as state
{%- endmacro %}
