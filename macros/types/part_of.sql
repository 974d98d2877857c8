{% macro part_of(whole, place) -%}
    {#- The value that stands at `place`, from 1, in what `row_of` made. -#}
    {{ adapter.dispatch("part_of", "flagmart")(whole, place) }}
{%- endmacro %}

{% macro default__part_of(whole, place) -%}
    {{ flagmart.no_variant("part_of") }}
{%- endmacro %}

{% macro duckdb__part_of(whole, place) -%}
    struct_extract({{ whole }}, {{ place }})
{%- endmacro %}

{% macro clickhouse__part_of(whole, place) -%}
    tupleElement({{ whole }}, {{ place }})
{%- endmacro %}
