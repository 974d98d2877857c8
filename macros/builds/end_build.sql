{% macro end_build(results) -%}
    {#- Notes in the engine how each node of this dbt run ended, and that the run did; a node's status stays until it runs
        again, so that a later run of something else does not hide a failure. `results` is dbt's own, in on-run-end. -#}
    {%- if flags.WHICH == "freshness" -%}
        {{ return("select 1 as no_build_ends") }}
    {%- endif -%}
    {{ return(adapter.dispatch("end_build", "flagmart")(results)) }}
{%- endmacro %}

{% macro default__end_build(results) -%}
    {{ flagmart.no_variant("end_build") }}
{%- endmacro %}

{% macro duckdb__end_build(results) -%}
    {%- if results %}
    delete from flagmart_builds.node_results where node_id in (
        {%- for result in results %}
        {{ dbt.string_literal(result.node.unique_id) }}{{ "," if not loop.last }}
        {%- endfor %}
    );
    insert into flagmart_builds.node_results (node_id, status) values
        {%- for result in results %}
        ({{ dbt.string_literal(result.node.unique_id) }}, {{ dbt.string_literal(result.status | string) }}){{ "," if not loop.last }}
        {%- endfor %};
    {%- endif %}
    update flagmart_builds.builds set state = 'finished'
{%- endmacro %}

{% macro clickhouse__end_build(results) -%}
    {%- set builds = flagmart.builds_schema() -%}
    {%- if execute and results -%}
        {%- set nodes = [] -%}
        {%- set rows = [] -%}
        {%- for result in results -%}
            {%- do nodes.append(dbt.string_literal(result.node.unique_id)) -%}
            {%- do rows.append(
                "(" ~ dbt.string_literal(result.node.unique_id) ~ ", " ~ dbt.string_literal(result.status | string) ~ ")"
            ) -%}
        {%- endfor -%}
        {%- do flagmart.run("delete from " ~ builds ~ ".node_results where node_id in (" ~ nodes | join(", ") ~ ")") -%}
        {%- do flagmart.run("insert into " ~ builds ~ ".node_results (node_id, status) values " ~ rows | join(", ")) -%}
    {%- endif -%}
    alter table {{ builds }}.builds update state = 'finished' where 1 settings mutations_sync = 2
{%- endmacro %}
