{% macro is_unread(ingested_at) -%}
    {#- Condition on a row joined with `experiments`, the rows of `experiments_to_read`: that this table does not hold its ingest
        run for that experiment. What all of them have read is not looked at. -#}
    {{ adapter.dispatch("is_unread", "flagmart")(ingested_at) }}
{%- endmacro %}

{% macro default__is_unread(ingested_at) -%}
    {{ flagmart.no_variant("is_unread") }}
{%- endmacro %}

{% macro duckdb__is_unread(ingested_at) -%}
    {#- of a join's condition the scan is told the least value; to compare with a query's may cost more than all the rest -#}
    {{ ingested_at }} > experiments.read_until
{%- endmacro %}

{% macro clickhouse__is_unread(ingested_at) -%}
    {{ ingested_at }} > experiments.read_until
    and {{ ingested_at }} > (select min(known.read_until) from experiments as known)
{%- endmacro %}
