{% macro digest_of(columns) -%}
    {#- An aggregate: a text that is the same for the same rows of the list `columns`, in whatever order they come, and '' or '0'
        of no rows. Each engine has its own, and so may each release of it: compare it with none but what the engine itself kept,
        and take a difference for a change that may be none. No column is null. -#}
    {{ return(adapter.dispatch("digest_of", "flagmart")(columns)) }}
{%- endmacro %}

{% macro default__digest_of(columns) -%}
    {{ flagmart.no_variant("digest_of") }}
{%- endmacro %}

{% macro duckdb__digest_of(columns) -%}
    coalesce(cast(sum(hash({{ columns | join(", ") }})) as varchar), '')
{%- endmacro %}

{% macro clickhouse__digest_of(columns) -%}
    toString(sum(cityHash64({{ columns | join(", ") }})))
{%- endmacro %}
