{% macro matches(text, pattern) -%}
    {#- Whether some part of `text` matches the RE2 `pattern`. -#}
    {{ adapter.dispatch("matches", "flagmart")(text, pattern) }}
{%- endmacro %}

{% macro default__matches(text, pattern) -%}
    {{ flagmart.no_variant("matches") }}
{%- endmacro %}

{% macro duckdb__matches(text, pattern) -%}
    regexp_matches({{ text }}, {{ dbt.string_literal(pattern) }})
{%- endmacro %}

{% macro clickhouse__matches(text, pattern) -%}
    match({{ text }}, {{ dbt.string_literal(pattern) }})
{%- endmacro %}
