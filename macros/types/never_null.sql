{% macro never_null(value) -%}
    {#- `value` where the rows left cannot have a null in it, so that the engine knows so, too. -#}
    {{ adapter.dispatch("never_null", "flagmart")(value) }}
{%- endmacro %}

{% macro default__never_null(value) -%}
    {{ flagmart.no_variant("never_null") }}
{%- endmacro %}

{% macro duckdb__never_null(value) -%}
    {{ value }}
{%- endmacro %}

{% macro clickhouse__never_null(value) -%}
    assumeNotNull({{ value }})
{%- endmacro %}
