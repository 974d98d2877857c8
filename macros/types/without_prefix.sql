{% macro without_prefix(text, prefix) -%}
    {#- What follows exactly `prefix` in `text`; null where `text` does not start with it. -#}
    {{ adapter.dispatch("without_prefix", "flagmart")(text, prefix) }}
{%- endmacro %}

{% macro default__without_prefix(text, prefix) -%}
    {{ flagmart.no_variant("without_prefix") }}
{%- endmacro %}

{% macro duckdb__without_prefix(text, prefix) -%}
    case when starts_with({{ text }}, {{ prefix }}) then substr({{ text }}, length({{ prefix }}) + 1) end
{%- endmacro %}

{% macro clickhouse__without_prefix(text, prefix) -%}
    if(startsWith({{ text }}, {{ prefix }}), substring({{ text }}, length({{ prefix }}) + 1), null)
{%- endmacro %}
